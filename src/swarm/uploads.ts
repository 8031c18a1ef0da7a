/**
 * The serving half's decisions: which of the pieces that a child would take it gets, and who waits. Pure.
 *
 * A node sends what it has sent least. While a seed is the only holder of most pieces, every byte it sends twice is a byte
 * the swarm waits for.
 */
import type { Bitmap } from '../piece/bitmap.ts'

export class UploadLedger {
  readonly #sent = new Map<string, Uint16Array>()

  /** The held candidate that was sent least; the first in the asker's order among equals. */
  choose(digest: string, have: Bitmap, candidates: readonly number[]): number | undefined {
    const sent = this.#sent.get(digest)
    let best: number | undefined
    for (const piece of candidates) {
      if (!have.has(piece)) continue
      if (best === undefined || (sent?.[piece] ?? 0) < (sent?.[best] ?? 0)) best = piece
    }
    return best
  }

  sending(digest: string, count: number, piece: number): void {
    let sent = this.#sent.get(digest)
    if (!sent) {
      sent = new Uint16Array(count)
      this.#sent.set(digest, sent)
    }
    if (sent[piece]! < 0xffff) sent[piece]!++
  }

  /** The sending broke off: it does not count. */
  failed(digest: string, piece: number): void {
    const sent = this.#sent.get(digest)
    if (sent && sent[piece]! > 0) sent[piece]!--
  }

  forget(digest: string): void {
    this.#sent.delete(digest)
  }
}

/** Upload slots with a bounded queue; first come, first served. */
export class Slots {
  readonly total: number
  readonly #mostWaiting: number
  #taken = 0
  readonly #waiting: { grant: () => void; signal: AbortSignal }[] = []

  constructor(total: number, mostWaiting: number) {
    this.total = total
    this.#mostWaiting = mostWaiting
  }

  get taken(): number {
    return this.#taken
  }
  get waiting(): number {
    return this.#waiting.length
  }

  /** Resolves to a function that gives the slot back, or to `undefined` when the queue is full or `signal` aborts. */
  take(signal: AbortSignal): Promise<(() => void) | undefined> {
    if (signal.aborted) return Promise.resolve(undefined)
    if (this.#taken < this.total) {
      this.#taken++
      return Promise.resolve(this.#release())
    }
    if (this.#waiting.length >= this.#mostWaiting) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      const entry = { grant: () => resolve(this.#release()), signal }
      this.#waiting.push(entry)
      signal.addEventListener(
        'abort',
        () => {
          const at = this.#waiting.indexOf(entry)
          if (at < 0) return
          this.#waiting.splice(at, 1)
          resolve(undefined)
        },
        { once: true },
      )
    })
  }

  #release(): () => void {
    let held = true
    return () => {
      if (!held) return
      held = false
      const next = this.#waiting.shift()
      if (next) next.grant()
      else this.#taken--
    }
  }
}
