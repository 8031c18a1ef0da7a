/**
 * How fast, and who is next: limits on bytes per second and on how many may be at it at once, with one fair line before
 * them. What somebody waits for goes before what nobody waits for yet, and inside both every blob gets its turn, so that
 * a large one does not keep small ones waiting.
 */
import type { Clock } from './clock.ts'
import { FairLine } from './fair-line.ts'

/**
 * Shares of a link or a limit that both want: the background keeps a sixteenth, so that nobody can starve it by saying
 * of everything that somebody waits for it.
 */
export const shares = { interactive: 15, background: 1 } as const

export function shareOf(background: boolean): keyof typeof shares {
  return background ? 'background' : 'interactive'
}

/** Bytes that may go out at once after a quiet time, as ms of the rate. */
const burstMs = 100

/**
 * A token bucket. Whoever goes while it is not in debt may take any amount; the next goes when the debt is paid. So over
 * any time no more passes than the rate allows, plus the burst and one piece. Pure.
 */
export class Bucket {
  readonly #perMs: number
  readonly #burst: number
  #tokens: number
  #at: number

  constructor(bytesPerSecond: number, now: number) {
    this.#perMs = bytesPerSecond / 1000
    this.#burst = burstMs * this.#perMs
    this.#tokens = this.#burst
    this.#at = now
  }

  /** How many ms from now the next may go; 0 if at once. */
  wait(now: number): number {
    this.#fill(now)
    // Less than a byte is a rounding error, not a debt.
    return this.#tokens > -1 ? 0 : -this.#tokens / this.#perMs
  }

  /** Negative amounts give back what was taken and not used. */
  take(bytes: number, now: number): void {
    this.#fill(now)
    this.#tokens = Math.min(this.#burst, this.#tokens - bytes)
  }

  #fill(now: number): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#at) * this.#perMs)
    this.#at = now
  }
}

export interface GateOptions {
  readonly clock: Clock
  readonly bytesPerSecond?: number | undefined
  /** How many may be inside at once. */
  readonly places?: number
}

/** On whose behalf something is moved. */
export interface Cause {
  /** Everything of one blob, say, shares its turns. */
  readonly of: string
  /** Nobody waits for it. */
  readonly background: boolean
}

interface Waiter {
  readonly bytes: number
  readonly go: () => void
}

export class Gate {
  readonly #clock: Clock
  readonly #bucket: Bucket | undefined
  readonly #places: number
  readonly #line = new FairLine<Waiter>(shares)
  #inside = 0
  #cancelTimer: (() => void) | undefined

  constructor({ clock, bytesPerSecond, places = Number.POSITIVE_INFINITY }: GateOptions) {
    this.#clock = clock
    this.#bucket = bytesPerSecond === undefined ? undefined : new Bucket(bytesPerSecond, clock.now())
    this.#places = places
  }

  get waiting(): number {
    return this.#line.size
  }

  /** Who comes now has to wait. */
  get shut(): boolean {
    return this.#line.size > 0 || !this.#open(this.#clock.now())
  }

  /** Resolves when it may be moved; `leave` is to be called when it has been. @throws the signal's reason */
  enter(bytes: number, { of, background }: Cause, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason)
    if (!this.shut) {
      this.#admit(bytes)
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        bytes,
        go: () => {
          signal?.removeEventListener('abort', abort)
          resolve()
        },
      }
      const abort = () => {
        this.#line.withdraw(waiter)
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', abort, { once: true })
      this.#line.add(waiter, [shareOf(background), of])
      this.#pump()
    })
  }

  /** Who was let in is done; so many of the bytes were never moved. */
  leave(unused = 0): void {
    this.#inside--
    if (unused !== 0) this.#bucket?.take(-unused, this.#clock.now())
    this.#pump()
  }

  #open(now: number): boolean {
    return this.#inside < this.#places && (this.#bucket?.wait(now) ?? 0) === 0
  }

  #admit(bytes: number): void {
    this.#inside++
    this.#bucket?.take(bytes, this.#clock.now())
  }

  #pump(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    while (this.#line.size > 0 && this.#inside < this.#places) {
      const wait = this.#bucket?.wait(this.#clock.now()) ?? 0
      if (wait > 0) {
        this.#cancelTimer = this.#clock.after(Math.ceil(wait), () => this.#pump())
        return
      }
      const waiter = this.#line.next(({ bytes }) => bytes)!
      this.#admit(waiter.bytes)
      waiter.go()
    }
  }
}
