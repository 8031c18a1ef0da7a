/**
 * A layer that is not here: its index is brought and its tree written, and what is read of it comes later. One that has no
 * index is fetched whole, and unpacked before it is a layer at all; damaged later, it is unpacked once more.
 */
import { readFileSync, statSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Failure } from '../../failure.ts'
import { decodeIndex } from '../../layer-index/decode.ts'
import { digestOf, shortDigest } from '../../oci/digest.ts'
import { Bitmap } from '../../piece/bitmap.ts'
import type { LayerSpec } from '../unpacked-layer.ts'
import { bringIndex, misfitOf } from './index-of.ts'
import { Layer } from './layer.ts'
import { put } from './layer-files.ts'
import type { LayerFolder } from './layer-folder.ts'
import { type LayerShape, shapeOf } from './layer-shape.ts'
import type { Blob, NodeClient } from './node-client.ts'
import { roomIn, withRoom, withRoomFor } from './room.ts'
import { bootId, type LayerState } from './state-file.ts'
import type { Surroundings } from './surroundings.ts'
import type { Target, UnpackWhole } from './whole.ts'

export interface LayerMakingInit {
  readonly around: Surroundings
  readonly log: (sentence: string) => void
  readonly unpack: UnpackWhole
  /** Aborts what is under way. */
  readonly signal: AbortSignal
}

export class LayerMaking {
  readonly #o: LayerMakingInit

  constructor(init: LayerMakingInit) {
    this.#o = init
  }

  /**
   * In its folder, which is empty. Whoever mounts waits for it: what nobody has asked for of others goes after that.
   * @throws {Failure}
   */
  async begin(spec: LayerSpec, folder: LayerFolder, client: NodeClient, blob: Blob): Promise<Layer> {
    const { around, log, signal } = this.#o
    const { clock, traffic, makeRoom } = around
    const keep = (path: string, bytes: Uint8Array) => withRoom(makeRoom, () => put(path, bytes))
    const brought = await bringIndex(spec, blob, client, { clock, traffic, signal, log })
    if ('index' in brought) {
      const { index, bytes } = brought
      await keep(folder.metadata, index.metadata)
      await keep(folder.index, bytes)
      const layer = new Layer(folder, shapeOf(index, digestOf(bytes), undefined), undefined, around)
      layer.points = index.points
      return layer
    }
    const { reason } = brought
    log(`${shortDigest(spec.digest)} is fetched whole before it is mounted: ${reason}`)
    await traffic.demand(() => this.#unpack(spec, folder, client, signal))
    const bytes = new Uint8Array(readFileSync(folder.index))
    const index = decodeIndex(bytes)
    const misfit = misfitOf(spec, index)
    if (misfit) throw new Failure('corrupt', `${shortDigest(spec.digest)} is not mounted: what came of it ${misfit}`)
    await keep(folder.metadata, index.metadata)
    const shape = shapeOf(index, digestOf(bytes), reason)
    const layer = new Layer(folder, shape, filled(folder, shape, clock.wall(), spec.compressedSize), around)
    around.kept(layer, layer.holdings.own.indexes())
    return layer
  }

  async #unpack(spec: LayerSpec, to: Target, client: NodeClient, signal: AbortSignal): Promise<void> {
    const { repository, digest, mediaType, compressedSize } = spec
    const { unpack, around } = this.#o
    // Nobody knows what it unpacks to; it is no less.
    await withRoomFor(
      compressedSize,
      () => roomIn(dirname(to.data)),
      around.makeRoom,
      () => unpack({ blob: { repository, digest }, mediaType, compressedSize }, to, client, signal),
    )
  }

  /** See `Refill`, of a layer that was unpacked whole. @throws {Failure} */
  async refill(
    spec: LayerSpec,
    { data, index }: LayerFolder,
    client: NodeClient,
    { use, signal }: { use: (path: string) => Promise<void>; signal: AbortSignal },
  ): Promise<void> {
    const again = { data: `${data}.again`, index: `${index}.again` }
    try {
      await this.#unpack(spec, again, client, AbortSignal.any([this.#o.signal, signal]))
      await use(again.data)
    } finally {
      await this.#o.around.files.drop(again.data)
      for (const path of Object.values(again)) await rm(path, { force: true })
    }
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
