/**
 * Memory for pieces that arrive, used again and again: a fresh buffer for each is half a megabyte of page faults, and of
 * garbage soon after. The one given back last is handed out first, for its pages are still in the cache.
 */
import type { Clock } from '../../clock.ts'
import { Deadlines } from '../deadlines.ts'

/** Less than this is not worth keeping. */
const smallest = 128 * 1024
/** Most bytes kept while nobody uses them. */
const mostSpare = 16 * 1024 * 1024
/** What nobody has used for so long (ms) is let go. */
const spareMs = 4000

export interface PieceBuffer {
  readonly bytes: Uint8Array
  /** Nobody looks at `bytes` any more; only the first call counts. */
  release(): void
}

interface Spare {
  readonly memory: ArrayBuffer
  readonly used: () => void
}

export class PieceBuffers {
  /** By size, a power of two. */
  readonly #spare = new Map<number, Spare[]>()
  readonly #unused: Deadlines
  #spareBytes = 0

  constructor(clock: Clock) {
    this.#unused = new Deadlines(clock, spareMs)
  }

  /** Bytes that are kept and not in use. */
  get spareBytes(): number {
    return this.#spareBytes
  }

  /** Room for `length` bytes, with anything in it. */
  take(length: number): PieceBuffer {
    if (length < smallest) return { bytes: new Uint8Array(length), release() {} }
    const size = 2 ** Math.ceil(Math.log2(length))
    const memory = this.#reuse(size) ?? (Buffer.allocUnsafeSlow(size).buffer as ArrayBuffer)
    let out = true
    return {
      bytes: new Uint8Array(memory, 0, length),
      release: () => {
        if (out) this.#keep(size, memory)
        out = false
      },
    }
  }

  close(): void {
    this.#unused.close()
    this.#spare.clear()
    this.#spareBytes = 0
  }

  #reuse(size: number): ArrayBuffer | undefined {
    const spare = this.#spare.get(size)?.pop()
    if (!spare) return undefined
    spare.used()
    this.#spareBytes -= size
    return spare.memory
  }

  #keep(size: number, memory: ArrayBuffer): void {
    if (this.#spareBytes + size > mostSpare) return
    const spares = this.#spare.get(size) ?? []
    this.#spare.set(size, spares)
    const spare: Spare = {
      memory,
      used: this.#unused.start(() => {
        spares.splice(spares.indexOf(spare), 1)
        this.#spareBytes -= size
      }),
    }
    spares.push(spare)
    this.#spareBytes += size
  }
}
