/**
 * An index as bytes, as it is kept and sent:
 *
 *     "shoalidx"  u32 version  u32 length of the facts   (little endian)
 *     facts       JSON: what the layer is, how many chunks and points, and how long the packed sections are
 *     metadata    the EROFS image and the folders that nobody describes, zstd
 *     chunks      for each: bytes since the end of the last one, length; varints, zstd
 *     points      for each: unpacked and compressed bytes since the last one, bits, length of its window; varints, zstd
 *     digests     32 bytes for each chunk
 *     windows     one after the other, each zstd
 *
 * The same index gives the same bytes with the same zstd. Another version of it may give others, so two indexes are
 * compared by what they say, never by their bytes.
 */
import { zstdCompressSync } from 'node:zlib'
import { concat } from 'uint8arrays/concat'
import { fromString } from 'uint8arrays/from-string'
import type { Points } from '../zran/points.ts'
import type { Chunks, LayerIndex } from './layer-index.ts'
import { VarintWriter } from './varint.ts'

export const magic = fromString('shoalidx')
export const version = 1
/** Counted up whenever the same layer gives another tree or other points than before. */
export const maker = 2
/** Magic, version, length of the facts. */
export const preambleBytes = 16

export function encodeIndex(index: LayerIndex): Uint8Array {
  const { layer, diffId, compression, compressedSize, size, metadata, chunks, points } = index
  const columns = { metadata, chunks: chunkColumns(chunks), points: pointColumns(points) }
  const packed = {
    metadata: zstdCompressSync(columns.metadata),
    chunks: zstdCompressSync(columns.chunks),
    points: zstdCompressSync(columns.points),
  }
  const section = (name: keyof typeof columns) => ({ packed: packed[name].length, unpacked: columns[name].length })
  const facts = fromString(
    JSON.stringify({
      maker,
      layer,
      diffId,
      compression,
      compressedSize,
      size,
      chunks: chunks.count,
      points: points.count,
      sections: { metadata: section('metadata'), chunks: section('chunks'), points: section('points') },
    }),
  )
  const preamble = new Uint8Array(preambleBytes)
  preamble.set(magic)
  const view = new DataView(preamble.buffer)
  view.setUint32(8, version, true)
  view.setUint32(12, facts.length, true)
  return concat([preamble, facts, packed.metadata, packed.chunks, packed.points, chunks.digests, points.windows])
}

function chunkColumns({ count, starts, lengths }: Chunks): Uint8Array {
  const writer = new VarintWriter()
  let end = 0
  for (let i = 0; i < count; i++) {
    writer.add(starts[i]! - end)
    writer.add(lengths[i]!)
    end = starts[i]! + lengths[i]!
  }
  return writer.whole()
}

function pointColumns({ count, at, from, bits, windowEnds }: Points): Uint8Array {
  const writer = new VarintWriter()
  for (let i = 0; i < count; i++) {
    writer.add(at[i]! - (at[i - 1] ?? 0))
    writer.add(from[i]! - (from[i - 1] ?? 0))
    writer.add(bits[i]!)
    writer.add(windowEnds[i]! - (windowEnds[i - 1] ?? 0))
  }
  return writer.whole()
}
