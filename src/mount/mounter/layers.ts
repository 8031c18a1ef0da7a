/**
 * The layers that are mounted here, each once however many want it. A whole one is mounted from its file, and needs
 * this process no more; any other from a file of the FUSE file system. What is done to a layer is done one after the other.
 */
import { closeSync, mkdirSync, openSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { Failure } from '../../failure.ts'
import type { FuseFile, FuseServer } from '../../fuse/server.ts'
import { type Digest, shortDigest } from '../../oci/digest.ts'
import type { Log } from '../../telemetry/log.ts'
import { Turns } from '../../turns.ts'
import { hasImplied, type makeFolders } from '../kernel/implied-folders.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { layerMount } from '../kernel/overlay.ts'
import { readFarAhead } from '../kernel/read-ahead.ts'
import type { LayerProgress, LayerSpec, OpenLayer, UnpackedLayer } from '../unpacked-layer.ts'
import type { FoldersRequest, LayerFacts } from './api.ts'
import { LateLayer } from './late-layer.ts'
import type { Places } from './places.ts'
import type { Origin } from './report.ts'
import type { LayerState } from './state.ts'

export interface LayersInit {
  readonly places: Places
  readonly open: OpenLayer
  readonly kernel: Kernel
  readonly server: FuseServer
  /** See {@link isThere}. */
  readonly isThere: (superblock: string) => boolean
  readonly log: Log
  /** A number that no file has had. */
  readonly nextInode: () => number
  /** Writes down what {@link Layers.state} is; before a change is relied on. @throws {Failure} */
  readonly save: () => Promise<void>
  /** The same after something was let go: should it fail, more is written down than there is. */
  readonly note: () => void
}

/** What the kernel lets go of at an unmount it lets go of at once; it tells of it a moment later. */
const goneMs = 1000

interface Mounted {
  readonly id: string
  readonly inode: number
  readonly served: 'fuse' | 'file'
  spec: LayerSpec
  readonly holders: Set<string>
  readonly size: number
  readonly layer: LateLayer
  /** It is mounted at its place. It may be in use where it is not any more, and goes when that ends. */
  placed: boolean
  /** Of the file that reads are answered from. */
  fd: number | undefined
  /** How the kernel names its reading ahead, until that was set for good. */
  readAhead: string | undefined
  /** The same, for good, of one that is made of its own file: it is there as long as that file system is. */
  superblock: string | undefined
  /** What is here of it goes with it. */
  discard: boolean
  /** The file of its tree, where that has folders that it does not describe. */
  readonly tree: string | undefined
}

export class Layers {
  readonly #o: LayersInit
  readonly #byId = new Map<string, Mounted>()
  readonly #turns = new Turns()
  #sweeping = false

  constructor(init: LayersInit) {
    this.#o = init
  }

  get count(): number {
    return this.#byId.size
  }

  state(): LayerState[] {
    return [...this.#byId.values()].map((mounted) => this.#stateOf(mounted))
  }

  #stateOf(mounted: Mounted): LayerState {
    const { id, inode, served, size, holders, spec, readAhead, superblock, tree, placed } = mounted
    return {
      id,
      ...(placed ? {} : { unplaced: true }),
      opened: this.#opened(mounted),
      ...(superblock === undefined ? {} : { superblock }),
      ...(readAhead === undefined ? {} : { readAhead }),
      ...(tree === undefined ? {} : { tree }),
      inode,
      served,
      size,
      holders: [...holders],
      spec: {
        ...spec,
        node: { ...spec.node },
        repository: { registry: spec.repository.registry, name: spec.repository.name },
      },
    }
  }

  facts(): LayerFacts[] {
    return [...this.#byId.values()].map((mounted) => this.#factsOf(mounted))
  }

  /** Each with where it comes from. */
  origins(): Origin[] {
    return [...this.#byId.values()].map((mounted) => ({
      facts: this.#factsOf(mounted),
      registry: mounted.spec.node.registry,
      repository: mounted.spec.repository,
    }))
  }

  /** @throws {Failure} */
  fact(id: string): LayerFacts {
    return this.#factsOf(this.#known(id))
  }

  /** Mounts it unless it is. @throws {Failure} */
  hold(spec: LayerSpec, holder: string): Promise<LayerFacts> {
    return this.#turns.alone(spec.diffId, async () => {
      const there = this.#there(spec.digest)
      // One that was mounted while it arrived stays as it is; whoever comes when all is here has it from the file.
      const mounted =
        there.find(({ served }) => served === 'file') ??
        there.find(({ layer }) => !layer.whole()) ??
        (await this.#mount(spec, there[0]))
      const again = mounted.placed
      if (!again) await this.#place(mounted, await mounted.layer.opened)
      const known = mounted.holders.has(holder)
      const before = mounted.spec
      mounted.holders.add(holder)
      // Whoever mounted it first may not have wanted all of it.
      mounted.spec = { ...before, prefetch: before.prefetch || spec.prefetch }
      const written = again && known && mounted.spec.prefetch === before.prefetch
      try {
        if (!written) await this.#o.save()
      } catch (error) {
        mounted.spec = before
        if (!known) await this.#letGo(mounted, holder, false)
        throw error
      }
      if (spec.prefetch) mounted.layer.prefetch()
      return this.#factsOf(mounted)
    })
  }

  /**
   * Unmounts it when nobody else holds it, and nobody uses it otherwise; what is here of it stays for the next mount unless
   * it is `discard`ed. What is not held is let go already. @throws {Failure}
   */
  release(id: string, holder: string, discard = false): Promise<void> {
    const spec = this.#byId.get(id)?.spec
    if (!spec) return Promise.resolve()
    return this.#turns.alone(spec.diffId, async () => {
      const mounted = this.#byId.get(id)
      if (!mounted) return
      await this.#letGo(mounted, holder, discard)
      this.#o.note()
    })
  }

  /**
   * Makes what is to be laid over a layer that goes over others, see {@link makeFolders}.
   * @returns false where nothing is, and nothing was made @throws {Failure}
   */
  async makeFolders(id: string, { below, into }: FoldersRequest): Promise<boolean> {
    const { tree } = this.#known(id)
    if (tree === undefined) return false
    const layer = join(this.#o.places.layers, id)
    const { made } = await this.#o.kernel.make({ do: 'folders', tree, layer, below: [...below], into })
    return made ?? false
  }

  /** Serves what another process of ours mounted, of which this one has the descriptor. */
  adopt(states: readonly LayerState[]): void {
    for (const state of states) {
      const { id, inode, served, size, holders, spec, readAhead, tree, unplaced = false, opened = 1 } = state
      const layer = new LateLayer(() => this.#o.open(spec as LayerSpec, false))
      const mounted: Mounted = {
        id,
        inode,
        served,
        size,
        holders: new Set(holders),
        spec: spec as LayerSpec,
        layer,
        placed: !unplaced,
        fd: undefined,
        readAhead,
        superblock: state.superblock,
        discard: false,
        tree,
      }
      this.#byId.set(id, mounted)
      if (served === 'fuse') this.#o.server.add(waiting(mounted), opened)
      layer.opened.then(
        (opened) => {
          // It may have been let go when it was about to be there.
          if (this.#byId.get(id) === mounted) this.#serveLate(mounted, opened)
        },
        () => {},
      )
    }
  }

  /** The kernel reads far ahead in what is all here by now. */
  tune(): void {
    for (const mounted of this.#byId.values()) {
      if (mounted.readAhead === undefined || !mounted.layer.progress()?.complete) continue
      readFarAhead(mounted.readAhead, this.#o.places.unpacked)
      mounted.readAhead = undefined
    }
  }

  /** Unmounts what nobody holds and was in use when it was let go: nobody says when that ends. */
  async sweep(): Promise<void> {
    if (this.#sweeping) return
    this.#sweeping = true
    for (const mounted of [...this.#byId.values()].filter(({ holders }) => holders.size === 0)) {
      await this.#turns.alone(mounted.spec.diffId, async () => {
        const unheld = this.#byId.get(mounted.id) === mounted && mounted.holders.size === 0
        // What fails is tried again.
        if (unheld && (await this.#unmount(mounted).catch(() => false))) this.#o.note()
      })
    }
    this.#sweeping = false
  }

  /** Lets go of files; mounts stay as they are. */
  async close(): Promise<void> {
    await Promise.all([...this.#byId.values()].map(({ layer }) => layer.close()))
  }

  /**
   * What can be held of a layer. Not what is out of sight and made of the layer's own file: the kernel goes on by itself with
   * that, and it may not be right any more.
   */
  #there(digest: Digest): Mounted[] {
    return [...this.#byId.values()].filter(
      ({ spec, placed, served }) => spec.digest === digest && (placed || served === 'fuse'),
    )
  }

  async #mount(spec: LayerSpec, early: Mounted | undefined): Promise<Mounted> {
    const { open, nextInode, log } = this.#o
    const layer = await open(spec, true)
    const { size } = layer
    if (early && !layer.whole()) {
      // Somebody has touched its file in this moment.
      await layer.close()
      return early
    }
    const id = this.#free(layer.id)
    const served = layer.whole() ? 'file' : 'fuse'
    const mounted: Mounted = {
      id,
      inode: nextInode(),
      served,
      spec,
      holders: new Set(),
      size,
      layer: LateLayer.of(layer),
      placed: false,
      fd: undefined,
      readAhead: undefined,
      superblock: undefined,
      discard: false,
      tree: hasImplied(layer.metadataPath) ? layer.metadataPath : undefined,
    }
    try {
      this.#serve(mounted, layer)
      await this.#place(mounted, layer)
    } catch (error) {
      await this.#forget(mounted)
      throw error
    }
    this.#byId.set(id, mounted)
    log.info('a layer is mounted', { layer: shortDigest(spec.digest), served, size })
    return mounted
  }

  /** Others may be in use that were made of the same layer: each has a place of its own. */
  #free(id: string): string {
    for (let n = 1, free = id; ; free = `${id}-${++n}`) if (!this.#byId.has(free)) return free
  }

  /** Mounts it at its place; once more, where it is in use still and was unmounted. @throws {Failure} */
  async #place(mounted: Mounted, { metadataPath, path }: UnpackedLayer): Promise<void> {
    const { places, kernel } = this.#o
    const { id, served } = mounted
    const target = join(places.layers, id)
    mkdirSync(target, { recursive: true, mode: 0o700 })
    const device = served === 'file' ? path : join(places.files, id)
    // One at a time, so that it is known which of the kernel's new names is whose.
    const made = await this.#turns.alone('mount', () =>
      kernel.make(layerMount(metadataPath, device, served === 'file', target)),
    )
    mounted.placed = true
    mounted.readAhead = made.readAhead
    if (served === 'file') mounted.superblock = made.readAhead
  }

  /** The last holder is one until it is unmounted: where that fails it can let go once more. */
  async #letGo(mounted: Mounted, holder: string, discard: boolean): Promise<void> {
    const others = [...mounted.holders].filter((each) => each !== holder)
    mounted.discard ||= discard
    if (others.length === 0 && !(await this.#unmount(mounted))) {
      // Somebody looks into it past its holders.
      this.#o.log.warn('a layer that nobody holds is in use; it goes when that ends', { layer: mounted.id })
    }
    mounted.holders.delete(holder)
  }

  /** False when it is in use, and served on: at its place, or by who has what was made of it there. */
  async #unmount(mounted: Mounted): Promise<boolean> {
    const { places, kernel, server } = this.#o
    const { id, placed } = mounted
    if (placed && !(await kernel.unmount(join(places.layers, id)))) return false
    mounted.placed = false
    if (placed) await server.closed(id, goneMs)
    if (this.#opened(mounted) > 0) return false
    this.#byId.delete(id)
    await this.#forget(mounted, mounted.discard)
    return true
  }

  /** How many file systems there are of it, wherever they are mounted. */
  #opened({ id, served, superblock }: Mounted): number {
    if (served === 'fuse') return this.#o.server.opened(id)
    return superblock !== undefined && this.#o.isThere(superblock) ? 1 : 0
  }

  async #forget(mounted: Mounted, discard = false): Promise<void> {
    await this.#o.server.remove(mounted.id)
    if (mounted.fd !== undefined) closeSync(mounted.fd)
    mounted.fd = undefined
    await (discard ? mounted.layer.discard() : mounted.layer.close())
    try {
      rmdirSync(join(this.#o.places.layers, mounted.id))
    } catch {
      // Still a mount, or gone already: it is found again when the next mounter begins.
    }
  }

  /** Its reads go to the layer in any case. */
  #serveLate(mounted: Mounted, layer: UnpackedLayer): void {
    try {
      this.#serve(mounted, layer)
    } catch (error) {
      this.#o.log.warn('the file of a layer cannot be opened; each read of it takes the long way', {
        layer: mounted.id,
        error: (error as Error).message,
      })
    }
  }

  /** From now on its bytes come from the file, and from the layer where that has them not. */
  #serve(mounted: Mounted, layer: UnpackedLayer): void {
    if (mounted.served === 'file') return
    mounted.fd = openSync(layer.path, 'r')
    const { block, bits, ctime } = layer.readyMap
    const { id, inode, size, fd } = mounted
    this.#o.server.add({
      name: id,
      node: inode,
      size,
      fd,
      block,
      bits,
      ctime,
      read: (offset, length, signal) => layer.read(offset, length, signal),
    })
  }

  #known(id: string): Mounted {
    const mounted = this.#byId.get(id)
    if (!mounted) throw new Failure('no-blob', `no layer ${id} is mounted here; shoal mounts lists what is`)
    return mounted
  }

  #factsOf({ id, spec, holders, layer, size, tree }: Mounted): LayerFacts {
    const progress: LayerProgress = layer.progress() ?? {
      size,
      here: 0,
      fetched: 0,
      deduped: 0,
      disk: 0,
      complete: false,
      indexed: true,
      errors: layer.failed ? [layer.failed] : [],
    }
    return {
      ...progress,
      errors: [...progress.errors],
      id,
      digest: spec.digest,
      path: join(this.#o.places.layers, id),
      holders: [...holders],
      ...(tree === undefined ? {} : { implied: true }),
    }
  }
}

/** The file of a layer that is being opened: its reads wait for that. */
function waiting({ id, inode, size, layer }: Mounted): FuseFile {
  return {
    name: id,
    node: inode,
    size,
    fd: -1,
    block: 4096,
    bits: new SharedArrayBuffer(0),
    ctime: new SharedArrayBuffer(8),
    read: async (offset, length, signal) => (await layer.opened).read(offset, length, signal),
  }
}
