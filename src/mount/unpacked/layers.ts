/**
 * All unpacked layers of this host: each is opened once however many mounts it has, has what others have from them, and
 * stays for a while when nobody mounts it any more.
 */
import { readFileSync, statSync } from 'node:fs'
import { rename, rm, writeFile } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import type { Clock } from '../../clock.ts'
import { every } from '../../clock.ts'
import { Failure } from '../../failure.ts'
import { decodeIndex } from '../../layer-index/decode.ts'
import type { LayerIndex } from '../../layer-index/layer-index.ts'
import { type Digest, digestOf, shortDigest } from '../../oci/digest.ts'
import { Bitmap } from '../../piece/bitmap.ts'
import { OpenFiles } from '../../store/open-files.ts'
import { noPoints } from '../../zran/points.ts'
import type { LayerSpec, UnpackedLayer } from '../unpacked-layer.ts'
import { ChunkTable } from './chunk-table.ts'
import { planRemoval } from './eviction.ts'
import { bringIndex, misfitOf } from './index-of.ts'
import { Layer, type LayerShape, type Surroundings } from './layer.ts'
import { diskOf, foldersIn, type LayerFolder, layerFolder, makeFolder, removeFolder } from './layer-folder.ts'
import { type Blob, NodeClient } from './node-client.ts'
import { Places } from './places.ts'
import { bootId, type LayerState, readState, writeState } from './state-file.ts'
import { Tending } from './tending.ts'
import { Traffic } from './traffic.ts'
import { type Target, type UnpackWhole, unpackInChild } from './whole.ts'

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
}

interface Held {
  readonly layer: Layer
  /** Mounts. */
  users: number
  tending: Tending | undefined
}

/** For people. */
export interface LayersUsage {
  readonly layers: number
  readonly mounted: number
  /** Bytes of the disk. */
  readonly disk: number
  readonly limitBytes: number
  /** Bytes of chunks that several layers have and that are stored once. */
  readonly saved: number
}

export class UnpackedLayers {
  readonly #o: UnpackedLayersOptions
  readonly #held = new Map<Digest, Held>()
  /** One thing at a time is done to a layer as a whole. */
  readonly #turns = new Map<Digest, Promise<unknown>>()
  readonly #places = new Places<Layer>()
  /** Being removed. */
  readonly #leaving = new Set<Digest>()
  readonly #around: Surroundings
  readonly #written = new Map<Layer, string>()
  readonly #ended = new AbortController()
  /** What an earlier process left, and nobody has looked at yet. */
  readonly #unread = new Set<Digest>()
  /** Resolves when there is nothing of that any more. */
  readonly #remembered: Promise<void>
  readonly #stopTidying: () => void
  #tidying: Promise<void> | undefined
  #disk = 0

  constructor(options: UnpackedLayersOptions) {
    this.#o = options
    const { clock } = options
    this.#around = {
      clock,
      traffic: new Traffic(clock),
      files: new OpenFiles(128),
      find: (digest) => this.#places.find(digest),
      coming: new Map(),
      kept: (layer, chunks) => {
        for (const chunk of chunks) this.#places.add(layer, chunk)
      },
      makeRoom: () => this.#makeRoom(),
    }
    for (const digest of foldersIn(options.dir)) this.#unread.add(digest)
    this.#remembered = this.#rememberAll()
    this.#stopTidying = every(clock, tidyMs, () => void this.tidy())
  }

  /** @throws {Failure} */
  async open(spec: LayerSpec): Promise<UnpackedLayer> {
    return await this.#inTurn(spec.digest, async () => {
      const client = new NodeClient(spec.node, this.#o.clock)
      const blob = { repository: spec.repository, digest: spec.digest }
      await this.#remember(spec.digest)
      const held = (await this.#known(spec.digest)) ?? (await this.#make(spec, client, blob))
      const { layer } = held
      if (layer.shape.diffId !== spec.diffId) {
        throw new Failure('corrupt', `${shortDigest(spec.digest)} unpacks to something else than this image says`)
      }
      held.users++
      layer.usedAt = this.#o.clock.wall()
      layer.source = { client, blob }
      layer.refill = (use) => this.#refill(spec, layer.folder, client, use)
      this.#borrowAll(layer)
      const { clock } = this.#o
      const { traffic } = this.#around
      held.tending ??= new Tending({
        layer,
        client,
        blob,
        clock,
        traffic,
        roomy: () => this.#disk < this.#o.limitBytes,
      })
      traffic.soon()
      if (spec.prefetch) held.tending.bringAll()
      return new Mounted(
        layer,
        () => this.#close(spec.digest),
        () => this.#remove(spec.digest),
      )
    })
  }

  usage(): LayersUsage {
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
    for (const { layer } of this.#held.values()) {
      await layer.close()
      await this.#write(layer)
    }
    await this.#around.files.dropAll()
  }

  async #close(digest: Digest): Promise<void> {
    await this.#inTurn(digest, async () => {
      const held = this.#held.get(digest)
      if (!held) return
      if (held.users > 1) {
        held.users--
        return
      }
      // It counts as used until then: what is still being written may find the disk full, and have room made.
      await held.tending?.end()
      held.tending = undefined
      held.users--
      held.layer.usedAt = this.#o.clock.wall()
      await held.layer.file.rest()
      // Larger than all else that is known of it, and in its file.
      held.layer.points = noPoints
      await this.#write(held.layer)
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
    if (!hasBytes(folder.metadata, index.metadata)) await put(folder.metadata, index.metadata)
    return held
  }

  /** Reads go on meanwhile; a layer that is opened is looked at before. */
  async #rememberAll(): Promise<void> {
    for (const digest of [...this.#unread]) {
      await setImmediate()
      if (this.#ended.signal.aborted) return
      await this.#inTurn(digest, () => this.#remember(digest))
    }
  }

  /** A layer that an earlier process left. What it left that is not sound goes. */
  async #remember(digest: Digest): Promise<void> {
    if (!this.#unread.delete(digest)) return
    const folder = layerFolder(this.#o.dir, digest)
    const state = readState(folder.state)
    const index = state && readIndex(folder, state.facts.index)
    if (!state || !index || index.layer !== digest || index.chunks.count !== state.facts.chunks) {
      return await removeFolder(folder)
    }
    const { index: name, reason } = state.facts
    const layer = new Layer(folder, shapeOf(index, name as Digest, reason), state, this.#around)
    this.#held.set(digest, { layer, users: 0, tending: undefined })
    for (const chunk of layer.holdings.own.indexes()) this.#places.add(layer, chunk)
  }

  async #make(spec: LayerSpec, client: NodeClient, blob: Blob): Promise<Held> {
    const folder = layerFolder(this.#o.dir, spec.digest)
    await removeFolder(folder)
    makeFolder(folder)
    try {
      const layer = await this.#begin(spec, folder, client, blob)
      const held: Held = { layer, users: 0, tending: undefined }
      this.#held.set(spec.digest, held)
      await this.#write(layer)
      return held
    } catch (error) {
      await removeFolder(folder)
      throw error
    }
  }

  async #begin(spec: LayerSpec, folder: LayerFolder, client: NodeClient, blob: Blob): Promise<Layer> {
    const { clock } = this.#o
    const log = (sentence: string) => this.#o.log?.(sentence)
    const brought = await bringIndex(spec, blob, client, { clock, signal: this.#ended.signal, log })
    if ('index' in brought) {
      const { index, bytes } = brought
      await put(folder.metadata, index.metadata)
      await put(folder.index, bytes)
      const layer = new Layer(folder, shapeOf(index, digestOf(bytes), undefined), undefined, this.#around)
      layer.points = index.points
      return layer
    }
    const { reason } = brought
    log(`${shortDigest(spec.digest)} is fetched whole before it is mounted: ${reason}`)
    await this.#unpack(spec, folder, client)
    const bytes = new Uint8Array(readFileSync(folder.index))
    const index = decodeIndex(bytes)
    const misfit = misfitOf(spec, index)
    if (misfit) throw new Failure('corrupt', `${shortDigest(spec.digest)} is not mounted: what came of it ${misfit}`)
    await put(folder.metadata, index.metadata)
    const shape = shapeOf(index, digestOf(bytes), reason)
    const layer = new Layer(folder, shape, filled(folder, shape, clock.wall(), spec.compressedSize), this.#around)
    this.#around.kept(layer, layer.holdings.own.indexes())
    return layer
  }

  async #unpack(spec: LayerSpec, to: Target, client: NodeClient): Promise<void> {
    const { repository, digest, mediaType, compressedSize } = spec
    const unpack = this.#o.unpack ?? unpackInChild
    await unpack({ blob: { repository, digest }, mediaType, compressedSize }, to, client, this.#ended.signal)
  }

  async #refill(
    spec: LayerSpec,
    { data, index }: LayerFolder,
    client: NodeClient,
    use: (path: string) => Promise<void>,
  ): Promise<void> {
    const again = { data: `${data}.again`, index: `${index}.again` }
    try {
      await this.#unpack(spec, again, client)
      await use(again.data)
    } finally {
      await this.#around.files.drop(again.data)
      for (const path of Object.values(again)) await rm(path, { force: true })
    }
  }

  #borrowAll(layer: Layer): void {
    const { holdings } = layer
    for (let at = holdings.nextMissing(0); at < layer.shape.table.count; at = holdings.nextMissing(at + 1)) {
      layer.borrow(at)
    }
  }

  async #tidy(): Promise<void> {
    await this.#remembered
    for (const { layer } of this.#held.values()) await this.#write(layer)
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

  #look(): number {
    return [...this.#held.values()].reduce((sum, { layer }) => sum + diskOf(layer.folder), 0)
  }

  async #makeRoom(): Promise<boolean> {
    // What is being removed hands over what others have from it, and may have found the disk full itself.
    const unused = [...this.#held].filter(([digest, { users }]) => users === 0 && !this.#leaving.has(digest))
    const [oldest] = unused.sort(([, a], [, b]) => a.layer.usedAt - b.layer.usedAt)
    return oldest !== undefined && (await this.#remove(oldest[0]))
  }

  /** What others have from it goes to one of them first. False if it is mounted. */
  async #remove(digest: Digest): Promise<boolean> {
    return await this.#inTurn(digest, () => this.#drop(digest))
  }

  /** In its turn. */
  async #drop(digest: Digest): Promise<boolean> {
    const held = this.#held.get(digest)
    if (!held || held.users > 0) return false
    const { layer } = held
    this.#leaving.add(digest)
    try {
      await this.#handOver(layer)
    } finally {
      this.#leaving.delete(digest)
    }
    this.#places.forget(layer)
    this.#held.delete(digest)
    this.#written.delete(layer)
    await layer.close()
    await removeFolder(layer.folder)
    return true
  }

  /** What others have from it, and nobody else has, goes to them. */
  async #handOver(layer: Layer): Promise<void> {
    for (const { layer: other } of this.#held.values()) {
      if (other === layer) continue
      for (const chunk of [...other.holdings.lent.indexes()]) {
        if (!this.#places.find(other.digest(chunk), layer)) await other.takeOver(chunk)
      }
    }
  }

  async #write(layer: Layer): Promise<void> {
    const state = layer.state()
    const said = Bun.hash(
      Buffer.concat([Buffer.from(JSON.stringify(state.facts)), state.own, state.lent, state.verified]),
    )
    if (this.#written.get(layer) === String(said)) return
    try {
      await writeState(layer.folder.state, state)
      this.#written.set(layer, String(said))
    } catch (error) {
      layer.tell(`what is known of the layer cannot be written down: ${Failure.from(error).message}`)
    }
  }

  async #inTurn<T>(digest: Digest, task: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(digest) ?? Promise.resolve()
    const turn = before.then(task, task)
    this.#turns.set(digest, turn)
    try {
      return await turn
    } finally {
      if (this.#turns.get(digest) === turn) this.#turns.delete(digest)
    }
  }
}

/** One use of a layer. */
class Mounted implements UnpackedLayer {
  readonly id: string
  readonly size: number
  readonly metadataPath: string
  readonly path: string
  readonly #layer: Layer
  readonly #left: () => Promise<void>
  readonly #forget: () => Promise<unknown>
  #closed: Promise<void> | undefined

  constructor(layer: Layer, left: () => Promise<void>, forget: () => Promise<unknown>) {
    this.#layer = layer
    this.#left = left
    this.#forget = forget
    this.id = layer.folder.id
    this.size = layer.shape.table.size
    this.metadataPath = layer.folder.metadata
    this.path = layer.folder.data
  }

  get readyMap() {
    return this.#layer.readyMap
  }
  read(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> {
    return this.#layer.read(offset, length, signal)
  }
  whole(): boolean {
    return this.#layer.whole
  }
  ready(offset: number, length: number): boolean {
    return this.#layer.ready(offset, length)
  }
  progress() {
    return this.#layer.progress()
  }
  close(): Promise<void> {
    this.#closed ??= this.#left()
    return this.#closed
  }
  async discard(): Promise<void> {
    await this.close()
    await this.#forget()
  }
}

function shapeOf(index: LayerIndex, digest: Digest, reason: string | undefined): LayerShape {
  return {
    digest: index.layer,
    diffId: index.diffId,
    // The digests alone: they are a part of all that the index is.
    table: new ChunkTable({ ...index.chunks, digests: index.chunks.digests.slice() }, index.size),
    compression: index.compression,
    compressedSize: index.compressedSize,
    index: digest,
    reason,
  }
}

/** Of a layer that was unpacked whole just now, hashed as it was written. */
function filled(
  { data }: LayerFolder,
  { diffId, index, table }: LayerShape,
  usedAt: number,
  fetched: number,
): LayerState {
  const all = Bitmap.full(table.count).bytes
  const facts = {
    version: 1 as const,
    diffId,
    index,
    chunks: table.count,
    ctime: String(statSync(data, { bigint: true }).ctimeNs),
    boot: bootId(),
    checked: true,
    gaps: [],
    usedAt,
    fetched,
    deduped: 0,
  }
  return { facts, own: all, lent: new Uint8Array(all.length), verified: all }
}

/** Undefined for what is not as it was written. */
function readIndex(folder: LayerFolder, digest: string): LayerIndex | undefined {
  try {
    const bytes = readFileSync(folder.index)
    return digestOf(bytes) === digest ? decodeIndex(bytes) : undefined
  } catch {
    return undefined
  }
}

function hasBytes(path: string, bytes: Uint8Array): boolean {
  try {
    return Buffer.compare(readFileSync(path), bytes) === 0
  } catch {
    return false
  }
}

async function put(path: string, bytes: Uint8Array): Promise<void> {
  await writeFile(`${path}.new`, bytes, { mode: 0o600 })
  await rename(`${path}.new`, path)
}
