/**
 * Who asked that a blob stays, and until when. A blob may be pinned for several reasons at once, an image and a preheat
 * that share a layer: it stays for as long as one of them holds.
 */
import type { Digest } from '../oci/digest.ts'

export interface Pin {
  readonly digest: Digest
  /** What it is pinned for, in words that name it: an image, a digest, a job. */
  readonly reason: string
  /** Wall time in ms; absent: until it is unpinned. */
  readonly until?: number
}

export class Pins {
  readonly #wall: () => number
  readonly #pins = new Map<Digest, Map<string, Pin>>()

  constructor(pins: Iterable<Pin>, wall: () => number) {
    this.#wall = wall
    for (const pin of pins) this.add(pin)
  }

  /** The same reason again: its time is the new one. */
  add(pin: Pin): void {
    const held = this.#pins.get(pin.digest) ?? new Map<string, Pin>()
    this.#pins.set(pin.digest, held.set(pin.reason, pin))
  }

  /** True if there was one. */
  remove(digest: Digest, reason: string): boolean {
    const held = this.#pins.get(digest)
    const live = held?.get(reason) !== undefined && this.of(digest).some((pin) => pin.reason === reason)
    if (held?.delete(reason) && held.size === 0) this.#pins.delete(digest)
    return live
  }

  /** Forgets those that are over; false if there were none. */
  prune(): boolean {
    let some = false
    for (const [digest, held] of this.#pins) {
      for (const pin of held.values()) {
        if (this.#end(pin) > this.#wall()) continue
        held.delete(pin.reason)
        some = true
      }
      if (held.size === 0) this.#pins.delete(digest)
    }
    return some
  }

  of(digest: Digest): Pin[] {
    return [...(this.#pins.get(digest)?.values() ?? [])].filter((pin) => this.#end(pin) > this.#wall())
  }

  all(): Pin[] {
    return [...this.#pins.keys()].flatMap((digest) => this.of(digest))
  }

  /** Wall time in ms until which eviction leaves the blob alone, Infinity for a pin without an end. */
  until(digest: Digest): number | undefined {
    const held = this.#pins.get(digest)
    if (!held) return undefined
    let last: number | undefined
    for (const pin of held.values()) last = Math.max(last ?? 0, this.#end(pin))
    return last
  }

  #end({ until }: Pin): number {
    return until ?? Number.POSITIVE_INFINITY
  }
}
