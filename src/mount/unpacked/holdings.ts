/**
 * What of an unpacked layer is here: chunks in its own file, chunks that lie in another layer's, and which of its own are
 * verified, as a map that other threads read. Pure, but for that map being shared.
 */
import { Bitmap } from '../../piece/bitmap.ts'
import type { ChunkTable } from './chunk-table.ts'

/** Bytes that one bit of the shared map stands for: a page. */
export const blockBytes = 4096

export class Holdings {
  readonly table: ChunkTable
  /** In the own file. */
  readonly own: Bitmap
  /** Not in the own file, for another layer had it. */
  readonly lent: Bitmap
  #verified: Bitmap
  /** Not called ready even so: whoever reads on there is to ask. */
  readonly #veiled = new Set<number>()
  /** One bit for each block of the file: whether all that is in it is verified. */
  readonly shared: SharedArrayBuffer
  readonly #ready: Uint8Array
  #refuted = false
  #here = 0
  #lentBytes = 0

  constructor(table: ChunkTable, known: { own: Uint8Array; lent: Uint8Array } | undefined) {
    this.table = table
    this.own = new Bitmap(table.count, known?.own)
    this.lent = new Bitmap(table.count, known?.lent)
    this.#verified = new Bitmap(table.count)
    this.shared = new SharedArrayBuffer(Math.ceil(Math.ceil(table.size / blockBytes) / 8))
    this.#ready = new Uint8Array(this.shared)
    for (const chunk of this.own.indexes()) {
      this.lent.clear(chunk)
      this.#here += table.weight(chunk)
    }
    for (const chunk of this.lent.indexes()) {
      this.#here += table.weight(chunk)
      this.#lentBytes += table.length(chunk)
    }
    this.#markBlocks(0, table.size)
  }

  /** Of the own: hashed, and nobody has touched the file since. */
  get verified(): Bitmap {
    return this.#verified
  }
  /** Bytes of the layer, of {@link ChunkTable.weight}. */
  get here(): number {
    return this.table.count === 0 ? this.table.size : this.#here
  }
  /** Bytes of chunks that lie in other layers. */
  get lentBytes(): number {
    return this.#lentBytes
  }
  get complete(): boolean {
    return this.own.count + this.lent.count === this.table.count
  }

  has(chunk: number): boolean {
    return this.own.has(chunk) || this.lent.has(chunk)
  }

  /** The first chunk at or after `from` that is nowhere; the number of chunks if there is none. */
  nextMissing(from: number): number {
    let chunk = this.own.nextMissing(from)
    while (this.lent.has(chunk)) chunk = this.own.nextMissing(chunk + 1)
    return chunk
  }

  /** Hashed, and written to the own file. */
  keep(chunk: number): void {
    this.verify(chunk)
    if (this.lent.clear(chunk)) {
      this.#lentBytes -= this.table.length(chunk)
      this.own.set(chunk)
    } else if (this.own.set(chunk)) this.#here += this.table.weight(chunk)
    this.#markBlocks(this.table.start(chunk), this.table.end(chunk))
    if (this.complete) for (const veiled of [...this.#veiled]) this.unveil(veiled)
  }

  /** Another layer has it. */
  lend(chunk: number): void {
    if (this.own.has(chunk) || !this.lent.set(chunk)) return
    this.#here += this.table.weight(chunk)
    this.#lentBytes += this.table.length(chunk)
  }

  /** What is in the own file was hashed, and is right. */
  verify(chunk: number): void {
    if (!this.#verified.set(chunk) || !this.own.has(chunk)) return
    this.#markBlocks(this.table.start(chunk), this.table.end(chunk))
  }

  /** Reads of it ask this thread, which learns by that how far somebody has come; until {@link unveil}. */
  veil(chunk: number): void {
    if (this.complete) return
    this.#veiled.add(chunk)
    this.#markBlocks(this.table.start(chunk), this.table.end(chunk))
  }

  unveil(chunk: number): void {
    if (this.#veiled.delete(chunk)) this.#markBlocks(this.table.start(chunk), this.table.end(chunk))
  }

  /** An earlier process hashed these, and nobody has touched the file since. */
  believe(verified: Uint8Array): void {
    for (const chunk of new Bitmap(this.table.count, verified).indexes()) {
      if (this.own.has(chunk)) this.#verified.set(chunk)
    }
    this.#markBlocks(0, this.table.size)
  }

  /** It is not what it should be, wherever it lies. */
  lose(chunk: number): void {
    if (this.lent.clear(chunk)) this.#lentBytes -= this.table.length(chunk)
    else if (!this.own.clear(chunk)) return
    this.#here -= this.table.weight(chunk)
    this.#verified.clear(chunk)
    this.#markBlocks(this.table.start(chunk), this.table.end(chunk))
  }

  /** Somebody has touched the file: all has to be hashed again. */
  doubt(): void {
    this.#verified = new Bitmap(this.table.count)
    this.#markBlocks(0, this.table.size)
  }

  /** Its index is false: no thread answers from the file by itself any more, whatever comes yet. */
  refute(): void {
    this.#refuted = true
    for (let at = 0; at < this.#ready.length; at++) Atomics.store(this.#ready, at, 0)
  }

  /** All chunks from `first` to before `last` are in the own file and verified. */
  verifiedWithin(first: number, last: number): boolean {
    for (let chunk = first; chunk < last; chunk++) {
      if (!this.own.has(chunk) || !this.#verified.has(chunk)) return false
    }
    return true
  }

  #markBlocks(start: number, end: number): void {
    if (this.#refuted) return
    const { table } = this
    let chunk = table.after(Math.floor(start / blockBytes) * blockBytes)
    for (let block = Math.floor(start / blockBytes); block * blockBytes < end; block++) {
      const behind = (block + 1) * blockBytes
      while (chunk < table.count && table.end(chunk) <= block * blockBytes) chunk++
      let ready = true
      for (let at = chunk; ready && at < table.count && table.start(at) < behind; at++) {
        ready = this.own.has(at) && this.#verified.has(at) && !this.#veiled.has(at)
      }
      const bit = 1 << (block & 7)
      if (ready) Atomics.or(this.#ready, block >> 3, bit)
      else Atomics.and(this.#ready, block >> 3, ~bit)
    }
  }
}
