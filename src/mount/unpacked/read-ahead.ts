/**
 * How far to read ahead. Who reads on where the last fetch stopped gets twice as much ahead as the time before; who begins
 * anywhere else gets nothing, for a process that starts reads here and there, and what it does not read was fetched for
 * nothing. Only what is not here yet is asked of the layer, so a reader is next seen where the fetch for it ended. Pure.
 */

/** The first time that somebody reads on. */
export const firstAhead = 512 * 1024
export const mostAhead = 8 * 1024 * 1024
/** Readers at once that are told apart; the one that read longest ago is forgotten. */
const mostReaders = 32
/** Headers lie between files, and pages that are read ahead are asked for in no strict order. */
const slack = 64 * 1024

export interface Reader {
  /** What it read last, and what was fetched for it. */
  start: number
  until: number
  ahead: number
  /** Chunk at which it is to be heard of again before it comes to where the fetch ended. */
  marker: number | undefined
}

export class ReadAhead {
  /** The one that read last is last. */
  readonly #readers: Reader[] = []

  /** The reader that is to be heard of at one of these chunks has come there: it reads on. */
  reached(first: number, last: number): Reader | undefined {
    const reader = this.#readers.find(({ marker }) => marker !== undefined && marker >= first && marker < last)
    if (reader) reader.ahead = Math.min(mostAhead, reader.ahead * 2)
    return reader
  }

  /** Somebody reads these bytes. Whoever fetches them sets `until` of the reader to where the fetch ends. */
  read(start: number, end: number): Reader {
    const known = this.#readers.findIndex((reader) => start >= reader.start && start <= reader.until + slack)
    if (known < 0) {
      const reader: Reader = { start, until: end, ahead: 0, marker: undefined }
      this.#readers.push(reader)
      if (this.#readers.length > mostReaders) this.#readers.shift()
      return reader
    }
    const [reader] = this.#readers.splice(known, 1) as [Reader]
    if (end > reader.until) {
      reader.ahead = Math.min(mostAhead, Math.max(firstAhead, reader.ahead * 2))
      reader.until = end
    }
    reader.start = start
    this.#readers.push(reader)
    return reader
  }
}
