/**
 * What goes over the link to the node, of all layers of the host: what a process waits for goes first, and what nobody
 * has asked for yet goes when it has been quiet for a while.
 */
import { type Clock, pause } from '../../clock.ts'

/** Between two reads of a start less time passes than this, ms. */
const quietMs = 500
/** One after the other is opened where an image is mounted layer by layer, ms. */
const openingMs = 30
/** A layer without an index is not opened before all of it is here, ms. */
const longestOpening = 3000
/** Streams at once that nobody waits for. */
const mostStreams = 2

export class Traffic {
  readonly #clock: Clock
  #demands = 0
  #lastDemand = Number.NEGATIVE_INFINITY
  #streams = 0
  #opening = 0
  #openedAt = Number.NEGATIVE_INFINITY

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

  /** Runs what opens a layer; somebody is about to wait for something of it then. */
  async open<T>(task: () => Promise<T>): Promise<T> {
    this.#opening++
    try {
      return await task()
    } finally {
      this.#opening--
      this.#openedAt = this.#lastDemand = this.#clock.now()
    }
  }

  /** Resolves when no layer is being opened, which no process of its image can start before; or when that takes long. */
  async opened(signal: AbortSignal): Promise<void> {
    for (const end = this.#clock.now() + longestOpening; this.#clock.now() < end; ) {
      signal.throwIfAborted()
      if (this.#opening === 0 && this.#clock.now() - this.#openedAt >= openingMs) return
      await pause(this.#clock, openingMs, signal)
    }
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
