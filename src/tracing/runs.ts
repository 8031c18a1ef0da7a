/**
 * A blob comes in hundreds of pieces, of which each is not worth a span: what one node gets from another for a blob is
 * one, which ends when nothing is under way any more and nothing new came for a while.
 */
import type { Clock } from '../clock.ts'
import type { Span } from '../telemetry/traces.ts'

const quietMs = 1_000

interface Run {
  readonly span: Span
  under: number
  pieces: number
  bytes: number
  failed: number
  stop: () => void
}

export class Runs {
  readonly #clock: Clock
  readonly #runs = new Map<string, Run>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** One more of `key`; `begin` makes the span where there is none. To be given what became of it, once: its bytes, or none. */
  enter(key: string, begin: () => Span): { span: Span; leave: (bytes: number | undefined) => void } {
    let run = this.#runs.get(key)
    if (!run) {
      run = { span: begin(), under: 0, pieces: 0, bytes: 0, failed: 0, stop: () => {} }
      this.#runs.set(key, run)
    }
    const entered = run
    entered.stop()
    entered.under++
    return {
      span: entered.span,
      leave: (bytes) => {
        entered.under--
        if (bytes === undefined) entered.failed++
        else {
          entered.pieces++
          entered.bytes += bytes
        }
        if (entered.under === 0) entered.stop = this.#clock.after(quietMs, () => this.#end(key, entered))
      },
    }
  }

  #end(key: string, { span, pieces, bytes, failed }: Run): void {
    this.#runs.delete(key)
    span.note({ pieces, bytes, ...(failed > 0 ? { failed } : {}) })
    span.end(undefined, quietMs)
  }
}
