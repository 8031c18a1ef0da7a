/**
 * Who is sent what, and when: the serving half's decisions. Pure; time is an argument. Whose turn it is, is the decision
 * of a {@link FairLine}: what somebody waits for first, then children by turns, then the blobs of a child by turns.
 *
 * A link that sends a few pieces at once delivers each sooner than one that sends many, and its children can pass them on
 * sooner. So few pieces are under way at a time and everybody else waits in line; which piece a waiting child gets is
 * decided when its turn comes, with what is known then: the piece that was sent least. While a seed is the only holder of
 * most pieces, every byte it sends twice is a byte the swarm waits for. For the same reason who wants what nobody was sent
 * yet goes before those of the same blob whose turn it is: the second copy of a piece makes two who can pass it on. And
 * for the same reason children on slow links ({@link Paces}) come after the others, and take no slots from them.
 *
 * Longer than most files, for each grant changes the counts of slots, of what was sent and of who waits together.
 */
import { FairLine } from '../../fair-line.ts'
import { Meter } from '../../meter.ts'
import type { Bitmap } from '../../piece/bitmap.ts'
import { type Layout, pieceBytes } from '../../piece/layout.ts'
import { shareOf, shares } from '../../rate.ts'
import { Chains } from './chains.ts'
import { Paces } from './paces.ts'

/** What a child would take: one of some pieces, best first; or any but those it has or gets elsewhere, best from `from` on. */
export type Wanted = { readonly pieces: readonly number[] } | { readonly unwanted: Bitmap; readonly from: number }

export interface Ask {
  readonly id: number
  readonly peer: string
  readonly digest: string
  readonly wanted: Wanted
  /** Nobody waits for it, the child says. */
  readonly background?: boolean
  /** It may come from another child that is being sent it. */
  readonly follow?: boolean
  /** Where the child is: it is not told to ask others at other sites. */
  readonly site?: string | undefined
  readonly at: number
}

/** A child that may be told to ask another. */
export type Following = Pick<Ask, 'peer' | 'digest' | 'site'>

export interface Held {
  readonly layout: Layout
  readonly have: Bitmap
  /** The blob is still arriving from its source: what nobody was sent yet goes first. */
  readonly feeding: boolean
}

export interface Grant<A extends Ask = Ask> {
  readonly ask: A
  readonly piece: number
}

/** Who asks is to ask that child, which is being sent the piece. */
export interface Referral<A extends Ask = Ask> {
  readonly ask: A
  readonly piece: number
  readonly to: string
}

export interface UploadTuning {
  /** Pieces under way at once, least and most; between them the measured delay and rate of the link decide. */
  readonly leastSlots: number
  readonly mostSlots: number
  /** The least where many children wait. */
  readonly crowdSlots: number
  readonly mostWaiting: number
}

export const defaultUploadTuning: UploadTuning = { leastSlots: 4, mostSlots: 64, crowdSlots: 8, mostWaiting: 1024 }

interface Sending {
  readonly peer: string
  readonly bytes: number
  readonly since: number
  /** What a slow child is sent does not count as sent: the others cannot wait until it passes that on. */
  readonly counts: boolean
  /** Somebody waits for it who reads step by step. */
  readonly step: boolean
}

/**
 * A child whose link others fill as well keeps its slot for as long as they do, and this node's link waits: the more
 * children it has, the more of them have to be sent to at once. With few, pieces would only take longer to be passed on.
 */
const childrenPerSlot = 2
/** And a piece takes the longer to be passed on, which is for a blob of few pieces the longer part of its time. */
const piecesPerSlot = 64
/** How much more than what the link holds is put on it, so that it never runs dry. */
const headroom = 1.25
/** A slow child waits for so long while others keep the link full. */
const slowWaitMs = 2000
/** A child that asks for just anything again so long after it was sent a piece may want it once more. */
const alikeMs = 5000
/**
 * Who reads step by step waits for the whole piece before it asks for the next: two at once take as long as one after the
 * other, and the first of them comes later. More than so many are under way only where it takes more to fill the link.
 */
const leastSteps = 2
/** What nobody waits for takes no more of the link than that, for so long after somebody asked for what is waited for, in ms. */
const waitedMs = 1000
/** The shortest delivery is measured anew every so often, for paths change. */
const measureEveryMs = 10_000

export class UploadQueue<A extends Ask = Ask> {
  readonly #tuning: UploadTuning
  readonly #held: (digest: string) => Held | undefined
  readonly #sent = new Map<string, Uint16Array>()
  readonly #sending = new Map<number, Sending>()
  readonly #paces = new Paces()
  readonly #chains = new Chains()
  /** Of those in line, who may be told to ask another. */
  readonly #followers = new Map<number, A>()
  readonly #waiting = new FairLine<A>(shares)
  readonly #asks = new Map<number, A>()
  /** Those of them who may want a piece that nobody was sent yet. */
  readonly #news = new Map<number, A>()
  /** By child and blob: how many of them there are, and which pieces the child was sent while it had others waiting. */
  readonly #alike = new Map<string, { waiting: number; readonly sent: Map<number, number> }>()
  /** How many of them there are of each child. */
  readonly #asksOf = new Map<string, number>()
  /** How many of them there are of each blob, with and without somebody who waits for it. */
  readonly #crowds = new Map<string, number>()
  #sendingBytes = 0
  /** What was under way to others than slow children when grants were last asked for, what to those, and when that was. */
  #taken = 0
  #slow = 0
  #now = 0
  /** What is under way to who reads step by step, and passed on to them. */
  #steps = 0
  /** How many of these there may be, since {@link #look}. */
  #stepSlots = leastSteps
  /** Pieces that are passed on while they come. */
  #passing = 0
  /** When somebody last asked for what somebody waits for. */
  #waitedAt = Number.NEGATIVE_INFINITY
  /** Shortest time from grant to delivery, and the rate of deliveries: their product is what the link holds. */
  #leastMs = Number.POSITIVE_INFINITY
  #leastSince = Number.NEGATIVE_INFINITY
  /** Pieces under way that do not count: they waited behind more than there is now. */
  #unmeasured = 0
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
    return Math.max(this.#leastSlots(), this.#full(now))
  }

  /** Pieces that fill the link, as far as that is known. */
  #full(now: number): number {
    if (!this.#delivered || this.#sending.size === 0 || this.#leastMs === Number.POSITIVE_INFINITY) return 0
    const usual = this.#sendingBytes / this.#sending.size
    const full = (headroom * this.#delivered.perMs(now) * this.#leastMs) / Math.max(1, usual)
    return Math.min(this.#tuning.mostSlots, Math.ceil(full))
  }

  #leastSlots(): number {
    const { leastSlots, crowdSlots } = this.#tuning
    const wanted = Math.min(crowdSlots, Math.ceil(this.#waiting.flowsIn(shareOf(false)) / childrenPerSlot))
    if (wanted <= leastSlots) return leastSlots
    let pieces = 0
    // What is asked for in the background only is not held by the name of its crowd, and counts for nothing.
    for (const crowd of this.#crowds.keys()) pieces += this.#held(crowd)?.layout.count ?? 0
    return Math.max(leastSlots, Math.min(wanted, Math.floor(pieces / piecesPerSlot)))
  }

  /**
   * Takes it into the line. Where that is full, whoever has most asks in it loses the newest: nobody fills it for others.
   * @returns the ask that has no place, this one or another: who made it should try elsewhere, or later
   */
  ask(ask: A): A | undefined {
    const out = this.#waiting.size < this.#tuning.mostWaiting ? undefined : this.#tooMany(ask)
    if (out === ask) return ask
    if (out) this.withdraw(out.id)
    this.#waiting.add(ask, [shareOf(ask.background ?? false), ask.peer, ask.digest])
    this.#asks.set(ask.id, ask)
    if (ask.follow) this.#followers.set(ask.id, ask)
    else if ('pieces' in ask.wanted)
      for (const piece of ask.wanted.pieces) this.#chains.again(ask.peer, ask.digest, piece)
    if (!ask.background) {
      this.#news.set(ask.id, ask)
      this.#waitedAt = ask.at
    }
    this.#crowds.set(crowdOf(ask), (this.#crowds.get(crowdOf(ask)) ?? 0) + 1)
    const alike = this.#alike.get(flowOf(ask))
    if (alike) alike.waiting++
    else this.#alike.set(flowOf(ask), { waiting: 1, sent: new Map() })
    this.#asksOf.set(ask.peer, (this.#asksOf.get(ask.peer) ?? 0) + 1)
    return out
  }

  /** The asker went away, or was refused. */
  withdraw(id: number): boolean {
    const ask = this.#asks.get(id)
    if (!ask) return false
    this.#forget(ask)
    return this.#waiting.withdraw(ask)
  }

  /** Asks that have waited since before `since`; they are withdrawn. */
  expire(since: number): A[] {
    const expired: A[] = []
    for (const ask of this.#waiting.waiting()) {
      // They are in the order in which they came.
      if (ask.at >= since) break
      expired.push(ask)
    }
    for (const { id } of expired) this.withdraw(id)
    return expired
  }

  /** Whose turn it is now, and what they get: `most` pieces at most. To be called after every change. */
  grants(now: number, most = Number.POSITIVE_INFINITY): Grant<A>[] {
    const granted: Grant<A>[] = []
    if (this.#asks.size === 0) return granted
    const slots = this.slots(now)
    this.#look(now)
    // Granting a piece does not make another ask servable that was not.
    const inVain = new Set<A>()
    while (granted.length < most && this.#taken < slots) {
      const grant = this.#fresh(inVain) ?? this.#next(inVain)
      if (!grant) break
      granted.push(grant)
      this.#forget(grant.ask)
      this.#alike.get(flowOf(grant.ask))?.sent.set(grant.piece, now)
      const { layout } = this.#held(grant.ask.digest)!
      const bytes = pieceBytes(layout, grant.piece)
      const { id, peer, digest, follow } = grant.ask
      const counts = !this.#paces.slow(peer)
      if (counts) {
        this.#count(digest, layout.count, grant.piece, 1)
        this.#taken++
        if (follow) this.#chains.begin(peer, lineOf(grant.ask), grant.piece, now)
      } else this.#slow++
      this.#sendingBytes += bytes
      const step = follow ?? false
      if (step) this.#steps++
      this.#sending.set(id, { peer, bytes, since: now, counts, step })
    }
    return granted
  }

  /** Who of those in line is told to ask another, who passes on what it is sent. To be called after {@link grants}. */
  referrals(now: number): Referral<A>[] {
    const referred: Referral<A>[] = []
    for (const ask of this.#followers.values()) {
      const referral = this.#referral(ask, now)
      if (!referral) continue
      referred.push(referral)
      this.#chains.add(ask.peer, lineOf(ask), referral.piece, !this.#paces.slow(ask.peer), now)
      this.withdraw(ask.id)
    }
    return referred
  }

  /** Who passes that piece on to that child; undefined when it is to be sent from here. */
  before(child: Following, piece: number, now: number): string | undefined {
    return this.#chains.before(child.peer, lineOf(child), piece, now)
  }

  /**
   * It is passed on to that child while it comes, and whoever asks later asks there. `begin` when something of it is sent,
   * `end` in any case, with whether it was all of it.
   */
  passOn(child: Following, piece: number, now: number): { begin(): void; end(whole: boolean): void } {
    if (!this.#paces.slow(child.peer)) this.#chains.begin(child.peer, lineOf(child), piece, now)
    this.#waitedAt = now
    let begun = 0
    return {
      begin: () => {
        begun = 1
        this.#steps++
        this.#passing++
      },
      end: (whole) => {
        this.#steps -= begun
        this.#passing -= begun
        if (!whole) this.#chains.broken(child.peer, lineOf(child), piece)
      },
    }
  }

  #referral(ask: A, now: number): Referral<A> | undefined {
    const { wanted, peer } = ask
    const line = lineOf(ask)
    const have = this.#held(ask.digest)?.have
    for (const piece of 'pieces' in wanted ? wanted.pieces : this.#chains.pieces(line)) {
      if (!have?.has(piece) || ('unwanted' in wanted && wanted.unwanted.has(piece))) continue
      const to = this.#chains.before(peer, line, piece, now)
      if (to !== undefined) return { ask, piece, to }
    }
    return undefined
  }

  /** Length of a piece that is under way. */
  bytesOf({ ask }: Grant<A>): number {
    return this.#sending.get(ask.id)?.bytes ?? 0
  }

  /** The child has the piece. */
  delivered(id: number, now: number): void {
    const sending = this.#over(id)
    if (!sending) return
    const took = now - sending.since
    this.#paces.delivered(sending.peer, sending.bytes, took, now)
    this.#measure(took, now)
    this.#delivered ??= new Meter(now)
    this.#delivered.add(sending.bytes, now)
  }

  /** The sending broke off: it does not count as sent. */
  broken(grant: Grant<A>): void {
    this.#alike.get(flowOf(grant.ask))?.sent.delete(grant.piece)
    const { id, peer, digest } = grant.ask
    this.#chains.broken(peer, lineOf(grant.ask), grant.piece)
    if (this.#over(id)?.counts) this.#count(digest, 0, grant.piece, -1)
  }

  /** The child is gone, or wants nothing more of that blob. */
  left(peer: string, digest?: string): void {
    this.#chains.left(peer, digest)
  }

  forget(digest: string): void {
    this.#sent.delete(digest)
    this.#chains.forget(digest)
  }

  /** What is under way to slow children leaves most of the link to others, and takes no slots from them. */
  #look(now: number): void {
    this.#now = now
    this.#stepSlots = Math.max(leastSteps, this.#full(now))
    this.#slow = 0
    for (const { peer, bytes, since } of this.#sending.values())
      if (this.#paces.slow(peer, bytes, now - since)) this.#slow++
    this.#taken = this.#sending.size - this.#slow
  }

  /** It is slow and must not be in the way of others, or others who read step by step are first, or nobody waits for it. */
  #waits({ peer, follow, background, at }: A): boolean {
    if (follow && this.#steps >= this.#stepSlots) return true
    if (background && this.#now - this.#waitedAt < waitedMs && this.#sending.size + this.#passing >= this.#stepSlots)
      return true
    if (!this.#paces.slow(peer)) return false
    const { leastSlots } = this.#tuning
    return this.#slow >= leastSlots || (2 * this.#taken >= leastSlots && this.#now - at < slowWaitMs)
  }

  #forget(ask: A): void {
    this.#asks.delete(ask.id)
    this.#news.delete(ask.id)
    this.#followers.delete(ask.id)
    const crowd = crowdOf(ask)
    const left = (this.#crowds.get(crowd) ?? 1) - 1
    if (left > 0) this.#crowds.set(crowd, left)
    else this.#crowds.delete(crowd)
    const alike = this.#alike.get(flowOf(ask))
    if (alike && --alike.waiting === 0) this.#alike.delete(flowOf(ask))
    const others = (this.#asksOf.get(ask.peer) ?? 1) - 1
    if (others > 0) this.#asksOf.set(ask.peer, others)
    else this.#asksOf.delete(ask.peer)
  }

  /** Which of them all is one too many, this one included. */
  #tooMany(ask: A): A {
    let [child, most] = [ask.peer, (this.#asksOf.get(ask.peer) ?? 0) + 1]
    for (const [peer, count] of this.#asksOf) if (count > most) [child, most] = [peer, count]
    let out = ask
    // The newest of them comes last.
    if (child !== ask.peer) for (const other of this.#asks.values()) if (other.peer === child) out = other
    return out
  }

  /** What nobody was sent yet: of the blob whose turn it is, else of one that the child wants as well whose turn it is. */
  #fresh(inVain: Set<A>): Grant<A> | undefined {
    if (this.#news.size === 0) return undefined
    if (this.#crowds.size < 2) return this.#unsent(() => true)
    const first = this.#turn(inVain)
    if (!first) return undefined
    const crowd = crowdOf(first)
    return this.#unsent((ask) => crowdOf(ask) === crowd) ?? this.#unsent(({ peer }) => peer === first.peer)
  }

  /** Whose turn it is. */
  #turn(inVain: Set<A>): A | undefined {
    return this.#waiting.first((ask) => {
      if (inVain.has(ask)) return false
      if (this.#choose(ask) !== undefined) return true
      inVain.add(ask)
      return false
    })
  }

  /**
   * What is under way waits for itself on the link. To forget the shortest delivery bit by bit would let that wait into
   * it, and so let the number of slots drive itself up; so it is forgotten at once, and measured with the fewest slots.
   */
  #measure(ms: number, now: number): void {
    if (now - this.#leastSince > measureEveryMs) {
      this.#unmeasured = this.#leastSince === Number.NEGATIVE_INFINITY ? 0 : this.#sending.size
      this.#leastMs = Number.POSITIVE_INFINITY
      this.#leastSince = now
      if (this.#unmeasured > 0) return
    }
    if (this.#unmeasured > 0) this.#unmeasured--
    else this.#leastMs = Math.min(this.#leastMs, Math.max(0.1, ms))
  }

  #over(id: number): Sending | undefined {
    const sending = this.#sending.get(id)
    if (!sending) return undefined
    this.#sending.delete(id)
    if (sending.step) this.#steps--
    this.#sendingBytes -= sending.bytes
    return sending
  }

  /** Takes out of the line who is next of those who `may` that want a piece nobody was sent yet. */
  #unsent(may: (ask: A) => boolean): Grant<A> | undefined {
    return this.#take((ask) => {
      if (!this.#news.has(ask.id) || !may(ask)) return undefined
      if (this.#waits(ask) || this.#paces.slow(ask.peer)) return undefined
      const piece = this.#choose(ask)
      if (piece !== undefined && !this.#sent.get(ask.digest)?.[piece]) return piece
      // What is named has been sent, and that stays so; of just anything there may be news.
      if ('pieces' in ask.wanted) this.#news.delete(ask.id)
      return undefined
    }, false)
  }

  /** Takes out of the line whose turn it is. `inVain`: those who are known not to be servable. */
  #next(inVain: Set<A>): Grant<A> | undefined {
    return this.#take((ask) => {
      if (inVain.has(ask)) return undefined
      const piece = this.#choose(ask)
      if (piece === undefined) inVain.add(ask)
      return piece
    }, true)
  }

  #take(choose: (ask: A) => number | undefined, lasting: boolean): Grant<A> | undefined {
    let piece: number | undefined
    const ask = this.#waiting.next((candidate) => {
      piece = choose(candidate)
      return piece === undefined ? undefined : pieceBytes(this.#held(candidate.digest)!.layout, piece)
    }, lasting)
    return ask && piece !== undefined ? { ask, piece } : undefined
  }

  #choose(ask: A): number | undefined {
    const held = this.#held(ask.digest)
    if (!held || this.#waits(ask)) return undefined
    const sent = this.#sent.get(ask.digest)
    /** Another child passes it on. */
    const comes = (piece: number) => ask.follow && this.#chains.before(ask.peer, lineOf(ask), piece, this.#now)
    if ('pieces' in ask.wanted)
      return leastSent(
        held.have,
        sent,
        ask.wanted.pieces.filter((piece) => !comes(piece)),
      )
    const { unwanted, from } = ask.wanted
    const { count } = held.layout
    const alike = this.#alike.get(flowOf(ask))?.sent
    const offset = Math.min(from, count - 1)
    let best: number | undefined
    let least = Number.POSITIVE_INFINITY
    const [have, not] = [held.have.bytes, unwanted.bytes]
    // From there to the end, then what is before: eight are passed over at a time where there is nothing to choose.
    for (let lap = 0; lap < 2 && least > 0; lap++) {
      const end = lap === 0 ? count : offset
      for (let piece = lap === 0 ? offset : 0; piece < end && least > 0; piece++) {
        const both = have[piece >> 3]! & ~not[piece >> 3]!
        if (both === 0) piece |= 7
        if ((both & (1 << (piece & 7))) === 0) continue
        // It asked for just anything more than once, and this is what it was sent for another of these.
        if (alike && this.#now - (alike.get(piece) ?? Number.NEGATIVE_INFINITY) < alikeMs) continue
        const times = sent?.[piece] ?? 0
        if (times < least && !comes(piece)) {
          least = times
          best = piece
        }
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

/** Children at one site pass it on to each other, and to nobody at another. */
function lineOf({ digest, site }: Following): string {
  return site === undefined ? digest : `${digest} ${site}`
}

function flowOf({ peer, digest }: Ask): string {
  return `${peer} ${digest}`
}

function crowdOf({ digest, background }: Ask): string {
  return background ? `background ${digest}` : digest
}

function leastSent(have: Bitmap, sent: Uint16Array | undefined, pieces: readonly number[]): number | undefined {
  let best: number | undefined
  for (const piece of pieces) {
    if (!have.has(piece)) continue
    if (best === undefined || (sent?.[piece] ?? 0) < (sent?.[best] ?? 0)) best = piece
  }
  return best
}
