/**
 * What may go wrong again and again is told once, and then ever more rarely while it lasts: a node that clashes with
 * others does so every few seconds, for as long as nobody mends it.
 */
import type { Clock } from '../clock.ts'

export const seldomTimes = { first: 10_000, factor: 4, most: 3_600_000 } as const
/** Whom it is about others may choose, so there is an end to what is remembered of them, and told. */
const mostOthers = 64

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
  /** What happened, and then to whom. */
  readonly #told = new Map<string, Told>()
  readonly #toldOf = new Map<string, Told>()

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock
  }

  /**
   * Something happened; `line` is called if it is time to tell. The same to the same is the same thing; `whom`: with whom,
   * where others choose that. However many of those they make up, what happens to nobody in particular is told.
   */
  tell(what: string, line: (others: Others) => void, whom?: string): void {
    const now = this.#clock.now()
    const all = whom === undefined ? this.#told : this.#toldOf
    const key = whom === undefined ? what : `${what} ${whom}`
    const told = all.get(key)
    if (!told) {
      if (whom !== undefined && !this.#room(now)) return
      all.set(key, { at: now, last: now, wait: seldomTimes.first, unsaid: 0 })
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
    if (this.#toldOf.size < mostOthers) return true
    for (const [key, { last, wait }] of this.#toldOf) if (now - last > wait) this.#toldOf.delete(key)
    return this.#toldOf.size < mostOthers
  }
}
