/** Images as root file systems: their layers held, and an overlay of them at a directory. */
import { randomUUID } from 'node:crypto'
import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../../clock.ts'
import { Failure } from '../../failure.ts'
import { Mirror } from '../../get/mirror.ts'
import { isPlatform, platformOf } from '../../get/platform.ts'
import { refuseStranger } from '../../local/stranger.ts'
import type { Digest } from '../../oci/digest.ts'
import { formatReference, parseReference, type Reference } from '../../oci/reference.ts'
import type { Log } from '../../telemetry/log.ts'
import { Turns } from '../../turns.ts'
import { busySentence, type Kernel } from '../kernel/kernel.ts'
import { type RootMount, rootMount } from '../kernel/overlay.ts'
import { isOurRoot, type MountEntry, topmostAt } from '../kernel/table.ts'
import type { LayerFacts, MountFacts } from './api.ts'
import { type ImageFacts, readImage } from './image.ts'
import type { Layers } from './layers.ts'
import { Leftovers, writtenIn } from './leftovers.ts'
import { imagesMounted } from './mounted.ts'
import type { Places } from './places.ts'
import type { MountState } from './state.ts'

export interface WantedMount {
  readonly node: { readonly registry: string; readonly admin?: string | undefined }
  readonly image: string
  readonly dir: string
  readonly rw: boolean
  /** See {@link RootMount}. */
  readonly suid: boolean
  readonly dev: boolean
  readonly prefetch: boolean
  readonly platform?: string | undefined
}

export interface MountsInit {
  readonly places: Places
  readonly layers: Layers
  readonly kernel: Kernel
  /** What is mounted now, the oldest first. */
  readonly table: () => readonly MountEntry[]
  readonly clock: Clock
  readonly log: Log
  /** Before a change is relied on. @throws {Failure} */
  readonly save: () => Promise<void>
  /** After something was let go. */
  readonly note: () => void
}

export class Mounts {
  readonly #o: MountsInit
  readonly #byDir = new Map<string, MountState>()
  readonly #turns = new Turns()
  readonly #leftovers: Leftovers

  constructor(init: MountsInit) {
    this.#o = init
    this.#leftovers = new Leftovers(init)
  }

  get count(): number {
    return this.#byDir.size
  }

  state(): MountState[] {
    return [...this.#byDir.values()]
  }

  facts(): MountFacts[] {
    const layers = new Map(this.#o.layers.facts().map((fact) => [fact.id, fact]))
    return this.state().map((mount) => factsOf(mount, layers))
  }

  /** What a mounter before this one has left. */
  adopt(states: readonly MountState[]): void {
    for (const mount of states) this.#byDir.set(mount.dir, mount)
    this.#leftovers.find(new Set(states.map((mount) => mount.writable)))
  }

  /** Removes what was made for root file systems that nobody uses any more. */
  sweep(): Promise<void> {
    return this.#leftovers.sweep()
  }

  /** @throws {Failure} */
  add(wanted: WantedMount): Promise<MountFacts> {
    // One after the other for a directory, by whatever name it is asked for first.
    return this.#turns.alone(wanted.dir, async () => {
      const reference = parseReference(wanted.image)
      const platform = wanted.platform ?? platformOf(process.arch)
      if (!isPlatform(platform) || platform === 'all') {
        throw new Failure('bad-request', `--platform "${platform}": one platform is mounted, such as linux/arm64`)
      }
      const { real } = await this.#o.kernel.look(wanted.dir)
      return this.#inLine(real, wanted.dir, async () => {
        const dir = await this.#free(wanted.dir)
        // Which image a tag means is for the node to say.
        await refuseStranger(wanted.node.registry)
        const image = await readImage(reference, platform, mirrorOf(wanted, this.#o.clock))
        return this.#mount({ ...wanted, dir }, reference, image)
      })
    })
  }

  /** @throws {Failure} when it is none of ours, or in use */
  remove(asked: string): Promise<void> {
    return this.#turns.alone(asked, async () => {
      const real = this.#byDir.has(asked) ? asked : (await this.#o.kernel.look(asked)).real
      return this.#inLine(real, asked, async () => {
        const mount = this.#byDir.get(real)
        if (!mount && !imagesMounted(this.#o.table(), this.#o.places).includes(real)) {
          throw new Failure('no-name', `nothing is mounted at ${asked} by shoal; shoal mounts lists what is`)
        }
        await this.#unmount(real)
        this.#byDir.delete(real)
        if (mount) await this.#letGo(mount)
        // What was made for it is among these.
        else this.#leftovers.lookAgain()
        this.#o.note()
        this.#o.log.info('unmounted', { dir: real, image: mount?.image })
      })
    })
  }

  /** Ours and nothing else: umount(2) takes away what lies on top. @throws {Failure} */
  async #unmount(dir: string): Promise<void> {
    const { kernel, table } = this.#o
    const last = topmostAt(table(), dir)
    // Somebody has unmounted it already.
    if (!last) return
    if (!isOurRoot(last)) {
      throw new Failure(
        'pinned',
        `over the image at ${dir} lies something that shoal did not mount, a ${last.type} of ${last.source}; ` +
          `umount ${dir} takes that away, and shoal umount ${dir} then the image`,
      )
    }
    if (!(await kernel.unmount(dir))) throw new Failure('pinned', busySentence(dir))
    if (topmostAt(table(), dir)?.id !== last.id) return
    throw new Failure('pinned', `${dir} is hidden by what is mounted over a folder above it; unmount that first`)
  }

  /** In the line of the directory itself, for who is in that of another name of it. */
  #inLine<T>(real: string, asked: string, task: () => Promise<T>): Promise<T> {
    return real === asked ? task() : this.#turns.alone(real, task)
  }

  /** The directory without links, where something can be mounted. @throws {Failure} */
  async #free(dir: string): Promise<string> {
    const { kind, real, empty } = await this.#o.kernel.look(dir)
    if (kind === 'nothing') throw new Failure('bad-request', `there is no directory ${dir}: mkdir -p ${dir}`)
    if (kind === 'broken') {
      throw new Failure('bad-request', `${dir} does not answer: something broken is mounted there; umount -l ${dir}`)
    }
    if (kind !== 'directory') throw new Failure('bad-request', `${dir} is not a directory; choose one that is empty`)
    const there = this.#byDir.get(real)
    if (there) {
      throw new Failure('bad-request', `${there.image} is mounted at ${real} already; shoal umount ${real} first`)
    }
    if (topmostAt(this.#o.table(), real)) {
      throw new Failure('bad-request', `${real} is a mount point of something else; choose another directory`)
    }
    if (!empty) throw new Failure('bad-request', `${real} is not empty, and its files would be hidden; choose another`)
    return real
  }

  async #mount(wanted: WantedMount, reference: Reference, image: ImageFacts): Promise<MountFacts> {
    const { layers, kernel, places, save, note, log } = this.#o
    const { dir, rw, suid, dev, prefetch, node } = wanted
    const holder = `mount:${dir}`
    const held = await Promise.allSettled(
      topmost(image.layers).map(({ digest, mediaType, size, diffId }) =>
        layers.hold(
          {
            node: withoutAbsent(node),
            repository: reference,
            digest,
            mediaType,
            compressedSize: size,
            diffId,
            prefetch,
          },
          holder,
        ),
      ),
    )
    const facts = held.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    const needed = rw || facts.slice(1).some(({ implied }) => implied)
    const writable = needed ? join(places.writable, randomUUID()) : undefined
    const mount: MountState = {
      dir,
      image: formatReference(reference),
      manifest: image.manifest,
      platform: image.platform,
      rw,
      suid,
      dev,
      prefetch,
      since: new Date(this.#o.clock.wall()).toISOString(),
      layers: facts.map(({ id }) => id),
      process: image.process,
      ...(writable ? { writable } : {}),
    }
    try {
      const failed = held.find((result) => result.status === 'rejected')
      if (failed) throw failed.reason
      const upper = writable === undefined ? undefined : await this.#writable(writable, facts.at(-1)?.path)
      const paths = writable === undefined ? facts.map(({ path }) => path) : await this.#stacked(facts, writable)
      // Before it is there: after a kill in this moment nobody else would know that what is mounted there is ours.
      this.#byDir.set(dir, mount)
      await save()
      await kernel.make(rootMount({ layers: paths, empty: places.empty, writable: upper, rw, suid, dev, target: dir }))
    } catch (error) {
      this.#byDir.delete(dir)
      await this.#letGo(mount)
      note()
      throw error
    }
    log.info('mounted', { dir, image: mount.image, layers: facts.length })
    return factsOf(mount, new Map(facts.map((fact) => [fact.id, fact])))
  }

  /** Where the layers are, each with the folders over it that it does not describe; the lowest first. */
  async #stacked(layers: readonly LayerFacts[], folder: string): Promise<string[]> {
    const paths: string[] = []
    for (const [i, { id, path, implied }] of layers.entries()) {
      const into = join(folder, `over-${i}`)
      const below = paths.toReversed()
      paths.push(path)
      if (implied && i > 0 && (await this.#o.layers.makeFolders(id, { below, into }))) paths.push(into)
    }
    return paths
  }

  /**
   * Folders for what is written, also where nothing may be: it is by them that the kernel says whether somebody has the file
   * system. Its root is the upper one's: it must look as the image's does.
   */
  async #writable(folder: string, top: string | undefined) {
    const made = writtenIn(folder)
    for (const each of [made.upper, made.work]) mkdirSync(each, { recursive: true })
    if (top === undefined) chmodSync(made.upper, 0o755)
    else await this.#o.kernel.make({ do: 'alike', folder: made.upper, like: top })
    return made
  }

  async #letGo(mount: MountState): Promise<void> {
    const { layers, log } = this.#o
    const released = await Promise.allSettled(
      [...new Set(mount.layers)].map((id) => layers.release(id, `mount:${mount.dir}`)),
    )
    for (const result of released) {
      if (result.status === 'rejected')
        log.warn('a layer stays mounted', { error: Failure.from(result.reason).message })
    }
    if (mount.writable) await this.#leftovers.leave(mount.writable)
  }
}

/**
 * A layer that is listed more than once, as the empty one of builders often is, where it comes last: an overlay refuses
 * the same directory twice, and the upper one hides the lower one completely. Pure.
 */
export function topmost<T extends { readonly digest: Digest }>(layers: readonly T[]): T[] {
  const last = new Map(layers.map(({ digest }, i) => [digest, i]))
  return layers.filter(({ digest }, i) => last.get(digest) === i)
}

function factsOf(mount: MountState, layers: ReadonlyMap<string, LayerFacts>): MountFacts {
  const { writable: _, layers: ids, ...rest } = mount
  return { ...rest, layers: ids.flatMap((id) => layers.get(id) ?? []) }
}

function mirrorOf({ node }: WantedMount, clock: Clock): Mirror {
  return new Mirror({ base: node.registry.replace(/\/+$/, ''), clock })
}

function withoutAbsent({ registry, admin }: WantedMount['node']) {
  return admin === undefined ? { registry } : { registry, admin }
}
