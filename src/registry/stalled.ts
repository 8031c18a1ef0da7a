/**
 * Finds clients that take nothing of their answer. What they leave lies in memory, and behind it a blob stays open, so
 * they are cut; one on a slow link is not, for it takes something all the while.
 *
 * Whether a response moves is seen from outside: what of it the kernel has taken gets more, whoever wrote it, a blob's
 * pump or the router. How much waits in this process would not tell, for as much may come as went. What the kernel has taken counts as taken: it asks for more when a third of its buffer is free, so
 * on a slow link progress comes in steps, of a megabyte at most.
 */
import type { Clock } from '../clock.ts'

/** As much of node's response as this needs. */
export interface Outgoing {
  /** Bytes that the kernel has not taken. */
  readonly writableLength: number
  /** Of all that was written to the connection so far, taken by the kernel or not. */
  readonly socket: { readonly bytesWritten: number } | null
  once(event: 'close', listener: () => void): unknown
}

interface Mark {
  taken: number | undefined
  since: number
}

/** What the kernel has taken; undefined when nothing waits for it. */
export function takenOf({ writableLength, socket }: Outgoing): number | undefined {
  return writableLength === 0 ? undefined : (socket?.bytesWritten ?? 0) - writableLength
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
    this.#open.set(response, { taken: undefined, since: 0 })
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
      const taken = takenOf(response)
      if (taken === undefined || taken !== mark.taken) {
        mark.taken = taken
        mark.since = now
      } else if (now - mark.since >= this.#ms) {
        this.#open.delete(response)
        this.#found(response)
      }
    }
    if (this.#open.size > 0) this.#arm()
  }
}
