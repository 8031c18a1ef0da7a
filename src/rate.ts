/** A token bucket. Those who take may run into debt and wait until it is paid; so any amount can be taken at once. */
import type { Clock } from './clock.ts'

/** Resolves when `bytes` may be moved. Negative amounts give back what was taken too much, and never wait. */
export type Limit = (bytes: number) => Promise<void>

export class TokenBucket {
  readonly #clock: Clock
  readonly #perMs: number
  readonly #burst: number
  #tokens: number
  #at: number

  /** @param burst bytes that may go out at once after a quiet time; a quarter of a second's worth unless said */
  constructor(clock: Clock, bytesPerSecond: number, burst = bytesPerSecond / 4) {
    this.#clock = clock
    this.#perMs = bytesPerSecond / 1000
    this.#burst = burst
    this.#tokens = burst
    this.#at = clock.now()
  }

  /** First come, first served: a later taker waits for the debts of all before it. */
  take(bytes: number): Promise<void> {
    const now = this.#clock.now()
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#at) * this.#perMs) - bytes
    this.#at = now
    if (this.#tokens >= 0 || bytes <= 0) return Promise.resolve()
    const wait = -this.#tokens / this.#perMs
    return new Promise((resolve) => this.#clock.after(wait, resolve))
  }

  get limit(): Limit {
    return (bytes) => this.take(bytes)
  }
}
