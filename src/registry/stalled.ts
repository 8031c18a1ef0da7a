/**
 * Finds clients that take nothing of their answer. What they leave lies in memory, and behind it a blob stays open, so
 * they are cut; one on a slow link is not, for it takes something all the while.
 *
 * Whether a response moves is seen from outside: what of it waits in this process gets less, whoever wrote it, a blob's
 * pump or the router. What the kernel has taken counts as taken: it asks for more when a third of its buffer is free, so
 * on a slow link progress comes in steps, of a megabyte at most.
 */
import type { Clock } from '../clock.ts'

/** As much of node's response as this needs. */
export interface Outgoing {
  /** Bytes that the kernel has not taken. */
  readonly writableLength: number
  once(event: 'close', listener: () => void): unknown
}

interface Mark {
  left: number
  since: number
}

/** Looks within the time; a client may get one of them more than the time, and none gets less. */
const looks = 8

export class Stalled<R extends Outgoing> {
  readonly #clock: Clock
  readonly #ms: number
  readonly #found: (response: R) => void
  readonly #open = new Map<R, Mark>()
  #timer: (() => void) | undefined

  /** `found` is called for a response of which bytes have waited for `ms`, and none went. */
  constructor(clock: Clock, ms: number, found: (response: R) => void) {
    this.#clock = clock
    this.#ms = ms
    this.#found = found
  }

  watch(response: R): void {
    this.#open.set(response, { left: 0, since: 0 })
    response.once('close', () => this.#open.delete(response))
    this.#arm()
  }

  close(): void {
    this.#open.clear()
    this.#timer?.()
    this.#timer = undefined
  }

  #arm(): void {
    this.#timer ??= this.#clock.after(this.#ms / looks, () => this.#look())
  }

  #look(): void {
    this.#timer = undefined
    const now = this.#clock.now()
    for (const [response, mark] of this.#open) {
      const left = response.writableLength
      if (left === 0 || left !== mark.left) {
        mark.left = left
        mark.since = now
      } else if (now - mark.since >= this.#ms) {
        this.#open.delete(response)
        this.#found(response)
      }
    }
    if (this.#open.size > 0) this.#arm()
  }
}
