/**
 * How far to read ahead. Who reads on where the last fetch stopped has ahead of it what it has read in order so far, in
 * part; who begins anywhere else gets nothing, for a process that starts reads here and there, and what it does not read was
 * fetched for nothing. So what is fetched is bounded by what is read: {@link aheadShare} of it more, and {@link perPlace}
 * for each place that somebody begins at. How often somebody asks counts for nothing: the kernel asks for many parts of a
 * read at once, in no strict order, and again and again for what is still on its way.
 *
 * Only what is not here yet is asked of the layer, so a reader is next heard of at a chunk in the middle of what lies ahead
 * of it. Pure.
 */
import type { ChunkTable } from './chunk-table.ts'

/** Of what was read in order, this is ahead at most. */
export const aheadShare = 0.5
/** The first time that somebody reads on. */
export const firstAhead = 512 * 1024
export const mostAhead = 8 * 1024 * 1024
/**
 * {@link firstAhead}; the rest of the chunks at both ends of a read, of a quarter of a megabyte; and as much again, for of a
 * compressed layer all comes from the point before to the one behind.
 */
export const perPlace = firstAhead + 4 * 256 * 1024
/** Readers at once that are told apart; the one that read longest ago is forgotten. */
const mostReaders = 32
/** Headers lie between files, and pages that are read ahead are asked for in no strict order. */
const slack = 64 * 1024
/** By so much an earlier part of a read may be asked for later. */
const behind = 1024 * 1024

export type AheadTable = Pick<ChunkTable, 'after' | 'count' | 'end' | 'size'>

interface Reader {
  /** How far it has come. */
  at: number
  /** Bytes that it has read in order. */
  read: number
  /** What it read, and what was fetched for it, ends here. */
  until: number
  /** It has read on where a fetch had stopped. */
  on: boolean
  /** Chunk at which it is to be heard of again, though it be here. */
  marker: number | undefined
}

/** Bytes to fetch for somebody who reads on. */
export interface Stretch {
  readonly from: number
  readonly to: number
  /** Whoever reads this chunk is heard of. */
  readonly marker: number | undefined
  /** This one is a chunk as all others again. */
  readonly passed: number | undefined
}

export class ReadAhead {
  readonly #table: AheadTable
  readonly #reach: (start: number, end: number) => number
  /** The one that read last is last. */
  readonly #readers: Reader[] = []

  /** @param reach place up to which bytes come when these are asked for */
  constructor(table: AheadTable, reach: (start: number, end: number) => number) {
    this.#table = table
    this.#reach = reach
  }

  /** Somebody reads these bytes: the one that is to be heard of there has come so far. */
  reached(start: number, end: number): Stretch | undefined {
    const [first, last] = [this.#table.after(start), this.#table.after(end - 1)]
    const reader = this.#readers.find(({ marker }) => marker !== undefined && marker >= first && marker <= last)
    if (!reader) return undefined
    // What it did not ask for it has read from what was here.
    this.#come(reader, reader.at, end)
    return this.#next(reader)
  }

  /** Somebody reads these bytes, of which some are not here. */
  read(start: number, end: number): Stretch | undefined {
    const fetched = Math.max(end, this.#reach(start, end))
    const known = this.#readers.findLastIndex(({ at, until }) => start >= at - behind && start <= until + slack)
    if (known < 0) {
      this.#readers.push({ at: end, read: end - start, until: fetched, on: false, marker: undefined })
      if (this.#readers.length <= mostReaders) return undefined
      const { until, marker } = this.#readers.shift()!
      return marker === undefined ? undefined : { from: until, to: until, marker: undefined, passed: marker }
    }
    const [reader] = this.#readers.splice(known, 1) as [Reader]
    this.#readers.push(reader)
    if (end > reader.until) reader.on = true
    this.#come(reader, start, end)
    reader.until = Math.max(reader.until, fetched)
    return this.#next(reader)
  }

  #come(reader: Reader, start: number, end: number): void {
    reader.read += Math.max(0, end - Math.max(start, reader.at))
    reader.at = Math.max(reader.at, end)
  }

  /** Not before half of what should be ahead of it is used up: few long fetches rather than many short ones. */
  #next(reader: Reader): Stretch | undefined {
    const { at, read, until, on, marker: passed } = reader
    const window = Math.min(mostAhead, Math.max(firstAhead, read * aheadShare))
    const to = Math.min(at + window, this.#table.size)
    if (!on || until - at > window / 2 || to <= until) return undefined
    reader.until = Math.max(to, this.#reach(until, to))
    const marker = this.#table.after(Math.max(at, reader.until - window / 2 - 1))
    reader.marker = marker < this.#table.count ? marker : undefined
    return { from: until, to, marker: reader.marker, passed }
  }
}
