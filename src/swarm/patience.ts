/**
 * How long a node waits for a blob that does not come: it trusts that somebody else reads the source and gets on with it,
 * goes to the source itself in the end, and gives up when that has failed as well. Pure: times are in ms, and arguments.
 */
import type { NodeId } from '../cluster/node-info.ts'
import type { ScheduleReply } from '../wire/messages.ts'

/** What to do now: go on, go to the source itself, or end with what the source failed with. */
export type Verdict = 'wait' | 'alone' | 'give up'

/** Stalled for so long, a node goes to the source itself, fetcher or not. Spread, so that a swarm does not do it at once. */
const ownWayMs = 8000
/** It waits so many times longer while a scheduler says that the blob comes from elsewhere: nodes may be slow, all of them. */
const elsewherePatience = 3
/** For how long such an answer counts, or until the next one is late. */
const elsewhereMs = 6000
const lateMs = 3000
/** Stalled for so long with nothing left to try, a transfer gives up. */
const giveUpMs = 20_000
/** A named reader that told of a piece nobody else here has, so long ago at most, gets on with it. */
const readsMs = 1000

export class Patience {
  readonly #ownWayAfter: number
  #progressAt: number
  /** Until then a scheduler's word counts that the blob comes from elsewhere. */
  #elsewhereUntil = Number.NEGATIVE_INFINITY
  /** When a scheduler was last to hear that nothing comes. */
  #saidAt = Number.NEGATIVE_INFINITY
  #alone = false
  #reader: NodeId | undefined
  /** When the reader last told of a piece that it alone has. */
  #toldAt = Number.NEGATIVE_INFINITY

  /** @param dice from 0 to 1 (exclusive) */
  constructor(now: number, dice: number) {
    this.#progressAt = now
    this.#ownWayAfter = ownWayMs * (1 + dice)
  }

  /** Whom the scheduler named to read the source. */
  get reader(): NodeId | undefined {
    return this.#reader
  }
  /** It has gone to the source by itself, and nothing came from other nodes since. */
  get alone(): boolean {
    return this.#alone
  }

  /** For how long nothing has come. */
  quiet(now: number): number {
    return now - this.#progressAt
  }

  /** Something came `at`, or nothing was to come until then. False if that is old news. */
  progress(at: number): boolean {
    if (at <= this.#progressAt) return false
    this.#progressAt = at
    return true
  }

  /** Nothing has come for longer than `stallMs`, and a scheduler is to hear of it: now, and then twice in that time. */
  stalls(stallMs: number, now: number): boolean {
    if (this.quiet(now) <= stallMs || now - this.#saidAt < stallMs / 2) return false
    this.#saidAt = now
    return true
  }

  /** What a scheduler says: who reads the source, and whether somebody else has it or gets on with it. */
  answered({ fetcher, elsewhere, again }: Pick<ScheduleReply, 'fetcher' | 'elsewhere' | 'again'>, now: number): void {
    this.#elsewhereUntil = elsewhere ? now + Math.max(elsewhereMs, again + lateMs) : Number.NEGATIVE_INFINITY
    if (this.#reader !== fetcher) this.#toldAt = Number.NEGATIVE_INFINITY
    this.#reader = fetcher
  }

  /** A parent tells of a piece that neither this node nor any other parent has. */
  told(parent: NodeId, now: number): void {
    if (parent === this.#reader) this.#toldAt = now
  }

  /** Another node was named to read the source, and does: two that read the same make the source send it twice. */
  leftToOther(now: number): boolean {
    return !this.#alone && now - this.#toldAt < readsMs
  }

  /** It goes to the source by itself. False if it has done so already. */
  goAlone(): boolean {
    const goes = !this.#alone
    this.#alone = true
    return goes
  }

  /** Another node gave a piece. */
  swarmGave(): void {
    this.#alone = false
  }

  /**
   * @param reading this node reads the source, and that is to send something
   * @param failed it has tried to
   */
  verdict({ reading, failed }: { readonly reading: boolean; readonly failed: boolean }, now: number): Verdict {
    const quiet = this.quiet(now)
    if (failed) return quiet > giveUpMs ? 'give up' : 'wait'
    const patience = this.#ownWayAfter * (now < this.#elsewhereUntil ? elsewherePatience : 1)
    return !reading && quiet > patience ? 'alone' : 'wait'
  }
}
