/** Where the chunks of a layer lie, and what lies between them. Pure. */
import { type Chunks, chunkAfter, chunkDigest } from '../../layer-index/layer-index.ts'

export class ChunkTable {
  readonly count: number
  /** Of the unpacked layer. */
  readonly size: number
  readonly #chunks: Chunks
  /** Bytes of chunks before each one. */
  readonly #before: Float64Array

  constructor(chunks: Chunks, size: number) {
    this.#chunks = chunks
    this.count = chunks.count
    this.size = size
    this.#before = new Float64Array(chunks.count + 1)
    for (let i = 0; i < chunks.count; i++) this.#before[i + 1] = this.#before[i]! + chunks.lengths[i]!
  }

  start(chunk: number): number {
    return this.#chunks.starts[chunk]!
  }
  end(chunk: number): number {
    return this.#chunks.starts[chunk]! + this.#chunks.lengths[chunk]!
  }
  length(chunk: number): number {
    return this.#chunks.lengths[chunk]!
  }
  digest(chunk: number): Uint8Array {
    return chunkDigest(this.#chunks, chunk)
  }

  /** The first chunk that ends behind `offset`; `count` when there is none. */
  after(offset: number): number {
    return chunkAfter(this.#chunks, offset)
  }

  /** The chunks that hold some of the bytes from `start` to before `end`: `[first, behind the last]`. */
  within(start: number, end: number): readonly [number, number] {
    const first = this.after(start)
    let last = first
    // Ranges that are asked for hold few chunks.
    while (last < this.count && this.start(last) < end) last++
    return [first, last]
  }

  /**
   * Bytes of the layer that count as here with the chunk: its own and those between it and the one before. Those behind
   * the last chunk count with that one. Together: the size of the layer.
   */
  weight(chunk: number): number {
    const from = chunk === 0 ? 0 : this.end(chunk - 1)
    return (chunk === this.count - 1 ? this.size : this.end(chunk)) - from
  }

  /** Bytes that belong to no chunk: the layer's headers and padding. */
  get gapBytes(): number {
    return this.size - this.#before[this.count]!
  }

  /** How many such bytes lie before `offset`. */
  gapBytesUpTo(offset: number): number {
    const chunk = this.after(offset)
    const into = chunk < this.count ? Math.max(0, offset - this.start(chunk)) : 0
    return offset - this.#before[chunk]! - into
  }
}
