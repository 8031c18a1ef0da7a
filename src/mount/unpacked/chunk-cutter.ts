/**
 * Cuts what comes out of a layer into its chunks and holds each against its digest. Pure.
 *
 * What belongs to no chunk (headers, padding) goes to the side: it is not verified, and no file system ever asks for it.
 */
import type { ChunkTable } from './chunk-table.ts'

export interface Cuts {
  /** False for what need not be looked at, for it is here. */
  wanted(chunk: number): boolean
  /** It is what it should be. `bytes` are valid until the call returns, unless they are copied. */
  good(chunk: number, bytes: Uint8Array): void
  wrong(chunk: number): void
  /** Bytes outside of chunks; a run of them may come in parts. */
  gap(at: number, bytes: Uint8Array): void
}

/** The beginning of a chunk whose end lies behind what was fetched. */
export interface Head {
  readonly chunk: number
  readonly bytes: Uint8Array
}

export class ChunkCutter {
  readonly #table: ChunkTable
  readonly #cuts: Cuts
  /** Place in the layer of the next byte. */
  #at: number
  /** The first chunk that ends behind it. */
  #chunk: number
  /** Of that chunk, what came so far, where it came in parts. */
  #parts = new Uint8Array(0)
  #length = 0
  /** It came from its beginning. */
  #whole: boolean

  /** @param head what earlier bytes left of the chunk that `at` lies in; it is used if it ends there */
  constructor(table: ChunkTable, at: number, cuts: Cuts, head?: Head) {
    this.#table = table
    this.#cuts = cuts
    this.#at = at
    this.#chunk = table.after(at)
    this.#whole = this.#chunk < table.count && table.start(this.#chunk) >= at
    if (head && head.chunk === this.#chunk && table.start(head.chunk) + head.bytes.length === at) {
      this.#whole = true
      this.#take(head.bytes)
    }
  }

  /** It is inside of a chunk whose beginning did not come: that one will not be whole. */
  get behindStart(): boolean {
    return !this.#whole && this.#chunk < this.#table.count
  }

  /** Place in the layer behind what came. */
  get at(): number {
    return this.#at
  }

  /** The bytes may change when this returns. */
  push(bytes: Uint8Array): void {
    let rest = bytes
    while (rest.length > 0) {
      const outside = this.#chunk === this.#table.count
      const start = outside ? Number.POSITIVE_INFINITY : this.#table.start(this.#chunk)
      if (this.#at < start) {
        const length = Math.min(rest.length, start - this.#at)
        this.#cuts.gap(this.#at, rest.subarray(0, length))
        this.#at += length
        rest = rest.subarray(length)
      } else {
        const length = Math.min(rest.length, this.#table.end(this.#chunk) - this.#at)
        this.#part(rest.subarray(0, length))
        rest = rest.subarray(length)
      }
    }
  }

  /** What came of a chunk that is not whole yet, if it came from its beginning. */
  head(): Head | undefined {
    if (!this.#whole || this.#length === 0) return undefined
    return { chunk: this.#chunk, bytes: this.#parts.slice(0, this.#length) }
  }

  #part(bytes: Uint8Array): void {
    const chunk = this.#chunk
    const length = this.#table.length(chunk)
    this.#at += bytes.length
    const ended = this.#at === this.#table.end(chunk)
    if (this.#whole && this.#cuts.wanted(chunk)) {
      if (ended && bytes.length === length) this.#judge(chunk, bytes)
      else this.#take(bytes)
      if (ended && this.#length === length) this.#judge(chunk, this.#parts.subarray(0, length))
    }
    if (!ended) return
    this.#length = 0
    this.#chunk = chunk + 1
    this.#whole = this.#chunk < this.#table.count
  }

  #take(bytes: Uint8Array): void {
    const length = this.#table.length(this.#chunk)
    if (this.#parts.length < length) {
      const parts = new Uint8Array(length)
      parts.set(this.#parts.subarray(0, this.#length))
      this.#parts = parts
    }
    this.#parts.set(bytes, this.#length)
    this.#length += bytes.length
  }

  #judge(chunk: number, bytes: Uint8Array): void {
    if (isChunk(this.#table, chunk, bytes)) this.#cuts.good(chunk, bytes)
    else this.#cuts.wrong(chunk)
  }
}

export function isChunk(table: ChunkTable, chunk: number, bytes: Uint8Array): boolean {
  return Buffer.compare(Bun.SHA256.hash(bytes) as Uint8Array, table.digest(chunk)) === 0
}
