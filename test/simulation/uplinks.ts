/** How much of all uplinks together was in use, by slices of time: where the time of a swarm goes. */
export class Uplinks {
  readonly #sliceMs: number
  readonly #links: number
  readonly #used: number[] = []

  constructor(sliceMs: number, links: number) {
    this.#sliceMs = sliceMs
    this.#links = links
  }

  /** A link is in use from `at` on for `ms`. */
  used(at: number, ms: number): void {
    for (let from = at, left = ms; left > 0; ) {
      const slice = Math.floor(from / this.#sliceMs + 1e-9)
      const here = Math.min(left, Math.max((slice + 1) * this.#sliceMs - from, 1e-6))
      this.#used[slice] = (this.#used[slice] ?? 0) + here
      left -= here
      from += here
    }
  }

  /** By slice: 1 when every link was in use all the time. */
  shares(): number[] {
    return Array.from(this.#used, (used) => (used ?? 0) / (this.#sliceMs * this.#links))
  }
}
