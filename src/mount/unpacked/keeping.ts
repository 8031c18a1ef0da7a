/**
 * From memory to the disk: verified chunks are written in long runs, and can be read from memory until they are there. A
 * disk that takes nothing does not end a read: what it did not take stays in memory for a while, and that is told.
 */
import { LRUCache } from 'lru-cache'
import type { ChunkTable } from './chunk-table.ts'
import type { DataFile } from './data-file.ts'
import type { Holdings } from './holdings.ts'

/** Written at once. */
const batchBytes = 1024 * 1024
/** Chunks further apart are not written as one: what lies between takes room on the disk, and nobody reads it. */
const mostGapBytes = 64 * 1024
/** Of chunks that the disk did not take. */
const memoryBytes = 64 * 1024 * 1024

export interface KeepingOptions {
  readonly table: ChunkTable
  readonly file: DataFile
  readonly holdings: Holdings
  /** These chunks are in the file now. */
  readonly kept: (chunks: readonly number[]) => void
  /** The disk did not take them. Resolves to true when there is room now, and it is worth another try. */
  readonly refused: (error: unknown) => Promise<boolean>
}

export class Keeping {
  readonly #o: KeepingOptions
  /** On their way to the disk. */
  readonly #leaving = new Map<number, Uint8Array>()
  readonly #memory = new LRUCache<number, Uint8Array>({
    maxSize: memoryBytes,
    sizeCalculation: (bytes) => Math.max(1, bytes.length),
  })

  constructor(options: KeepingOptions) {
    this.#o = options
  }

  /** Verified bytes of a chunk that is not in the file, if they are here. */
  peek(chunk: number): Uint8Array | undefined {
    return this.#leaving.get(chunk) ?? this.#memory.get(chunk)
  }

  /** There may be room now for what the disk did not take. */
  async again(): Promise<void> {
    for (const [chunk, bytes] of [...this.#memory.entries()]) {
      const batch = this.batch()
      batch.add(chunk, bytes)
      await batch.end()
      if (!this.#o.holdings.own.has(chunk)) return
    }
  }

  batch(): Batch {
    return new Batch(this.#o.table, (write) => this.#write(write), this.#leaving)
  }

  async #write({ first, bytes, chunks }: Write): Promise<void> {
    const { table, file, holdings, kept, refused } = this.#o
    const keep = () => {
      for (const chunk of chunks) {
        holdings.keep(chunk)
        this.#memory.delete(chunk)
      }
    }
    for (let tries = 0; ; tries++) {
      try {
        await file.write(table.start(first), bytes, keep)
        kept(chunks)
        break
      } catch (error) {
        if ((await refused(error)) && tries === 0) continue
        for (const chunk of chunks) this.#memory.set(chunk, this.#leaving.get(chunk)!)
        break
      }
    }
    for (const chunk of chunks) this.#leaving.delete(chunk)
  }
}

interface Write {
  readonly first: number
  readonly bytes: Uint8Array
  readonly chunks: readonly number[]
}

/** The chunks of one stream, which come in their order. */
export class Batch {
  readonly #table: ChunkTable
  readonly #write: (write: Write) => Promise<void>
  readonly #leaving: Map<number, Uint8Array>
  #buffer = new Uint8Array(0)
  #used = 0
  #chunks: number[] = []
  #written: Promise<void> = Promise.resolve()

  constructor(table: ChunkTable, write: (write: Write) => Promise<void>, leaving: Map<number, Uint8Array>) {
    this.#table = table
    this.#write = write
    this.#leaving = leaving
  }

  /** @returns a copy that stays as it is */
  add(chunk: number, bytes: Uint8Array): Uint8Array {
    const table = this.#table
    if (!this.#fits(chunk)) this.#flush()
    if (this.#chunks.length === 0) this.#buffer = new Uint8Array(Math.max(batchBytes, bytes.length))
    const first = this.#chunks[0] ?? chunk
    // What lies between chunks stays zero.
    const at = table.start(chunk) - table.start(first)
    this.#buffer.set(bytes, at)
    this.#used = at + bytes.length
    this.#chunks.push(chunk)
    const copy = this.#buffer.subarray(at, this.#used)
    this.#leaving.set(chunk, copy)
    return copy
  }

  /** Resolves when the batch before the last is written: no more than two are in memory. */
  async room(): Promise<void> {
    if (this.#used >= batchBytes / 2) {
      const before = this.#written
      this.#flush()
      await before
    }
  }

  async end(): Promise<void> {
    this.#flush()
    await this.#written
  }

  #fits(chunk: number): boolean {
    const last = this.#chunks.at(-1)
    if (last === undefined) return true
    const table = this.#table
    // A chunk that is left out may be in the file already.
    if (chunk !== last + 1 || table.start(chunk) - table.end(last) > mostGapBytes) return false
    return table.end(chunk) - table.start(this.#chunks[0]!) <= this.#buffer.length
  }

  #flush(): void {
    const chunks = this.#chunks
    if (chunks.length === 0) return
    const write = { first: chunks[0]!, bytes: this.#buffer.subarray(0, this.#used), chunks }
    this.#chunks = []
    this.#used = 0
    const before = this.#written
    this.#written = this.#write(write).then(() => before)
  }
}
