/**
 * What may go wrong again and again is told once, and then ever more rarely while it lasts: a node that clashes with
 * others does so every few seconds, for as long as nobody mends it.
 */
import type { Clock } from '../clock.ts'

export const seldomTimes = { first: 10_000, factor: 4, most: 3_600_000 } as const
/** Others may choose what it is told of, so there is an end to what is remembered, and told. */
const mostKeys = 64

/** To be put among the fields of a line: how often the same happened since the last line, where it did. */
export type Others = { readonly others?: number }

interface Told {
  at: number
  /** When it happened last, told or not. */
  last: number
  wait: number
  unsaid: number
}

export class Seldom {
  readonly #clock: Pick<Clock, 'now'>
  readonly #told = new Map<string, Told>()

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock
  }

  /** Something happened; `line` is called if it is time to tell, and what has the same `key` is the same thing. */
  tell(key: string, line: (others: Others) => void): void {
    const now = this.#clock.now()
    const told = this.#told.get(key)
    if (!told) {
      if (!this.#room(now)) return
      this.#told.set(key, { at: now, last: now, wait: seldomTimes.first, unsaid: 0 })
      return line({})
    }
    const quiet = now - told.last
    told.last = now
    if (now - told.at < told.wait) {
      told.unsaid++
      return
    }
    const others = told.unsaid
    // After a long rest it is news again.
    told.wait = quiet > told.wait ? seldomTimes.first : Math.min(seldomTimes.most, told.wait * seldomTimes.factor)
    told.at = now
    told.unsaid = 0
    line(others === 0 ? {} : { others })
  }

  #room(now: number): boolean {
    if (this.#told.size < mostKeys) return true
    for (const [key, { last, wait }] of this.#told) if (now - last > wait) this.#told.delete(key)
    return this.#told.size < mostKeys
  }
}
