/** A clock that stands still until it is told to move; timers run in order of time, then of setting. */
import type { Clock } from '../../src/clock.ts'

interface Timer {
  readonly at: number
  readonly order: number
  readonly task: () => void
}

export class FakeClock implements Clock {
  #now = 0
  #order = 0
  #timers: Timer[] = []
  #epoch: number

  constructor(epoch = Date.UTC(2026, 0, 1)) {
    this.#epoch = epoch
  }

  now(): number {
    return this.#now
  }
  wall(): number {
    return this.#epoch + this.#now
  }

  /** Somebody sets the wall clock, ms ahead; the other goes on as before. */
  set(ms: number): void {
    this.#epoch += ms
  }

  after(ms: number, task: () => void): () => void {
    const timer = { at: this.#now + Math.max(0, ms), order: this.#order++, task }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((t) => t !== timer)
    }
  }

  get pending(): number {
    return this.#timers.length
  }

  /** Moves time by `ms`; what falls due on the way runs at its own time. Promises do not settle in between. */
  advance(ms: number): void {
    const end = this.#now + ms
    for (let next = this.#next(end); next; next = this.#next(end)) this.#run(next)
    this.#now = end
  }

  /** Like {@link advance}, letting promises settle after each timer. */
  async run(ms: number): Promise<void> {
    const end = this.#now + ms
    await settle()
    for (let next = this.#next(end); next; next = this.#next(end)) {
      this.#run(next)
      await settle()
    }
    this.#now = end
  }

  #next(end: number): Timer | undefined {
    let next: Timer | undefined
    for (const t of this.#timers) {
      if (t.at <= end && (!next || t.at < next.at || (t.at === next.at && t.order < next.order))) next = t
    }
    return next
  }

  #run(timer: Timer): void {
    this.#timers = this.#timers.filter((t) => t !== timer)
    this.#now = timer.at
    timer.task()
  }
}

/** Long enough for chains of promises that do no I/O. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve()
}
