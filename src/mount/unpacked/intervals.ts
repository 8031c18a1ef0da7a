/** Which bytes of something are there, as stretches that neither touch nor overlap, ascending. Pure. */
export class Intervals {
  readonly #bounds: number[]

  /** @param bounds start and end of each */
  constructor(bounds: readonly number[] = []) {
    this.#bounds = []
    for (let i = 0; i + 1 < bounds.length; i += 2) this.add(bounds[i]!, bounds[i + 1]!)
  }

  get bounds(): readonly number[] {
    return this.#bounds
  }

  add(start: number, end: number): void {
    if (start >= end) return
    const bounds = this.#bounds
    let first = 0
    while (first < bounds.length && bounds[first + 1]! < start) first += 2
    let last = first
    while (last < bounds.length && bounds[last]! <= end) last += 2
    const merged = first === last ? [start, end] : [Math.min(start, bounds[first]!), Math.max(end, bounds[last - 1]!)]
    bounds.splice(first, last - first, ...merged)
  }

  /** All from 0 to before `end`. */
  covers(end: number): boolean {
    return end === 0 || (this.#bounds[0] === 0 && this.#bounds[1]! >= end)
  }
}
