/**
 * All unpacked layers of this host: each is opened once however many mounts it has, has what others have from them, and
 * stays for a while when nobody mounts it any more.
 */
import { setImmediate } from 'node:timers/promises'
import { type Clock, every } from '../../clock.ts'
import { Failure } from '../../failure.ts'
import { type Digest, shortDigest } from '../../oci/digest.ts'
import { OpenFiles } from '../../store/open-files.ts'
import { Turns } from '../../turns.ts'
import type { LayerSpec, OpenLayer, UnpackedLayer } from '../unpacked-layer.ts'
import { planRemoval } from './eviction.ts'
import { handOver } from './handing-over.ts'
import { Layer } from './layer.ts'
import { hasBytes, leftIn, put, readIndex } from './layer-files.ts'
import { diskOf, foldersIn, layerFolder, makeFolder, removeFolder } from './layer-folder.ts'
import { LayerMaking } from './layer-making.ts'
import { LayerUse } from './layer-use.ts'
import { type Blob, NodeClient } from './node-client.ts'
import { Places } from './places.ts'
import { withRoom } from './room.ts'
import { States } from './states.ts'
import type { Surroundings } from './surroundings.ts'
import { Tending } from './tending.ts'
import { Traffic } from './traffic.ts'
import { type UnpackWhole, unpackInChild } from './whole.ts'

/** Between two looks at what has changed and how much there is, ms. */
const tidyMs = 5000

export interface UnpackedLayersOptions {
  /** Folder of their own; made if it is not there. */
  readonly dir: string
  readonly clock: Clock
  /** Bytes of the disk that all of them may take; what is mounted stays even so. */
  readonly limitBytes: number
  readonly log?: (sentence: string) => void
  /** How layers without an index are unpacked. */
  readonly unpack?: UnpackWhole
  /** Tests have disks with bad sectors. */
  readonly files?: OpenFiles
}

interface Held {
  readonly layer: Layer
  /** Mounts. */
  users: number
  tending: Tending | undefined
}

export class UnpackedLayers {
  readonly #o: UnpackedLayersOptions
  readonly #held = new Map<Digest, Held>()
  /** One thing at a time is done to a layer as a whole. */
  readonly #turns = new Turns<Digest>()
  readonly #places = new Places<Layer>()
  /** Being removed: they lend nothing more. */
  readonly #leaving = new Set<Layer>()
  /** Being opened: it waits for room itself, perhaps. */
  readonly #opening = new Set<Digest>()
  readonly #around: Surroundings
  readonly #making: LayerMaking
  readonly #states = new States()
  readonly #ended = new AbortController()
  /** What an earlier process left, and nobody has looked at yet. */
  readonly #unread = new Set<Digest>()
  /** Resolves when there is nothing of that any more. */
  readonly #remembered: Promise<void>
  readonly #stopTidying: () => void
  /** All is known that an earlier process left: what layers have from others is there, or counts no more. */
  #reviewed = false
  #tidying: Promise<void> | undefined
  #disk = 0

  constructor(options: UnpackedLayersOptions) {
    this.#o = options
    const { clock } = options
    this.#around = {
      clock,
      traffic: new Traffic(clock),
      files: options.files ?? new OpenFiles(128),
      find: (digest) => this.#places.find(digest),
      stays: (digest) => this.#places.find(digest, this.#leaving) !== undefined,
      coming: new Map(),
      kept: (layer, chunks) => {
        for (const chunk of chunks) this.#places.add(layer, chunk)
      },
      makeRoom: () => this.makeRoom(),
    }
    this.#making = new LayerMaking({
      around: this.#around,
      log: (sentence) => options.log?.(sentence),
      unpack: options.unpack ?? unpackInChild,
      signal: this.#ended.signal,
    })
    for (const digest of foldersIn(options.dir)) this.#unread.add(digest)
    this.#remembered = this.#rememberAll().then(() => this.#review())
    this.#stopTidying = every(clock, tidyMs, () => void this.tidy())
  }

  /** See {@link OpenLayer}; of a layer that is mounted already what is read now is no start's. @throws {Failure} */
  async open(spec: LayerSpec, start = true): Promise<UnpackedLayer> {
    return await this.#turns.alone(spec.digest, () => {
      this.#opening.add(spec.digest)
      return this.#around.traffic.open(() => this.#open(spec, start)).finally(() => this.#opening.delete(spec.digest))
    })
  }

  /** In its turn. */
  async #open(spec: LayerSpec, start: boolean): Promise<UnpackedLayer> {
    const client = new NodeClient(spec.node, this.#o.clock)
    const blob = { repository: spec.repository, digest: spec.digest }
    await this.#remember(spec.digest)
    const { traffic } = this.#around
    const held = (await this.#known(spec.digest)) ?? (await this.#make(spec, client, blob))
    const { layer } = held
    if (layer.shape.diffId !== spec.diffId) {
      throw new Failure('corrupt', `${shortDigest(spec.digest)} unpacks to something else than this image says`)
    }
    held.users++
    layer.usedAt = this.#o.clock.wall()
    layer.source = { client, blob }
    layer.again.refill = (use, signal) => this.#making.refill(spec, layer.folder, client, { use, signal })
    if (this.#reviewed) layer.lending.review()
    this.#borrowAll(layer)
    const { clock } = this.#o
    held.tending ??= new Tending({
      layer,
      client,
      blob,
      clock,
      traffic,
      known: this.#remembered,
      start,
      roomy: () => this.#disk < this.#o.limitBytes,
    })
    if (spec.prefetch) held.tending.bringAll()
    return new LayerUse(
      layer,
      () => held.tending?.bringAll(),
      () => this.#close(spec.digest),
      () => this.#remove(spec.digest),
    )
  }

  /** The disk is full: the layer goes that was unused for longest. False when all are mounted, or about to be. */
  async makeRoom(): Promise<boolean> {
    // What an earlier process left is unused too.
    for (const digest of [...this.#unread]) {
      // One that is being opened is known by now, and may take as long as its index is made.
      if (this.#unread.has(digest)) await this.#turns.alone(digest, () => this.#remember(digest))
    }
    // What is being removed hands over what others have from it, and may have found the disk full itself.
    const busy = (digest: Digest, layer: Layer) => this.#leaving.has(layer) || this.#opening.has(digest)
    const unused = [...this.#held].filter(([digest, { users, layer }]) => users === 0 && !busy(digest, layer))
    const oldestFirst = unused.sort(([, a], [, b]) => a.layer.usedAt - b.layer.usedAt)
    // One may have been mounted meanwhile.
    for (const [digest] of oldestFirst) if (await this.#remove(digest)) return true
    return false
  }

  /** `disk`: bytes of the disk; `saved`: bytes of chunks that several layers have and that are stored once. */
  usage() {
    const held = [...this.#held.values()]
    return {
      layers: held.length,
      mounted: held.filter(({ users }) => users > 0).length,
      disk: this.#disk,
      limitBytes: this.#o.limitBytes,
      saved: held.reduce((sum, { layer }) => sum + layer.holdings.lentBytes, 0),
    }
  }

  /** Writes down what has changed, and removes what is more than there may be. */
  tidy(): Promise<void> {
    this.#tidying ??= this.#tidy().finally(() => {
      this.#tidying = undefined
    })
    return this.#tidying
  }

  /** Ends all that runs. What is mounted is served no longer. */
  async close(): Promise<void> {
    this.#stopTidying()
    this.#ended.abort(new Failure('cancelled', 'the mounter ends'))
    await this.#remembered
    await this.#tidying
    await Promise.all([...this.#held.values()].map(({ tending }) => tending?.end()))
    const rest = async (layer: Layer) => {
      await layer.rest()
      await this.#writeDown(layer)
    }
    for (const [digest, { layer }] of this.#held) await this.#turns.alone(digest, () => rest(layer))
    await this.#around.files.dropAll()
  }

  async #close(digest: Digest): Promise<void> {
    await this.#turns.alone(digest, async () => {
      const held = this.#held.get(digest)
      if (!held) return
      if (held.users > 1) {
        held.users--
        return
      }
      // It counts as used until then: what is still being written may find the disk full, and have room made.
      await held.tending?.end()
      held.tending = undefined
      await held.layer.rest()
      held.users--
      held.layer.usedAt = this.#o.clock.wall()
      await this.#states.write(held.layer)
    })
  }

  /**
   * A layer that is here, with its tree on the disk as its index has it: the kernel reads the tree as it is, and has no
   * digests to hold it against. Where the index is damaged itself, all of it is brought anew.
   */
  async #known(digest: Digest): Promise<Held | undefined> {
    const held = this.#held.get(digest)
    if (!held || held.users > 0) return held
    const { folder, shape } = held.layer
    const index = readIndex(folder, shape.index)
    if (!index || held.layer.refuted) {
      await this.#drop(digest)
      return undefined
    }
    held.layer.points = index.points
    if (!hasBytes(folder.metadata, index.metadata))
      await withRoom(this.#around.makeRoom, () => put(folder.metadata, index.metadata))
    return held
  }

  /** Reads go on meanwhile; a layer that is opened is looked at before. */
  async #rememberAll(): Promise<void> {
    for (const digest of [...this.#unread]) {
      await setImmediate()
      if (this.#ended.signal.aborted) return
      if (this.#unread.has(digest)) await this.#turns.alone(digest, () => this.#remember(digest))
    }
  }

  /** Not before all is known that an earlier process left. */
  async #review(): Promise<void> {
    if (this.#ended.signal.aborted) return
    this.#reviewed = true
    for (const { layer } of this.#held.values()) {
      layer.lending.review()
      await setImmediate()
    }
  }

  /** On a full disk not all could be handed over: there may be room now, and what there is none for is here no more. */
  async #handedOver(): Promise<void> {
    for (const { layer } of this.#held.values()) await layer.keeping.again()
    if (!this.#reviewed) return
    for (const { layer, tending } of this.#held.values()) if (layer.lending.review()) tending?.goOn()
  }

  /** A layer that an earlier process left. What it left that is not sound goes. */
  async #remember(digest: Digest): Promise<void> {
    if (!this.#unread.delete(digest)) return
    const folder = layerFolder(this.#o.dir, digest)
    const left = leftIn(folder, digest)
    if (!left) return await removeFolder(folder)
    const layer = new Layer(folder, left.shape, left.state, this.#around)
    this.#held.set(digest, { layer, users: 0, tending: undefined })
    for (const chunk of layer.holdings.own.indexes()) this.#places.add(layer, chunk)
  }

  async #make(spec: LayerSpec, client: NodeClient, blob: Blob): Promise<Held> {
    const folder = layerFolder(this.#o.dir, spec.digest)
    await removeFolder(folder)
    await withRoom(this.#around.makeRoom, () => makeFolder(folder))
    try {
      const layer = await this.#making.begin(spec, folder, client, blob)
      const held: Held = { layer, users: 0, tending: undefined }
      this.#held.set(spec.digest, held)
      await this.#states.write(layer)
      return held
    } catch (error) {
      await removeFolder(folder)
      throw error
    }
  }

  #borrowAll(layer: Layer): void {
    const { holdings } = layer
    for (let at = holdings.nextMissing(0); at < layer.shape.table.count; at = holdings.nextMissing(at + 1)) {
      layer.lending.borrow(at)
    }
  }

  async #tidy(): Promise<void> {
    await this.#remembered
    for (const [digest, { layer }] of this.#held) await this.#turns.alone(digest, () => this.#writeDown(layer))
    this.#disk = this.#look()
    const keepings = [...this.#held].map(([digest, { layer, users }]) => ({
      digest,
      disk: diskOf(layer.folder),
      usedAt: layer.usedAt,
      mounted: users > 0,
    }))
    for (const digest of planRemoval(keepings, this.#o.limitBytes)) await this.#remove(digest)
    this.#disk = this.#look()
  }

  /** In its turn; unless it went before that came. */
  async #writeDown(layer: Layer): Promise<void> {
    if (this.#held.get(layer.shape.digest)?.layer === layer) await this.#states.write(layer)
  }

  #look(): number {
    return [...this.#held.values()].reduce((sum, { layer }) => sum + diskOf(layer.folder), 0)
  }

  /** What others have from it goes to one of them first. False if it is mounted. */
  async #remove(digest: Digest): Promise<boolean> {
    return await this.#turns.alone(digest, () => this.#drop(digest))
  }

  /** In its turn. */
  async #drop(digest: Digest): Promise<boolean> {
    const held = this.#held.get(digest)
    if (!held || held.users > 0) return false
    const { layer } = held
    this.#leaving.add(layer)
    try {
      await handOver(this.#held.values(), this.#leaving, this.#around)
      this.#places.forget(layer)
      this.#held.delete(digest)
    } finally {
      this.#leaving.delete(layer)
    }
    this.#states.forget(layer)
    await layer.letGo()
    await removeFolder(layer.folder)
    await this.#handedOver()
    return true
  }
}
