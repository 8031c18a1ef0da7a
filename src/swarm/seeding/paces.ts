/**
 * Which children are on links much slower than the others'. A piece under way to such a child keeps a slot for long and
 * uses little of this node's link; and what only that child was sent, everybody would have to wait for. Pure.
 *
 * Slow is relative: the measure is the pace of the fastest quarter of those that were sent something lately, so that a
 * swarm of slow links has no slow children. Of a child that has got nothing yet, the time that its first piece has been
 * under way for tells as much.
 */

/** A child is slow that takes so many times as long as the fast ones. Turns on a busy link differ by less. */
const slowFactor = 4
/** Of less than this the delay says more than the link. */
const leastBytes = 256 * 1024
/** What was measured longer ago says nothing about now. */
const rememberMs = 60_000
/** How much the last delivery counts. */
const weight = 0.5
/** The measure is taken anew after so many deliveries. */
const measureEvery = 8

interface Pace {
  /** Ms per byte. */
  perByte: number
  at: number
}

export class Paces {
  readonly #paces = new Map<string, Pace>()
  /** Ms per byte of the fastest quarter; infinite while only one child is known. */
  #fast = Number.POSITIVE_INFINITY
  #deliveries = 0

  delivered(child: string, bytes: number, ms: number, now: number): void {
    const perByte = perByteOf(bytes, ms)
    const pace = this.#paces.get(child)
    if (pace) {
      pace.perByte += weight * (perByte - pace.perByte)
      pace.at = now
    } else this.#paces.set(child, { perByte, at: now })
    if (++this.#deliveries % measureEvery === 0 || !pace) this.#measure(now)
  }

  /** What it was sent lately took much longer than what others were sent; or so many bytes have been under way for long. */
  slow(child: string, bytes = 0, ms = 0): boolean {
    const perByte = this.#paces.get(child)?.perByte ?? perByteOf(bytes, ms)
    return perByte > slowFactor * this.#fast
  }

  #measure(now: number): void {
    for (const [child, { at }] of this.#paces) if (now - at > rememberMs) this.#paces.delete(child)
    const all = Float64Array.from(this.#paces.values(), ({ perByte }) => perByte).sort()
    this.#fast = all.length > 1 ? all[Math.floor((all.length - 1) / 4)]! : Number.POSITIVE_INFINITY
  }
}

function perByteOf(bytes: number, ms: number): number {
  return ms / Math.max(bytes, leastBytes)
}
