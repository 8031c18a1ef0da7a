/**
 * Which pieces of a blob were seen to be right lately. Bytes that were hashed an hour ago are mostly still in memory, and
 * hashing them for every reader would cost more than sending them (0.6 CPU-seconds per GB against 0.4); bytes that lay on
 * a disk since another day, or another process, may have rotted there.
 */
import { Bitmap } from '../piece/bitmap.ts'

/** How long a look counts, in ms. */
const countsMs = 24 * 3600_000

export class Soundness {
  readonly #wall: () => number
  readonly #count: number
  #seen: Bitmap | undefined
  #since = 0

  /** `count` is the number of pieces. */
  constructor(count: number, wall: () => number) {
    this.#count = count
    this.#wall = wall
  }

  /** Every piece was seen to be right. */
  get whole(): boolean {
    return this.#fresh()?.complete ?? false
  }

  has(piece: number): boolean {
    return this.#fresh()?.has(piece) ?? false
  }

  saw(piece: number): void {
    let seen = this.#fresh()
    if (!seen) {
      seen = new Bitmap(this.#count)
      this.#seen = seen
      this.#since = this.#wall()
    }
    seen.set(piece)
  }

  lost(piece: number): void {
    this.#seen?.clear(piece)
  }

  #fresh(): Bitmap | undefined {
    if (this.#seen && Math.abs(this.#wall() - this.#since) >= countsMs) this.#seen = undefined
    return this.#seen
  }
}
