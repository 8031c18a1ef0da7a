/**
 * Which pieces of a blob were seen to be right lately. Bytes that were hashed a moment ago are still in memory, and hashing
 * them again for every reader would cost twice what sending them does; bytes that lay on a disk for longer, or since
 * another process, may have rotted there.
 */
import { Bitmap } from '../piece/bitmap.ts'

/** How long a look counts, in ms. A node that serves a blob all day hashes each of its pieces six times an hour. */
const countsMs = 10 * 60_000

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

  /** No look counts any more. */
  forget(): void {
    this.#seen = undefined
  }

  #fresh(): Bitmap | undefined {
    if (this.#seen && Math.abs(this.#wall() - this.#since) >= countsMs) this.#seen = undefined
    return this.#seen
  }
}
