/** Carries out what {@link ReadAhead} decides, for the readers of one layer. */
import type { Fetching } from './fetching.ts'
import type { Holdings } from './holdings.ts'
import { ReadAhead, type Stretch } from './read-ahead.ts'

export interface ReadingOnInit {
  readonly holdings: Holdings
  readonly fetching: Pick<Fetching, 'along' | 'reach'>
  /** Nobody has to fetch this chunk: it was fetched, or is to be had elsewhere. */
  readonly coming: (chunk: number) => boolean
}

export class ReadingOn {
  readonly #o: ReadingOnInit
  readonly #readAhead: ReadAhead

  constructor(init: ReadingOnInit) {
    this.#o = init
    this.#readAhead = new ReadAhead(init.holdings.table, (start, end) => this.#reach(start, end))
  }

  /** Somebody reads these bytes, wherever they are. */
  reached(start: number, end: number): void {
    this.#ahead(this.#readAhead.reached(start, end))
  }

  /** Somebody reads these bytes, of which some are not here. */
  missed(start: number, end: number): void {
    this.#ahead(this.#readAhead.read(start, end))
  }

  #reach(start: number, end: number): number {
    const { fetching, holdings } = this.#o
    const { table } = holdings
    const [first, last] = table.within(start, end)
    return first < last ? fetching.reach(table.start(first), table.end(last - 1)) : end
  }

  /** Has the next stretch fetched for somebody who reads on, who is heard of again in the middle of it. */
  #ahead(stretch: Stretch | undefined): void {
    if (!stretch) return
    const { holdings, fetching, coming } = this.#o
    const { table } = holdings
    const { from, to, marker, passed } = stretch
    if (passed !== undefined) holdings.unveil(passed)
    const along: number[] = []
    for (let at = table.after(from); at < table.count && table.start(at) < to; at++) {
      if (!holdings.has(at) && !coming(at)) along.push(at)
    }
    if (marker !== undefined) holdings.veil(marker)
    fetching.along(along)
  }
}
