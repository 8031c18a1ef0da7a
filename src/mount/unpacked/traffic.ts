/**
 * What goes over the link to the node, of all layers of the host: what a process waits for goes first, and what nobody
 * has asked for yet goes when it has been quiet for a while.
 */
import { type Clock, pause } from '../../clock.ts'

/** Between two reads of a start less time passes than this, ms. */
const quietMs = 500
/** Streams at once that nobody waits for. */
const mostStreams = 2

export class Traffic {
  readonly #clock: Clock
  #demands = 0
  #lastDemand = Number.NEGATIVE_INFINITY
  #streams = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Runs what somebody waits for. */
  async demand<T>(task: () => Promise<T>): Promise<T> {
    this.#demands++
    try {
      return await task()
    } finally {
      this.#demands--
      this.#lastDemand = this.#clock.now()
    }
  }

  /** Somebody is about to wait for something: a layer was opened. */
  soon(): void {
    this.#lastDemand = this.#clock.now()
  }

  get busy(): boolean {
    return this.#demands > 0
  }

  /** Resolves when nobody has waited for anything for a while. */
  async quiet(signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted()
      const left = this.#demands > 0 ? quietMs : this.#lastDemand + quietMs - this.#clock.now()
      if (left <= 0) return
      await pause(this.#clock, Math.max(1, left), signal)
    }
  }

  /** Runs what nobody waits for, when it is its turn. */
  async background<T>(signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    await this.quiet(signal)
    while (this.#streams >= mostStreams) {
      await pause(this.#clock, quietMs, signal)
      await this.quiet(signal)
    }
    this.#streams++
    try {
      return await task()
    } finally {
      this.#streams--
    }
  }
}
