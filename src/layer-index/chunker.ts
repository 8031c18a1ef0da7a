/** Cuts files' data into chunks while a tar is read, and digests each. */
import type { Extent } from '../tar/entry.ts'
import { ChunkColumns } from './columns.ts'
import { type Chunks, chunkBytes } from './layer-index.ts'

export class Chunker {
  readonly #columns = new ChunkColumns()
  #extents: readonly Extent[] = []
  /** Which of them the next bytes are of, and how many of it came. */
  #extent = 0
  #came = 0
  /** The chunk that is being read: where it lies, how long it will be, and how much of it came. */
  #start = 0
  #length = 0
  #have = 0
  /** Used again for each: a digest ends what it was given. */
  readonly #hasher = new Bun.CryptoHasher('sha256')

  /** The data that follow are those of a file. */
  file(extents: readonly Extent[]): void {
    this.#extents = extents
    this.#extent = 0
    this.#came = 0
  }

  /** The file's next bytes, wherever they were cut. */
  data(bytes: Uint8Array): void {
    let rest = bytes
    while (rest.length > 0) {
      if (this.#have === this.#length) this.#begin()
      const part = rest.subarray(0, this.#length - this.#have)
      rest = rest.subarray(part.length)
      this.#take(part)
    }
  }

  chunks(): Chunks {
    return this.#columns.whole()
  }

  #begin(): void {
    while (this.#extents[this.#extent]?.length === 0) this.#extent++
    const extent = this.#extents[this.#extent]
    if (!extent) throw new Error('a tar has data that belong to no file')
    const offset = extent.offset + this.#came
    this.#start = extent.at + this.#came
    this.#length = Math.min(extent.length - this.#came, chunkBytes - (offset % chunkBytes))
    this.#have = 0
    this.#came += this.#length
    if (this.#came < extent.length) return
    this.#extent++
    this.#came = 0
  }

  #take(part: Uint8Array): void {
    this.#have += part.length
    this.#hasher.update(part)
    if (this.#have === this.#length) this.#columns.add(this.#start, this.#length).set(this.#hasher.digest())
  }
}
