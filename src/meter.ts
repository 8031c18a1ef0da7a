/** How fast something flows: an average that forgets exponentially. */
const averageMs = 1000

export class Meter {
  total = 0
  #rate = 0
  #at: number

  constructor(now: number) {
    this.#at = now
  }

  add(amount: number, now: number): void {
    this.#rate = this.perMs(now) + amount / averageMs
    this.#at = now
    this.total += amount
  }

  /** Amount per ms, over about the last second. */
  perMs(now: number): number {
    return this.#rate * Math.exp(-(now - this.#at) / averageMs)
  }

  /** Amount per second, rounded. */
  perSecond(now: number): number {
    return Math.round(this.perMs(now) * 1000)
  }
}
