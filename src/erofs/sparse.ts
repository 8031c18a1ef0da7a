/** A file with holes, as chunks of one length: each is in one piece on the data device, or a hole. */
import { Failure } from '../failure.ts'
import type { Extent } from '../tar/entry.ts'
import { blockBits, blockBytes, hole } from './format.ts'

/** As many bits as the chunk format has for a chunk's length in blocks. */
const mostBits = 31

export interface Chunks {
  /** Chunks are `2 ** bits` blocks long. */
  readonly bits: number
  readonly count: number
}

/** The longest chunks that begin and end where the holes do. @throws {Failure} where no block does */
export function chunksOf(size: number, extents: readonly Extent[]): Chunks {
  let bits = mostBits
  // What is longer than the file is no better.
  while (bits > 0 && blockBytes * 2 ** (bits - 1) >= size) bits--
  for (const { offset, at, length } of extents) {
    const end = offset + length
    if (at % blockBytes !== 0 || offset % blockBytes !== 0) refuse()
    bits = Math.min(bits, zeros(offset / blockBytes))
    // Behind the file's end there is nothing that a chunk could show.
    if (end < size) bits = Math.min(bits, zeros(Math.ceil(end / blockBytes)))
  }
  return { bits, count: Math.ceil(size / (blockBytes * 2 ** bits)) }
}

/** Writes the block of each chunk; those of the data device are counted from `firstBlock` on. */
export function writeChunks(
  target: DataView,
  at: number,
  { bits, count }: Chunks,
  extents: readonly Extent[],
  firstBlock: number,
): void {
  for (let i = 0; i < count; i++) target.setUint32(at + 4 * i, hole, true)
  const chunkBytes = blockBytes * 2 ** bits
  for (const extent of extents) {
    const last = Math.floor((extent.offset + extent.length - 1) / chunkBytes)
    for (let i = extent.offset / chunkBytes; i <= last; i++) {
      const place = extent.at + i * chunkBytes - extent.offset
      target.setUint32(at + 4 * i, firstBlock + place / blockBytes, true)
    }
  }
}

/** How often a number can be halved. */
function zeros(blocks: number): number {
  if (blocks === 0) return mostBits
  let count = 0
  for (let rest = blocks; count < mostBits && rest % 2 === 0; rest /= 2) count++
  return count
}

function refuse(): never {
  throw new Failure(
    'unsupported',
    `the layer cannot be mounted: it has a file with holes that do not begin and end at multiples of ${1 << blockBits}`,
  )
}
