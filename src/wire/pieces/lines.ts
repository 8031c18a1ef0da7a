/**
 * The connections that pieces come over: as many to each peer port as there are requests to it, kept for a while when they
 * are done. Giving up a request closes its connection, for there is no other way to stop an answer.
 */
import type { Clock } from '../../clock.ts'
import { Failure } from '../../failure.ts'
import { Deadlines } from '../deadlines.ts'
import type { Trust } from '../encryption.ts'
import { wireRules } from '../rules.ts'
import type { AnswerReader } from './answer.ts'
import { PieceLine } from './line.ts'

/** Most connections kept that carry nothing; the one unused for longest goes first. */
const mostIdle = 256

interface Idle {
  readonly line: PieceLine
  readonly used: () => void
}

export class PieceLines {
  readonly #deadlines: Deadlines
  readonly #unused: Deadlines
  /** The one unused for longest first. */
  #idle: Idle[] = []
  readonly #busy = new Set<PieceLine>()

  constructor(clock: Clock) {
    this.#deadlines = new Deadlines(clock, wireRules.pieceDeadline)
    // Closed before the other side closes them, or a request might be sent into one that is just going away.
    this.#unused = new Deadlines(clock, wireRules.keepSeconds * 1000)
  }

  /** Connections in use, and kept. */
  get count(): { busy: number; idle: number } {
    return { busy: this.#busy.size, idle: this.#idle.length }
  }

  /**
   * Sends a request to a peer port and feeds the answer to `reader`. `request` is asked for the text each time it is sent:
   * a ticket counts once, and the other side may have read the request that it did not answer.
   * @throws {Failure} the reader's; `unavailable`; `cancelled` when `signal` aborted
   */
  async ask(
    { url, tls }: { url: string; tls?: Trust | undefined },
    request: () => string,
    reader: AnswerReader,
    signal: AbortSignal,
  ): Promise<void> {
    const kept = this.#reuse(url)
    if (kept) {
      try {
        return await this.#ask(kept, request(), reader, signal)
      } catch (error) {
        if (!kept.stale || signal.aborted) throw error
      }
    }
    return this.#ask(new PieceLine(url, tls), request(), reader, signal)
  }

  close(): void {
    this.#deadlines.close()
    this.#unused.close()
    const closed = new Failure('cancelled', 'this node stops')
    for (const line of [...this.#busy, ...this.#idle.map(({ line }) => line)]) line.drop(closed)
    this.#idle = []
  }

  async #ask(line: PieceLine, request: string, reader: AnswerReader, signal: AbortSignal): Promise<void> {
    const cancelled = () =>
      line.drop(new Failure('cancelled', 'given up while it was fetched', { cause: signal.reason }))
    if (signal.aborted) cancelled()
    signal.addEventListener('abort', cancelled, { once: true })
    const inTime = this.#deadlines.start(() => {
      line.drop(new Failure('unavailable', `${line.url}: took more than ${wireRules.pieceDeadline / 1000} s`))
    })
    this.#busy.add(line)
    try {
      await line.ask(request, reader)
    } finally {
      this.#busy.delete(line)
      inTime()
      signal.removeEventListener('abort', cancelled)
    }
    if (reader.keep) this.#keep(line)
    else line.drop(new Failure('unavailable', `${line.url}: the connection is done with`))
  }

  #reuse(url: string): PieceLine | undefined {
    for (let i = this.#idle.length - 1; i >= 0; i--) {
      const { line, used } = this.#idle[i]!
      if (line.url !== url) continue
      this.#idle.splice(i, 1)
      used()
      if (!line.over) return line
    }
    return undefined
  }

  #keep(line: PieceLine): void {
    const idle: Idle = { line, used: this.#unused.start(() => this.#discard(idle)) }
    this.#idle.push(idle)
    if (this.#idle.length > mostIdle) this.#discard(this.#idle[0]!)
  }

  #discard(idle: Idle): void {
    idle.used()
    this.#idle.splice(this.#idle.indexOf(idle), 1)
    idle.line.drop(new Failure('unavailable', `${idle.line.url}: unused for too long`))
  }
}
