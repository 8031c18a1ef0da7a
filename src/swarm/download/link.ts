/**
 * What all downloads of a node together have on their way over its link: what one of them asks for comes later for what the
 * others have asked for. Pure; times in ms.
 */
import { Meter } from '../../meter.ts'

/** While somebody waits for something, so many requests at once are for what nobody waits for yet. */
const besideAwaited = 2
/** Else so many at least: with fewer, hosts that want the same have too little to give each other. */
const leastAhead = 4

export class Link {
  /** Requests in flight for what somebody waits for who reads a part of a blob. */
  awaited = 0
  /** And for what comes of such blobs before anybody waits for it. */
  ahead = 0
  /** Bytes of the pieces that others have begun to send. */
  #coming = 0
  readonly #meter: Meter

  constructor(now: number) {
    this.#meter = new Meter(now)
  }

  begins(bytes: number): void {
    this.#coming += bytes
  }

  ends(bytes: number): void {
    this.#coming -= bytes
  }

  arrived(bytes: number, now: number): void {
    this.#meter.add(bytes, now)
  }

  /** Until all is here that is on its way; 0 while nothing has arrived lately. */
  expectedMs(now: number): number {
    const perMs = this.#meter.perMs(now)
    return perMs > 0 ? this.#coming / perMs : 0
  }

  /** One more request may be made for what nobody waits for yet, in pieces of that length; `ms` worth of it may be in flight. */
  hasRoomAhead(pieceLength: number, ms: number, now: number): boolean {
    if (this.awaited > 0) return this.ahead < besideAwaited
    return this.ahead < Math.max(leastAhead, Math.floor((this.#meter.perMs(now) * ms) / pieceLength))
  }
}
