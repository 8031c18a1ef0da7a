/**
 * Deadlines of many things that all have the same time, kept by one timer: who began first is due first. They are
 * checked a few times within that time, so each may be late by one step, and none is early.
 */
import type { Clock } from '../clock.ts'

interface Started {
  readonly due: number
  readonly late: () => void
}

export class Deadlines {
  readonly #clock: Clock
  readonly #ms: number
  readonly #step: number
  /** In the order in which they fall due. */
  readonly #started = new Set<Started>()
  #timer: (() => void) | undefined

  constructor(clock: Clock, ms: number) {
    this.#clock = clock
    this.#ms = ms
    this.#step = ms / 8
  }

  /** Calls `late` when the time is over, unless the result is called before. */
  start(late: () => void): () => void {
    const started = { due: this.#clock.now() + this.#ms, late }
    this.#started.add(started)
    this.#arm()
    return () => void this.#started.delete(started)
  }

  close(): void {
    this.#started.clear()
    this.#timer?.()
    this.#timer = undefined
  }

  #arm(): void {
    this.#timer ??= this.#clock.after(this.#step, () => this.#check())
  }

  #check(): void {
    this.#timer = undefined
    const now = this.#clock.now()
    try {
      for (const started of this.#started) {
        if (started.due > now) break
        this.#started.delete(started)
        started.late()
      }
    } finally {
      // Also where one of them throws: the others still have theirs.
      if (this.#started.size > 0) this.#arm()
    }
  }
}
