/** Columns that grow: a layer's chunks are counted only when its last byte was read. */
import { Failure } from '../failure.ts'
import { type Chunks, chunkDigestBytes } from './layer-index.ts'

/** As many as a million small files and 256 GiB of large ones have: 88 MB of columns. */
export const mostChunks = 2 ** 21

export class ChunkColumns {
  #count = 0
  #starts = new Float64Array(1024)
  #lengths = new Uint32Array(1024)
  #digests = new Uint8Array(1024 * chunkDigestBytes)

  /** Room for the digest of a chunk, to be filled. */
  add(start: number, length: number): Uint8Array {
    if (this.#count === mostChunks)
      throw new Failure('too-large', `the layer has more than ${mostChunks} chunks of files`)
    if (this.#count === this.#starts.length) this.#grow()
    this.#starts[this.#count] = start
    this.#lengths[this.#count] = length
    this.#count++
    return this.#digests.subarray((this.#count - 1) * chunkDigestBytes, this.#count * chunkDigestBytes)
  }

  whole(): Chunks {
    return {
      count: this.#count,
      starts: this.#starts.slice(0, this.#count),
      lengths: this.#lengths.slice(0, this.#count),
      digests: this.#digests.slice(0, this.#count * chunkDigestBytes),
    }
  }

  #grow(): void {
    const starts = new Float64Array(this.#starts.length * 2)
    starts.set(this.#starts)
    this.#starts = starts
    const lengths = new Uint32Array(this.#lengths.length * 2)
    lengths.set(this.#lengths)
    this.#lengths = lengths
    const digests = new Uint8Array(this.#digests.length * 2)
    digests.set(this.#digests)
    this.#digests = digests
  }
}
