/**
 * The index of a layer: all that is needed to mount a layer whose bytes are not here. A pure function of the layer's
 * bytes, so that whoever has the layer whole can check an index and who signed it.
 */
import type { Digest } from '../oci/digest.ts'
import type { Compression, Points } from '../zran/points.ts'

/** Longest run of a file's data that has a digest of its own. */
export const chunkBytes = 256 * 1024
export const chunkDigestBytes = 32

/**
 * Runs of files' data in the unpacked layer: ascending, disjoint, none empty. Each is cut at multiples of 256 KiB counted
 * from its file's start, so that the same file in another layer has the same digests. What lies between chunks (headers
 * and padding of the tar) is not part of any file. Columns, for a layer has up to millions.
 */
export interface Chunks {
  readonly count: number
  readonly starts: Float64Array
  readonly lengths: Uint32Array
  /** SHA-256 of each, 32 bytes apiece, one after the other. */
  readonly digests: Uint8Array
}

export interface LayerIndex {
  /** Of the compressed layer: its name in a manifest. */
  readonly layer: Digest
  /** Of the unpacked layer: its name in an image's configuration. */
  readonly diffId: Digest
  readonly compression: Compression
  readonly compressedSize: number
  /** Bytes of the unpacked layer. */
  readonly size: number
  /**
   * An EROFS image of the file tree, whose data lie in the unpacked layer as its one device; behind it which folders the
   * layer does not describe, from the second maker on.
   */
  readonly metadata: Uint8Array
  readonly chunks: Chunks
  /** None when the layer is not compressed: every place is a point then. */
  readonly points: Points
}

/** The first chunk that ends behind `offset`; `count` when there is none. */
export function chunkAfter({ count, starts, lengths }: Chunks, offset: number): number {
  let low = 0
  let high = count
  while (low < high) {
    const middle = (low + high) >>> 1
    if (starts[middle]! + lengths[middle]! > offset) high = middle
    else low = middle + 1
  }
  return low
}

export function chunkDigest({ digests }: Chunks, chunk: number): Uint8Array {
  return digests.subarray(chunk * chunkDigestBytes, (chunk + 1) * chunkDigestBytes)
}
