/**
 * The sessions of one download with its parents: dials them, asks for the blob, turns their frames into what the download
 * understands, and leaves those that make no sense.
 */
import type { NodeCard, NodeId } from '../cluster/node-info.ts'
import { apart } from '../cluster/zone.ts'
import { Failure, isFailureCode } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'
import { Bitmap } from '../piece/bitmap.ts'
import { type Layout, layoutOf } from '../piece/layout.ts'
import { type Segment, type SegmentVerdict, segmentEnd, segmentPayload } from '../piece/metainfo.ts'
import type { Frame, FrameOf } from '../wire/messages.ts'
import type { Session } from '../wire/wire.ts'
import type { TransferDeps } from './transfer.ts'

export interface LinkEvents {
  /** A parent says how large the blob is; false if that contradicts what is known. */
  sized(size: number, mediaType: string | undefined): boolean
  layout(): Layout | undefined
  /** A parent says which private repositories have it; before it says what it holds. */
  owned(repositories: readonly Repository[]): void
  /** `part`: it brings only what it is told is needed. */
  held(parent: NodeId, have: Bitmap, feeding: boolean, part: boolean): void
  has(parent: NodeId, pieces: readonly number[]): void
  /** Everything that the segment states is known already, and the same. */
  agrees(segment: Segment): boolean
  /** A segment whose signature is right. */
  segment(segment: Segment): SegmentVerdict
  left(parent: NodeId, reason: string, failure?: Failure): void
  /** A node was named that is not believed about this blob; told once of each. */
  unbelieved(node: NodeId): void
}

interface Link {
  readonly card: NodeCard
  session?: Session
  /** Set when the parent said what it holds. */
  joined: boolean
  /** It came back while it was dialled: a dial that began before that may well fail. */
  returned?: boolean
  /** Pieces whose digests it told us itself, as we believe them. */
  vouched?: Bitmap
}

/** A node that was sent to another site has links to so many there, however many it has at its own. */
export const mostAcross = 8
/** Parents that are remembered when they are lost. */
const mostLost = 64

export class ParentLinks {
  readonly #d: TransferDeps
  readonly #digest: Digest
  readonly #events: LinkEvents
  readonly #links = new Map<NodeId, Link>()
  /** Parents whose bytes contradicted what a third node had stated: one of them lies, and this download can do without. */
  readonly #doubtful = new Set<NodeId>()
  /** Nodes from which nothing can be taken, for they say, or pass on, what is not believed. */
  readonly #discredited = new Set<NodeId>()
  /** Parents that could not be reached any more, the last of them. */
  readonly #lost = new Map<NodeId, NodeCard>()
  #closed = false

  constructor(deps: TransferDeps, digest: Digest, events: LinkEvents) {
    this.#d = deps
    this.#digest = digest
    this.#events = events
  }

  get count(): number {
    return this.#links.size
  }

  cards(): NodeCard[] {
    return [...this.#links.values()].map((link) => link.card)
  }

  card(id: NodeId): NodeCard | undefined {
    return this.#links.get(id)?.card
  }

  get discredited(): Iterable<NodeId> {
    return this.#discredited
  }

  /** Opens a session with a node that a scheduler or the directory named. */
  connect(card: NodeCard): void {
    if (this.#unbelieved(card.id) && !this.#discredited.has(card.id) && !this.#closed) {
      this.#discredited.add(card.id)
      this.#events.unbelieved(card.id)
    }
    const across = apart(this.#d.membership.self.zone, card.zone)
    if (!this.#mayAdd(card.id, across ? mostAcross : 0)) return
    const link: Link = { card, joined: false }
    this.#links.set(card.id, link)
    this.#d.outbound.session(card).then(
      (session) => {
        if (this.#links.get(card.id) === link && !this.#closed) this.#subscribe(link, session)
      },
      (error: Error) => {
        if (this.#links.get(card.id) !== link) return this.#d.membership.doubt(card.id)
        if (link.returned) {
          this.#links.delete(card.id)
          return this.connect(card)
        }
        this.#d.membership.doubt(card.id)
        this.#lose(card)
        this.#leave(card.id, `could not be reached: ${error.message}`)
      },
    )
  }

  /** That node is a member again, or anew. What a parent holds is not to be read from the source. */
  returned(card: NodeCard): void {
    const link = this.#links.get(card.id)
    if (link) link.returned = !link.session
    else if (this.#lost.has(card.id)) this.connect(card)
  }

  /** What was out of reach may not be so any more: parents that were lost are tried. */
  retry(): void {
    for (const card of [...this.#lost.values()]) this.connect(card)
  }

  /** Uses a session that the other side opened. */
  adopt(session: Session): void {
    const { peer } = session
    // Across the line between two sites goes only who is sent there: that node came for what is here.
    if (!this.#mayAdd(peer.id) || apart(this.#d.membership.self.zone, peer.zone)) return
    const link: Link = { card: peer, joined: false }
    this.#links.set(peer.id, link)
    this.#subscribe(link, session)
  }

  /** True if the parent itself told us the digest that we hold the piece against. */
  vouches(id: NodeId, piece: number): boolean {
    return this.#links.get(id)?.vouched?.has(piece) ?? false
  }

  frame(session: Session, frame: Frame): void {
    const link = this.#links.get(session.peer.id)
    if (!link || link.session !== session) return
    switch (frame.t) {
      case 'state':
        return this.#state(link, frame)
      case 'have':
        if (link.joined) this.#events.has(link.card.id, frame.pieces)
        return
      case 'meta':
        return this.#meta(link, frame)
      case 'gone':
        return this.#gone(link, frame)
    }
  }

  /** A piece from that parent has arrived, or is `dropped`. */
  got(id: NodeId, piece: number, dropped = false): void {
    const frame = { t: 'got', digest: this.#digest, piece } as const
    this.#links.get(id)?.session?.send(dropped ? { ...frame, dropped } : frame)
  }

  /** Tells a parent through which it comes what is needed here, the most urgent first; or all of it. */
  need(id: NodeId, pieces: readonly number[], all: boolean): void {
    const told = { t: 'need', digest: this.#digest, pieces: [...pieces] } satisfies Frame
    this.#links.get(id)?.session?.send(all ? { ...told, all } : told)
  }

  /** What that parent sent of the piece is wrong. */
  wrong(id: NodeId, piece: number): void {
    this.#links.get(id)?.session?.send({ t: 'wrong', digest: this.#digest, piece })
  }

  closed(session: Session, reason: string): void {
    const link = this.#links.get(session.peer.id)
    if (link?.session !== session) return
    this.#lose(link.card)
    this.#leave(session.peer.id, `session closed: ${reason}`)
  }

  /** The download left the parent. */
  drop(id: NodeId, reason: string): void {
    const link = this.#links.get(id)
    if (!link) return
    this.#links.delete(id)
    link.session?.send({ t: 'unwant', digest: this.#digest })
    if (reason === 'sent wrong bytes') this.#doubtful.add(id)
    if (this.#d.bans.has(id)) link.session?.close(reason)
    else if (!link.joined || reason === 'does not answer') this.#d.membership.doubt(id)
  }

  /** Tells the parents once more that the blob is wanted. */
  again(): void {
    for (const { session } of this.#links.values()) session?.send({ t: 'want', digest: this.#digest })
  }

  close(): void {
    this.#closed = true
    for (const link of this.#links.values()) link.session?.send({ t: 'unwant', digest: this.#digest })
    this.#links.clear()
  }

  #mayAdd(id: NodeId, more = 0): boolean {
    if (this.#closed || this.#links.has(id) || this.#doubtful.has(id) || id === this.#d.membership.self.id) return false
    return this.#links.size < this.#d.tuning.mostParents + more && !this.#unbelieved(id)
  }

  #unbelieved(id: NodeId): boolean {
    return this.#d.bans.has(id) || this.#d.bans.doubts.distrusts(id, this.#digest)
  }

  #lose(card: NodeCard): void {
    // Deleted first: the one that was lost last is kept longest.
    this.#lost.delete(card.id)
    this.#lost.set(card.id, card)
    if (this.#lost.size > mostLost) this.#lost.delete(this.#lost.keys().next().value!)
  }

  #subscribe(link: Link, session: Session): void {
    this.#lost.delete(link.card.id)
    link.session = session
    session.send({ t: 'want', digest: this.#digest })
  }

  #state(link: Link, frame: FrameOf<'state'>): void {
    if (frame.private) this.#events.owned(frame.private)
    if (!this.#events.sized(frame.size, frame.mediaType) || frame.pieceLength !== layoutOf(frame.size).pieceLength) {
      return this.#leave(link.card.id, `says the blob has ${frame.size} bytes in pieces of ${frame.pieceLength}`)
    }
    const layout = this.#events.layout()
    if (!layout) return
    link.joined = true
    const have = new Bitmap(layout.count, Uint8Array.fromBase64(frame.have))
    this.#events.held(link.card.id, have, frame.feeding, frame.part ?? false)
  }

  #meta(link: Link, frame: FrameOf<'meta'>): void {
    if (!this.#events.sized(frame.size, undefined))
      return this.#leave(link.card.id, `says the blob has ${frame.size} bytes`)
    const layout = this.#events.layout()
    if (!layout) return
    const segment: Segment = {
      first: frame.first,
      digests: Uint8Array.fromBase64(frame.digests),
      signer: frame.signer,
      signature: Uint8Array.fromBase64(frame.signature),
    }
    if (this.#unbelieved(segment.signer)) return void this.#discredited.add(link.card.id)
    // Every parent passes on every statement; only the first to come is worth the cost of its signature.
    const known = this.#events.agrees(segment)
    if (!known && !this.#signed(segment, layout)) {
      this.#d.bans.add(link.card.id, 'passed on piece digests with a false signature')
      return this.#leave(link.card.id, 'false signature')
    }
    const verdict = known ? 'known' : this.#events.segment(segment)
    if (verdict === 'new' || verdict === 'known') {
      link.vouched ??= new Bitmap(layout.count)
      const to = segmentEnd(segment)
      for (let piece = segment.first; piece < to; piece++) link.vouched.set(piece)
    }
    if (verdict === 'conflict' || verdict === 'malformed') {
      this.#leave(
        link.card.id,
        `piece digests stated by ${segment.signer} are ${verdict === 'conflict' ? 'contradicted by others' : 'malformed'}`,
      )
    }
  }

  #signed(segment: Segment, layout: Layout): boolean {
    const payload = segmentPayload(this.#digest, layout, segment.first, segment.digests)
    return this.#d.verify(segment.signer, payload, segment.signature)
  }

  #gone(link: Link, frame: FrameOf<'gone'>): void {
    const code = frame.code
    const failure = code && isFailureCode(code) ? new Failure(code, frame.message ?? code) : undefined
    this.#leave(link.card.id, failure ? `could not get it: ${failure.message}` : 'no longer holds it', failure)
  }

  #leave(id: NodeId, reason: string, failure?: Failure): void {
    const link = this.#links.get(id)
    if (!link) return
    this.#links.delete(id)
    link.session?.send({ t: 'unwant', digest: this.#digest })
    this.#d.log.debug('left a parent', { parent: id, digest: this.#digest, reason })
    this.#events.left(id, reason, failure)
  }
}
