/**
 * Reads an index that a stranger may have made: whatever it says is held against its limits before anything is made
 * room for, and what comes out leads nowhere outside of the layer.
 */
import { zstdDecompressSync } from 'node:zlib'
import { equals } from 'uint8arrays/equals'
import { z } from 'zod'
import { Failure } from '../failure.ts'
import { parseJson } from '../json.ts'
import { digestSchema as digest } from '../oci/schemas.ts'
import type { Points } from '../zran/points.ts'
import { mostPoints } from '../zran/spacing.ts'
import { mostChunks } from './columns.ts'
import { magic, preambleBytes, version } from './encode.ts'
import { type Chunks, chunkBytes, chunkDigestBytes, type LayerIndex } from './layer-index.ts'
import { mostHeadBytes, mostIndexBytes, mostLayerBytes, mostMetadataBytes, mostPackedWindowBytes } from './limits.ts'
import { VarintReader } from './varint.ts'

const whole = (most: number) => z.number().int().min(0).max(most)
const section = (most: number) => z.object({ packed: whole(mostIndexBytes), unpacked: whole(most) })
/** Of two and four numbers apiece, eight bytes at most each. */
const facts = z.object({
  maker: whole(2 ** 31),
  layer: digest,
  diffId: digest,
  compression: z.enum(['none', 'gzip', 'zstd']),
  compressedSize: whole(mostLayerBytes),
  size: whole(mostLayerBytes),
  chunks: whole(mostChunks),
  points: whole(mostPoints),
  sections: z.object({
    metadata: section(mostMetadataBytes),
    chunks: section(mostChunks * 16),
    points: section(mostPoints * 32),
  }),
})
type Facts = z.infer<typeof facts>

/** @throws {Failure} `corrupt`, or `unsupported` for an index of a later version */
export function decodeIndex(bytes: Uint8Array): LayerIndex {
  const { said, end } = factsOf(bytes)
  const { sections } = said
  let at = end
  const next = (length: number, what: string): Uint8Array => {
    if (at + length > bytes.length) throw broken(`its ${what} are cut off`)
    at += length
    return bytes.subarray(at - length, at)
  }
  const unpack = (name: keyof typeof sections): Uint8Array => {
    const packed = next(sections[name].packed, name)
    return unpacked(packed, sections[name].unpacked, name)
  }
  const metadata = unpack('metadata')
  const chunkColumns = unpack('chunks')
  const pointColumns = unpack('points')
  const digests = next(said.chunks * chunkDigestBytes, 'digests')
  const chunks = chunksOf(chunkColumns, digests, said)
  const points = pointsOf(pointColumns, bytes.subarray(at), said)
  const { layer, diffId, compression, compressedSize, size } = said
  if (compression === 'none' && (layer !== diffId || size !== compressedSize || points.count > 0))
    throw broken('a layer that is not compressed is not what it unpacks to')
  if (compression !== 'none' && size > 0 && points.count === 0) throw broken('there is no point to begin at')
  return { layer, diffId, compression, compressedSize, size, metadata, chunks, points }
}

/** What an index says of itself, of its first bytes. */
export function factsOf(bytes: Uint8Array): { said: Facts; end: number } {
  if (bytes.length > mostIndexBytes) throw broken(`it is longer than ${mostIndexBytes} bytes`)
  if (bytes.length < preambleBytes || !equals(bytes.subarray(0, magic.length), magic)) throw broken('it is none')
  const view = new DataView(bytes.buffer, bytes.byteOffset, preambleBytes)
  const theirs = view.getUint32(8, true)
  if (theirs !== version)
    throw new Failure('unsupported', `the index of a layer is of version ${theirs}, and this shoal reads ${version}`)
  const end = preambleBytes + view.getUint32(12, true)
  if (end > Math.min(bytes.length, preambleBytes + mostHeadBytes)) throw broken('its facts are too long')
  try {
    return { said: facts.parse(parseJson(new TextDecoder().decode(bytes.subarray(preambleBytes, end)))), end }
  } catch (cause) {
    throw broken('its facts are not what they should be', cause)
  }
}

function unpacked(packed: Uint8Array, length: number, name: string): Uint8Array {
  let bytes: Uint8Array
  try {
    // One byte of room at least: a limit of 0 is no limit.
    bytes = zstdDecompressSync(packed, { maxOutputLength: Math.max(1, length) })
  } catch (cause) {
    throw broken(`its ${name} cannot be unpacked`, cause)
  }
  if (bytes.length !== length) throw broken(`its ${name} are not as long as it says`)
  return bytes
}

function chunksOf(columns: Uint8Array, digests: Uint8Array, { chunks: count, size }: Facts): Chunks {
  const reader = new VarintReader(columns)
  const starts = new Float64Array(count)
  const lengths = new Uint32Array(count)
  let end = 0
  for (let i = 0; i < count; i++) {
    const gap = reader.next()
    const length = reader.next()
    if (gap === undefined || length === undefined) throw broken('its chunks are fewer than it says')
    if (length < 1 || length > chunkBytes) throw broken(`a chunk of it has ${length} bytes`)
    starts[i] = end + gap
    lengths[i] = length
    end = end + gap + length
    if (end > size) throw broken('a chunk of it lies outside of the layer')
  }
  if (!reader.done) throw broken('its chunks are more than it says')
  return { count, starts, lengths, digests }
}

function pointsOf(columns: Uint8Array, windows: Uint8Array, { points: count, size, compressedSize }: Facts): Points {
  const reader = new VarintReader(columns)
  const points = {
    count,
    at: new Float64Array(count),
    from: new Float64Array(count),
    bits: new Uint8Array(count),
    windows,
    windowEnds: new Float64Array(count),
  }
  let [at, from, end] = [0, 0, 0]
  for (let i = 0; i < count; i++) {
    const [further, read, bits, window] = [reader.next(), reader.next(), reader.next(), reader.next()]
    if (further === undefined || read === undefined || bits === undefined || window === undefined)
      throw broken('its points are fewer than it says')
    at += further
    from += read
    end += window
    const ascending = i === 0 ? at === 0 : further > 0 && read > 0
    if (!ascending || at > size || from > compressedSize) throw broken('a point of it lies outside of the layer')
    if (bits > 7 || (bits > 0 && from === 0)) throw broken('a point of it begins within a byte that is not there')
    if (window > mostPackedWindowBytes || end > windows.length) throw broken('a window of it is cut off')
    points.at[i] = at
    points.from[i] = from
    points.bits[i] = bits
    points.windowEnds[i] = end
  }
  if (!reader.done || end !== windows.length) throw broken('its points are fewer than their bytes')
  return points
}

function broken(why: string, cause?: unknown): Failure {
  return new Failure('corrupt', `this is no index of a layer: ${why}`, cause === undefined ? {} : { cause })
}
