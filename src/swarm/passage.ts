/**
 * A blob that this node has no room for, read from other nodes in order: each piece verified, none kept. Nobody is told
 * of it, for there is nothing here to be had. Where no node has what comes next it ends before its end, and whoever
 * reads goes on with the source.
 */
import { type Clock, every, pause } from '../clock.ts'
import type { NodeCard, NodeId } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import type { Bitmap } from '../piece/bitmap.ts'
import { type Layout, layoutOf, pieceAt, pieceBytes, pieceStart } from '../piece/layout.ts'
import { Metainfo } from '../piece/metainfo.ts'
import type { Location } from '../source/source.ts'
import type { Frame } from '../wire/messages.ts'
import type { PieceAnswer, Session } from '../wire/wire.ts'
import { wrongPiece } from './arrivals.ts'
import { Asking } from './asking.ts'
import { type LinkEvents, ParentLinks } from './parent-links.ts'
import type { TransferDeps } from './transfer.ts'

interface Holder {
  readonly card: NodeCard
  have: Bitmap
  /** Requests under way; aborted when it is left. */
  readonly abort: AbortController
  asked: number
  failures: number
  busyUntil: number
}

const tickMs = 250
/** What is asked for before it is the client's turn. */
const aheadBytes = 4 * 1024 * 1024
/** Without any piece for so long, or without an answer for so long, it is over: a client waits for it. */
const patienceMs = 4000
const answerMs = 8000

export class Passage {
  readonly #d: TransferDeps
  readonly #location: Location
  readonly #layout: Layout
  readonly #metainfo: Metainfo
  readonly #links: ParentLinks
  readonly #asking: Asking
  readonly #holders = new Map<NodeId, Holder>()
  readonly #begins: () => () => void
  #news = Promise.withResolvers<void>()
  #progressAt: number
  #helpAt = 0
  /** Requests that a limit of this node's own keeps back. */
  readonly #queued = new Set<AbortController>()
  /** The scheduler leaves the source to this node: what no parent has, nobody will bring. */
  #left = false
  #over = false

  /** @param begins called when it is read; the result when that is over. One that nobody reads is nothing to anybody */
  constructor(deps: TransferDeps, location: Location, size: number, begins: () => () => void) {
    this.#d = deps
    this.#location = location
    this.#layout = layoutOf(size)
    this.#metainfo = new Metainfo(location.digest, this.#layout)
    this.#progressAt = deps.clock.now()
    this.#begins = begins
    this.#links = new ParentLinks(deps, location.digest, this.#linkEvents())
    this.#asking = new Asking(
      (request) => deps.planner.plan(request),
      {
        question: (stalled) => ({
          ...{ node: deps.membership.self, location, size, pieces: 0, stalled },
          connected: this.#links.cards().map(({ id }) => id),
        }),
        answer: ({ parents, fetcher }) => {
          if (this.#over) return
          this.#left = fetcher === deps.membership.self.id
          for (const { node } of parents) this.#links.connect(node)
          this.#tell()
        },
      },
      deps,
    )
  }

  frame(session: Session, frame: Frame): void {
    this.#links.frame(session, frame)
  }
  sessionClosed(session: Session, reason: string): void {
    this.#links.closed(session, reason)
  }
  /** Somebody else here told the parents that this node does not want the blob any more. */
  again(): void {
    this.#links.again()
  }

  /** Verified bytes from `start` on. To be called once. A chunk is valid until the next is asked for. */
  async *read(start: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { clock } = this.#d
    const layout = this.#layout
    const stop = new AbortController()
    const either = AbortSignal.any([signal, stop.signal])
    const coming = new Map<number, Promise<PieceAnswer | undefined>>()
    const ahead = Math.max(1, Math.floor(aheadBytes / layout.pieceLength))
    const stopTicking = every(clock, tickMs, () => this.#tick())
    const closed = this.#begins()
    this.#progressAt = clock.now()
    this.#asking.ask()
    try {
      for (let piece = pieceAt(layout, start); piece < layout.count; piece++) {
        for (let next = piece; next < Math.min(layout.count, piece + ahead); next++) {
          if (!coming.has(next)) coming.set(next, this.#piece(next, either))
        }
        const answer = await coming.get(piece)
        coming.delete(piece)
        if (!answer) return
        try {
          yield answer.bytes.subarray(Math.max(0, start - pieceStart(layout, piece)))
        } finally {
          answer.release?.()
        }
      }
    } finally {
      this.#over = true
      stopTicking()
      stop.abort()
      this.#links.close()
      for (const promise of coming.values()) void promise.then((answer) => answer?.release?.())
      closed()
    }
  }

  /** The pieces agree with what was stated and the whole is wrong. */
  doubt(): void {
    const signers = new Set(this.#metainfo.segments.map(({ signer }) => signer))
    this.#d.bans.doubts.raise(this.#metainfo, [...signers], (id) => this.#links.card(id) !== undefined)
  }

  /** Undefined when nobody brings it. */
  async #piece(piece: number, signal: AbortSignal): Promise<PieceAnswer | undefined> {
    const { clock } = this.#d
    while (!signal.aborted) {
      const holder = this.#holderOf(piece)
      if (holder) {
        const answer = await this.#ask(holder, piece, signal)
        if (answer) return answer
        continue
      }
      if (clock.now() - this.#progressAt > patienceMs || this.#hopeless(piece)) return undefined
      await Promise.race([this.#news.promise, soon(clock, signal)])
    }
    return undefined
  }

  /** Who holds it and has least to do for this reader. */
  #holderOf(piece: number): Holder | undefined {
    if (!this.#metainfo.known.has(piece)) return undefined
    const now = this.#d.clock.now()
    let best: Holder | undefined
    for (const holder of this.#holders.values()) {
      if (!holder.have.has(piece) || holder.busyUntil > now) continue
      if (!best || holder.asked < best.asked) best = holder
    }
    return best
  }

  #hopeless(piece: number): boolean {
    if (!this.#left) return false
    const cards = this.#links.cards()
    return cards.every(({ id }) => this.#holders.get(id)?.have.has(piece) === false)
  }

  async #ask(holder: Holder, piece: number, signal: AbortSignal): Promise<PieceAnswer | undefined> {
    const { outbound, clock, tuning } = this.#d
    const { card } = holder
    const { digest } = this.#location
    const late = new AbortController()
    let cancel = () => {}
    const queued = (waits: boolean) => {
      cancel()
      if (waits) this.#queued.add(late)
      else this.#queued.delete(late)
      cancel = waits ? () => {} : clock.after(answerMs, () => late.abort())
    }
    queued(false)
    holder.asked++
    try {
      const bytes = pieceBytes(this.#layout, piece)
      const any = AbortSignal.any([signal, holder.abort.signal, late.signal])
      const answer = await outbound.piece(card, digest, { pieces: [piece], bytes }, any, () => {}, queued)
      this.#links.got(card.id, piece)
      if (answer.bytes.length === bytes && this.#metainfo.verify(piece, answer.bytes)) {
        holder.failures = 0
        this.#progressAt = clock.now()
        return answer
      }
      answer.release?.()
      wrongPiece(this.#d, this.#links, this.#metainfo, piece, card.id)
      this.#drop(card.id, 'sent wrong bytes')
    } catch (error) {
      if (signal.aborted) return undefined
      const { code } = Failure.from(error)
      if (code === 'no-blob') holder.have.clear(piece)
      else holder.busyUntil = clock.now() + tuning.busyMs
      if (code !== 'no-blob' && code !== 'too-many' && ++holder.failures >= tuning.parentFailures) {
        this.#drop(card.id, 'does not answer')
      }
    } finally {
      cancel()
      this.#queued.delete(late)
      holder.asked--
    }
    return undefined
  }

  #drop(id: NodeId, reason: string): void {
    this.#forget(id)
    this.#links.drop(id, reason)
    this.#asking.failed(id, reason, reason === 'sent wrong bytes' ? 'corrupt' : undefined)
    this.#asking.ask()
  }

  #forget(id: NodeId): void {
    this.#holders.get(id)?.abort.abort()
    this.#holders.delete(id)
    this.#tell()
  }

  #tick(): void {
    const { clock, tuning } = this.#d
    const now = clock.now()
    if (this.#queued.size > 0) this.#progressAt = now
    const wait = Math.min(now - this.#progressAt, now - this.#helpAt)
    if (wait > tuning.stallMs) {
      this.#helpAt = now
      this.#asking.ask(true)
    }
    this.#asking.tick()
  }

  /** Whoever waits looks anew. */
  #tell(): void {
    this.#news.resolve()
    this.#news = Promise.withResolvers()
  }

  #linkEvents(): LinkEvents {
    return {
      sized: (size) => size === this.#layout.size,
      layout: () => this.#layout,
      owned: (repositories) => this.#d.owned?.(this.#location.digest, repositories),
      held: (id, have) => {
        const card = this.#links.card(id)
        if (!card) return
        const known = this.#holders.get(id)
        // Requests that are under way count on what is known of it.
        if (known) known.have = have
        else this.#holders.set(id, { card, have, abort: new AbortController(), asked: 0, failures: 0, busyUntil: 0 })
        this.#tell()
      },
      has: (id, pieces) => {
        const holder = this.#holders.get(id)
        for (const piece of pieces) if (piece < this.#layout.count) holder?.have.set(piece)
        this.#tell()
      },
      agrees: (segment) => this.#metainfo.agrees(segment),
      segment: (segment) => {
        const verdict = this.#metainfo.add(segment)
        if (verdict === 'new') this.#tell()
        return verdict
      },
      left: (id, reason, failure) => {
        this.#forget(id)
        this.#asking.failed(id, reason, failure?.code)
        this.#asking.ask()
      },
      unbelieved: (id) => {
        this.#asking.failed(id, 'what it says of the blob is not believed', 'corrupt')
        this.#asking.ask(true)
      },
    }
  }
}

/** For who is busy now, or is silent for ever. Never rejects. */
function soon(clock: Clock, signal: AbortSignal): Promise<void> {
  return pause(clock, tickMs, signal).catch(() => {})
}
