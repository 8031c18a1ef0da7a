/**
 * The snapshotter without gRPC: what each call does. A layer of an image is asked for by its chain ID before it is
 * fetched; where it can be read as it is needed it is mounted, and containerd is told that it is there already. Where it
 * cannot, containerd gets a folder and unpacks the layer into it, as with any other snapshotter.
 */
import type { Clock } from '../clock.ts'
import { Failure } from '../failure.ts'
import type { Log } from '../telemetry/log.ts'
import { Turns } from '../turns.ts'
import type { Catalog, Layer, Lazy, Snapshot } from './catalog.ts'
import { filterOf } from './filter.ts'
import { type Folders, mappedRoot, type Owner, overIn, type Stuck } from './folders.ts'
import { mountsOf } from './mounts.ts'
import { type Info, type Labels, type Mount, Refusal, refLabel, type Usage } from './snapshot.ts'

/** What is asked for: the layer with this chain ID, for a client in this namespace of containerd. */
export interface Asked {
  readonly ref: string
  readonly namespace: string
  readonly labels: Labels
}

export interface Opened {
  readonly id: string
  readonly path: string
  /** It has folders that it does not describe: over others it needs what {@link Layers.makeFolders} makes. */
  readonly implied: boolean
}

/** Layers that are mounted instead of unpacked: what the snapshotter needs of the mounter and of containerd. */
export interface Layers {
  /** Which layer is meant. @throws {Failure} when it is not known or has no index; the message says why */
  find(asked: Asked): Promise<Layer>
  /** Mounts it for `holder`, where it can be read as it is needed. @throws {Failure} the message says why not */
  open(layer: Layer, holder: string): Promise<Opened>
  /** Makes `into` with those that are other folders in what is `below`, the nearest first. @throws {Failure} */
  makeFolders(id: string, below: readonly string[], into: string): Promise<boolean>
  /** As {@link open}, for one that was mounted before: whatever it takes. @throws {Failure} */
  reopen(layer: Layer, holder: string): Promise<{ readonly id: string; readonly path: string }>
  /** `holder` does not need it any more. @throws {Failure} when the mounter does not answer */
  release(id: string, holder: string): Promise<void>
  /** Bytes of it on this disk. @throws {Failure} */
  usage(id: string): Promise<Usage>
  /** The path is mounted now. */
  mounted(path: string): boolean
}

/** Told of what happens, for metrics. */
export interface Witness {
  lazy(): void
  unpacked(code: string): void
}

interface Parts {
  readonly catalog: Catalog
  readonly folders: Folders
  readonly layers: Layers
  readonly clock: Clock
  readonly log: Log
  readonly witness: Witness
}

/** What each of containerd's metadata stores puts before a key. */
const namespacedKey = /^([^/]+)\/\d+\//

/** What containerd's own clients call a snapshot into which they unpack. */
const unpackKey = /^(?:[^/]+\/\d+\/)?extract-\S+ sha256:[0-9a-f]{64}$/

export class Snapshots {
  readonly #parts: Parts
  /** What the mounter knows each need of a layer by begins so; nobody else's does. */
  readonly holders: string
  /** Holders of layers that are being opened, and have no snapshot yet. */
  readonly opening = new Set<string>()
  /** Layers that are being opened, by chain ID and parent: two pulls of one image are one. */
  readonly #opening = new Map<string, Promise<Snapshot>>()
  readonly #cleaning = new Turns<'all'>()
  /** Paths of folders that cannot be removed, of which the log has it already. */
  #stuck: ReadonlySet<string> = new Set()

  constructor(parts: Parts) {
    this.#parts = parts
    this.holders = `snapshotter/${parts.catalog.store}/`
  }

  /** `namespace`: of containerd's client, where the call says it. @throws {Refusal} */
  async prepare(key: string, parent: string, labels: Labels, namespace?: string): Promise<Mount[]> {
    const ref = labels[refLabel]
    if (ref === undefined || ref === '') return this.#unasked(key, parent, labels)
    const said = namespace ?? namespacedKey.exec(key)?.[1] ?? 'default'
    const why = await this.#lazily(key, parent, { ref, namespace: said, labels })
    const mounts = await this.#create('active', key, parent, labels)
    this.#parts.catalog.explain(key, why)
    return mounts
  }

  /** A container's own layer; or an image's, of a client that does not let the snapshotter choose. */
  async #unasked(key: string, parent: string, labels: Labels): Promise<Mount[]> {
    const mounts = await this.#create('active', key, parent, labels)
    if (unpackKey.test(key)) {
      this.#parts.witness.unpacked('unasked')
      this.#parts.catalog.explain(key, 'its client fetched the whole image before it asked')
    }
    return mounts
  }

  view(key: string, parent: string, labels: Labels): Promise<Mount[]> {
    return this.#create('view', key, parent, labels)
  }

  /** @throws {Refusal} */
  async mounts(key: string): Promise<Mount[]> {
    const { catalog } = this.#parts
    const snapshot = catalog.get(key)
    if (snapshot.kind === 'committed')
      throw new Refusal('failed-precondition', `snapshot ${key} is committed: views and active ones are mounted`)
    const chain = catalog.chain(snapshot)
    await this.#there(chain)
    return this.#mountsOf(snapshot, chain)
  }

  /** @throws {Refusal} */
  async commit(name: string, key: string, labels: Labels, parent: string): Promise<void> {
    const { catalog, folders, clock } = this.#parts
    const usage = await folders.usage(catalog.get(key).id)
    catalog.atOnce(() => catalog.commit(key, name, usage, labels, parent, clock.wall()))
  }

  /** @throws {Refusal} */
  remove(key: string): void {
    const { catalog, folders, log } = this.#parts
    const { id } = catalog.atOnce(() => catalog.remove(key))
    folders.discard(id)
    // containerd asks for that too, but only some time later.
    this.tidy().catch((error: unknown) => log.warn('what is left of a snapshot could not be removed', { error }))
  }

  stat(key: string): Info {
    return this.#parts.catalog.get(key)
  }

  update(name: string, labels: Labels, paths: readonly string[]): Info {
    const { catalog, clock } = this.#parts
    return catalog.atOnce(() => catalog.update(name, labels, paths, clock.wall()))
  }

  list(filters: readonly string[]): Info[] {
    return this.#parts.catalog.all().filter(filterOf(filters))
  }

  /** @throws {Refusal} */
  async usage(key: string): Promise<Usage> {
    const { catalog, folders, layers } = this.#parts
    const { id, kind, usage, lazy } = catalog.get(key)
    if (lazy) return layers.usage(lazy.layerId).catch(unavailable)
    return kind === 'active' ? folders.usage(id) : usage
  }

  /** Mounts what a snapshot had mounted. @throws {Refusal} */
  async remount(key: string): Promise<void> {
    const snapshot = this.#parts.catalog.find(key)
    if (snapshot) await this.#there([snapshot])
  }

  /** What containerd asks for. @throws {Refusal} `failed-precondition` names what cannot be removed; all else is */
  async cleanup(): Promise<void> {
    const [first, ...more] = await this.tidy()
    if (!first) return
    const others = more.length === 0 ? '' : `; so do ${more.length} more, which the log names`
    throw new Refusal('failed-precondition', `${first.path} stays on the disk: ${first.why}${others}`)
  }

  /** Gives back what removed snapshots had: layers to the mounter, and their space. Returns what stays on the disk. */
  async tidy(): Promise<readonly Stuck[]> {
    await this.#letGo()
    return this.clean()
  }

  /** Before the first call: what an earlier process left is out of the way. {@link clean} removes it, which may take long. */
  setAside(): void {
    const { catalog, folders } = this.#parts
    this.#tell(folders.setAside(catalog.ids(), true))
  }

  /** Removes folders that belong to no snapshot. What cannot be removed is a warning, once, and returned. */
  clean(): Promise<readonly Stuck[]> {
    const { catalog, folders } = this.#parts
    // Two at once would be in each other's way.
    return this.#cleaning.alone('all', async () => this.#tell(await folders.clean(catalog.ids())))
  }

  #tell(stuck: readonly Stuck[]): readonly Stuck[] {
    for (const each of stuck) {
      if (!this.#stuck.has(each.path))
        this.#parts.log.warn('a folder of no snapshot cannot be removed; it will be tried again', { ...each })
    }
    this.#stuck = new Set(stuck.map(({ path }) => path))
    return stuck
  }

  async #letGo(): Promise<void> {
    const { catalog, layers, log } = this.#parts
    for (const release of catalog.owed()) {
      try {
        await layers.release(release.layerId, release.holder)
        catalog.paid(release)
      } catch (error) {
        log.warn('the mounter could not be told that a layer is not needed; it will be', { ...release, error })
        return
      }
    }
  }

  /** Returns why the layer has to be unpacked. @throws {Refusal} `already-exists` when it does not */
  async #lazily(key: string, parent: string, asked: Asked): Promise<string> {
    const { catalog, log, witness } = this.#parts
    const { ref } = asked
    const known = catalog.lazyOf(ref, parent)
    if (known) throw new Refusal('already-exists', `layer ${ref} is mounted already, as snapshot ${known.name}`)
    const place = JSON.stringify([ref, parent])
    const opening = this.#opening.get(place) ?? this.#open(key, parent, asked)
    this.#opening.set(place, opening)
    let snapshot: Snapshot
    try {
      snapshot = await opening
    } catch (error) {
      if (error instanceof Refusal) throw error
      const { code, message } = Failure.from(error)
      witness.unpacked(code)
      log.warn('a layer is fetched whole and unpacked: it cannot be read as it is needed', { ref, why: message })
      return message
    } finally {
      this.#opening.delete(place)
    }
    throw new Refusal('already-exists', `layer ${ref} is mounted, as snapshot ${snapshot.name}`)
  }

  async #open(key: string, parent: string, asked: Asked): Promise<Snapshot> {
    const { catalog, layers, clock, log, witness } = this.#parts
    const { ref, labels } = asked
    const layer = await layers.find(asked)
    const holder = `${this.holders}${crypto.randomUUID()}`
    this.opening.add(holder)
    try {
      const opened = await layers.open(layer, holder)
      const layerId = opened.id
      const snapshot = this.#placed(await this.#made(opened, parent), () => {
        // The name is the one that was asked for where nobody has it: the layer may be here on another parent.
        const name = catalog.find(ref) ? key : ref
        return catalog.createLazy({ name, parent, labels, layer, layerId, holder, now: clock.wall() })
      })
      witness.lazy()
      log.info('a layer is mounted, and read as it is needed', { ref, layer: layer.digest, from: layer.repository })
      return snapshot
    } finally {
      // What the mounter holds for nobody is found by that, and let go.
      this.opening.delete(holder)
    }
  }

  /** The folder of a layer that is mounted, with what is laid over it on that parent. */
  async #made({ id, path, implied }: Opened, parent: string): Promise<string> {
    const { catalog, folders, layers } = this.#parts
    const made = folders.makeLink(path)
    const below = implied && parent !== '' ? catalog.get(parent) : undefined
    if (!below) return made
    try {
      const chain = [below, ...catalog.chain(below)]
      await this.#there(chain)
      await layers.makeFolders(id, this.#shown(chain), overIn(made))
      return made
    } catch (error) {
      folders.forget(made)
      throw error
    }
  }

  async #create(kind: 'view' | 'active', key: string, parent: string, labels: Labels): Promise<Mount[]> {
    const { catalog, folders, clock } = this.#parts
    const below = parent === '' ? undefined : catalog.find(parent)
    // First: a snapshot that cannot be mounted is none.
    if (below) await this.#there([below, ...catalog.chain(below)])
    const owner: Owner | undefined = mappedRoot(labels) ?? (below && (await folders.ownerOf(below.id)))
    const created = this.#placed(folders.make(kind, owner), () =>
      catalog.create(kind, key, parent, labels, clock.wall()),
    )
    return this.#mountsOf(created, catalog.chain(created))
  }

  /** A snapshot and its folder, or neither. */
  #placed(made: string, create: () => Snapshot): Snapshot {
    const { catalog, folders } = this.#parts
    try {
      return catalog.atOnce(() => {
        const created = create()
        folders.put(made, created.id)
        return created
      })
    } catch (error) {
      folders.forget(made)
      throw error
    }
  }

  #mountsOf({ id, kind }: Snapshot, chain: readonly Snapshot[]): Mount[] {
    const { folders } = this.#parts
    return mountsOf({ kind, files: folders.files(id), work: folders.work(id), parents: this.#shown(chain) })
  }

  #shown(chain: readonly Snapshot[]): string[] {
    return distinct(chain).flatMap(({ id }) => this.#parts.folders.shown(id))
  }

  async #there(chain: readonly Snapshot[]): Promise<void> {
    await Promise.all(chain.map((snapshot) => snapshot.lazy && this.#mounted(snapshot.id, snapshot.lazy)))
  }

  /** The host may have been started anew since it was mounted, or the mounter. */
  async #mounted(id: number, { layer, layerId, holder }: Lazy): Promise<void> {
    const { catalog, folders, layers, log } = this.#parts
    try {
      const found = await layers.reopen(layer, holder)
      folders.relink(id, found.path)
      if (found.id !== layerId) catalog.setLayerId(id, found.id)
    } catch (error) {
      // What is mounted goes on without the process that mounted it, as far as it was read.
      const link = folders.linkOf(id)
      if (link === undefined || !layers.mounted(link)) return unavailable(error)
      log.warn('the mounter could not be told that a layer is needed; it is mounted, and used as it is', {
        layer: layer.digest,
        error,
      })
    }
  }
}

/**
 * Without the lower ones of a layer that an image lists more than once, the nearest first: an overlay refuses the same
 * directory twice, and the upper one hides the lower one completely. By digest, for links may lead elsewhere by the time
 * that containerd mounts.
 */
function distinct(chain: readonly Snapshot[]): Snapshot[] {
  const seen = new Set<string>()
  return chain.filter(({ lazy }) => {
    if (!lazy) return true
    const again = seen.has(lazy.layer.digest)
    seen.add(lazy.layer.digest)
    return !again
  })
}

function unavailable(error: unknown): never {
  throw new Refusal('unavailable', Failure.from(error).message)
}
