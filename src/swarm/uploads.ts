/**
 * Who is sent what, and when: the serving half's decisions. Pure; time is an argument. Whose turn it is, is the decision
 * of a {@link FairLine}: what somebody waits for first, then children by turns, then the blobs of a child by turns.
 *
 * A link that sends a few pieces at once delivers each sooner than one that sends many, and its children can pass them on
 * sooner. So few pieces are under way at a time and everybody else waits in line; which piece a waiting child gets is
 * decided when its turn comes, with what is known then: the piece that was sent least. While a seed is the only holder of
 * most pieces, every byte it sends twice is a byte the swarm waits for.
 */
import { FairLine } from '../fair-line.ts'
import { Meter } from '../meter.ts'
import type { Bitmap } from '../piece/bitmap.ts'
import { type Layout, pieceBytes } from '../piece/layout.ts'
import { shareOf, shares } from '../rate.ts'

/** What a child would take: one of some pieces, best first; or any but those it has or gets elsewhere, best from `from` on. */
export type Wanted = { readonly pieces: readonly number[] } | { readonly unwanted: Bitmap; readonly from: number }

export interface Ask {
  readonly id: number
  readonly peer: string
  readonly digest: string
  readonly wanted: Wanted
  /** Nobody waits for it, the child says. */
  readonly background?: boolean
  readonly at: number
}

export interface Held {
  readonly layout: Layout
  readonly have: Bitmap
  /** The blob is still arriving from its source: what nobody was sent yet goes first. */
  readonly feeding: boolean
}

export interface Grant {
  readonly ask: Ask
  readonly piece: number
}

export interface UploadTuning {
  /** Pieces under way at once, least and most; between them the measured delay and rate of the link decide. */
  readonly leastSlots: number
  readonly mostSlots: number
  readonly mostWaiting: number
}

export const defaultUploadTuning: UploadTuning = { leastSlots: 4, mostSlots: 64, mostWaiting: 1024 }

interface Sending {
  readonly bytes: number
  readonly since: number
}

/** How much more than what the link holds is put on it, so that it never runs dry. */
const headroom = 1.25
/** The shortest delivery is forgotten by so much with every delivery, for paths change. */
const forgetting = 1.002

export class UploadQueue {
  readonly #tuning: UploadTuning
  readonly #held: (digest: string) => Held | undefined
  readonly #sent = new Map<string, Uint16Array>()
  readonly #sending = new Map<number, Sending>()
  readonly #waiting = new FairLine<Ask>(shares)
  readonly #asks = new Map<number, Ask>()
  /** Shortest time from grant to delivery, and the rate of deliveries: their product is what the link holds. */
  #leastMs = Number.POSITIVE_INFINITY
  #delivered: Meter | undefined

  constructor(tuning: UploadTuning, held: (digest: string) => Held | undefined) {
    this.#tuning = tuning
    this.#held = held
  }

  get sending(): number {
    return this.#sending.size
  }
  get waiting(): number {
    return this.#waiting.size
  }

  /** Pieces that may be under way at once. */
  slots(now: number): number {
    const { leastSlots, mostSlots } = this.#tuning
    if (!this.#delivered || this.#sending.size === 0) return leastSlots
    const usual = [...this.#sending.values()].reduce((sum, { bytes }) => sum + bytes, 0) / this.#sending.size
    const full = (headroom * this.#delivered.perMs(now) * this.#leastMs) / Math.max(1, usual)
    return Math.max(leastSlots, Math.min(mostSlots, Math.ceil(full)))
  }

  /** False when the line is too long: the asker should try elsewhere, or later. */
  ask(ask: Ask): boolean {
    if (this.#waiting.size >= this.#tuning.mostWaiting) return false
    this.#waiting.add(ask, [shareOf(ask.background ?? false), ask.peer, ask.digest])
    this.#asks.set(ask.id, ask)
    return true
  }

  /** The asker went away, or was refused. */
  withdraw(id: number): boolean {
    const ask = this.#asks.get(id)
    if (!ask) return false
    this.#asks.delete(id)
    return this.#waiting.withdraw(ask)
  }

  /** Asks that have waited since before `since`; they are withdrawn. */
  expire(since: number): Ask[] {
    const expired: Ask[] = []
    for (const ask of this.#waiting.waiting()) {
      // They are in the order in which they came.
      if (ask.at >= since) break
      expired.push(ask)
    }
    for (const { id } of expired) this.withdraw(id)
    return expired
  }

  /** Whose turn it is now, and what they get: `most` pieces at most. To be called after every change. */
  grants(now: number, most = Number.POSITIVE_INFINITY): Grant[] {
    const granted: Grant[] = []
    const slots = this.slots(now)
    // Granting a piece does not make another ask servable that was not.
    const inVain = new Set<Ask>()
    while (granted.length < most && this.#sending.size < slots) {
      let chosen: { piece: number; layout: Layout } | undefined
      const ask = this.#waiting.next((candidate) => {
        if (inVain.has(candidate)) return undefined
        const piece = this.#choose(candidate)
        if (piece === undefined) {
          inVain.add(candidate)
          return undefined
        }
        const { layout } = this.#held(candidate.digest)!
        chosen = { piece, layout }
        return pieceBytes(layout, piece)
      })
      if (!ask || !chosen) break
      const { piece, layout } = chosen
      this.#asks.delete(ask.id)
      this.#count(ask.digest, layout.count, piece, 1)
      this.#sending.set(ask.id, { bytes: pieceBytes(layout, piece), since: now })
      granted.push({ ask, piece })
    }
    return granted
  }

  /** Length of a piece that is under way. */
  bytesOf({ ask }: Grant): number {
    return this.#sending.get(ask.id)?.bytes ?? 0
  }

  /** The child has the piece. */
  delivered(id: number, now: number): void {
    const sending = this.#sending.get(id)
    if (!sending) return
    this.#sending.delete(id)
    this.#leastMs = Math.min(this.#leastMs * forgetting, Math.max(0.1, now - sending.since))
    this.#delivered ??= new Meter(now)
    this.#delivered.add(sending.bytes, now)
  }

  /** The sending broke off: it does not count as sent. */
  broken(grant: Grant): void {
    if (!this.#sending.delete(grant.ask.id)) return
    this.#count(grant.ask.digest, 0, grant.piece, -1)
  }

  forget(digest: string): void {
    this.#sent.delete(digest)
  }

  #choose(ask: Ask): number | undefined {
    const held = this.#held(ask.digest)
    if (!held) return undefined
    const sent = this.#sent.get(ask.digest)
    if ('pieces' in ask.wanted) return leastSent(held.have, sent, ask.wanted.pieces)
    const { unwanted, from } = ask.wanted
    const { count } = held.layout
    const offset = Math.min(from, count - 1)
    let best: number | undefined
    let least = Number.POSITIVE_INFINITY
    for (let k = 0; k < count && least > 0; k++) {
      const piece = k + offset < count ? k + offset : k + offset - count
      if (unwanted.has(piece) || !held.have.has(piece)) continue
      const times = sent?.[piece] ?? 0
      if (times < least) {
        least = times
        best = piece
      }
    }
    // What it would get has been sent before and can be had elsewhere; half of the link stays free for news.
    if (least > 0 && held.feeding && 2 * this.#sending.size >= this.#tuning.leastSlots) return undefined
    return best
  }

  #count(digest: string, count: number, piece: number, by: number): void {
    let sent = this.#sent.get(digest)
    if (!sent) {
      if (by < 0) return
      sent = new Uint16Array(count)
      this.#sent.set(digest, sent)
    }
    sent[piece] = Math.max(0, Math.min(0xffff, sent[piece]! + by))
  }
}

function leastSent(have: Bitmap, sent: Uint16Array | undefined, pieces: readonly number[]): number | undefined {
  let best: number | undefined
  for (const piece of pieces) {
    if (!have.has(piece)) continue
    if (best === undefined || (sent?.[piece] ?? 0) < (sent?.[best] ?? 0)) best = piece
  }
  return best
}
