/**
 * One blob on its way to this node: the shell around {@link Download}. It hands out what the state machine decides to
 * those who do it: {@link Arrivals} fetch and verify pieces, {@link Asking} talks to the scheduler, {@link Feeding} reads
 * from the source when this node is the blob's fetcher, {@link ParentLinks} are the sessions. Who wants the blob is
 * {@link Demand}, and for how long it is waited for {@link Patience}. It ends in exactly one of two ways: complete, its whole
 * digest verified, or failed with the reason.
 *
 * It is longer than most files here because it is the one place where these parts are wired to each other: each sees of
 * the others only what its host interface lets through.
 *
 * Until the blob's size is known, from a manifest, the scheduler, a parent or the source, there is no state machine.
 */
import { type Clock, every, type Random } from '../clock.ts'
import type { Membership } from '../cluster/membership.ts'
import type { NodeCard, NodeId, NodeInfo } from '../cluster/node-info.ts'
import { apart } from '../cluster/zone.ts'
import { Failure } from '../failure.ts'
import { Meter } from '../meter.ts'
import { type Digest, shortDigest } from '../oci/digest.ts'
import { urlOfFile } from '../oci/file.ts'
import type { Repository } from '../oci/reference.ts'
import type { Bitmap } from '../piece/bitmap.ts'
import { segmentEnd } from '../piece/metainfo.ts'
import { unlessAborted } from '../source/retry.ts'
import type { Location, Source } from '../source/source.ts'
import type { Blob, BlobStore } from '../store/blob-store.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Frame } from '../wire/messages.ts'
import type { Outbound, Session } from '../wire/wire.ts'
import { Arrivals, type ArrivalsHost, statementMs } from './arrivals.ts'
import { Asking, type AskingHost } from './asking.ts'
import type { Bans } from './bans.ts'
import { type AimOptions, Demand, type Need } from './demand.ts'
import type { Run } from './download/aims.ts'
import { Download, type DownloadCommand, type DownloadEvent } from './download/download.ts'
import type { Link } from './download/link.ts'
import type { Tuning } from './download/tuning.ts'
import { Feeding, type FeedingHost } from './feeding/feeding.ts'
import { Fresh, type FreshBytes } from './feeding/fresh.ts'
import { Places } from './feeding/places.ts'
import { type LinkEvents, ParentLinks } from './parent-links.ts'
import { Patience } from './patience.ts'
import type { Planner } from './planner.ts'
import type { Relays } from './relays.ts'
import { type Signer, statementsOfRest } from './statements.ts'
import { Telling } from './telling.ts'
import { PieceWaiters } from './waiters.ts'

export interface TransferDeps {
  readonly store: BlobStore
  readonly outbound: Outbound
  readonly membership: Membership
  readonly planner: Planner
  readonly source: Source
  readonly signer: Signer
  readonly bans: Bans
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: Metrics
  readonly tuning: Tuning
  readonly relays: Relays
  /** What all transfers together have on their way. */
  readonly link: Link
  /** How many blobs are on their way to this node. */
  coming(): number
  /** Other nodes want the blob from this one. */
  awaited(digest: Digest): boolean
  /** One of them waits for a piece that somebody there waits for, or did a moment ago. */
  wanted(digest: Digest): boolean
  verify(node: NodeId, payload: Uint8Array, signature: Uint8Array): boolean
  /** A node that has the blob says which private repositories have it. */
  owned?(digest: Digest, repositories: readonly Repository[]): void
}

export interface TransferFacts {
  /** Rates in bytes per second. */
  readonly parents: (NodeCard & { bytes: number; rate: number; inFlight: number })[]
  readonly rate: number
  readonly readers: number
  /** Only what somebody reads is wanted here. */
  readonly part: boolean
  /** This node reads it from the source. */
  readonly feeding: boolean
}

export interface TransferEvents {
  /** The size is known; the blob exists in the store. */
  begun(blob: Blob): void
  stored(blob: Blob, piece: number): void
  learned(blob: Blob): void
  /** The source says that the blob has another size than was said before. */
  sized(digest: Digest, size: number): void
  ended(transfer: Transfer, failure: Failure | undefined): void
}

export const tickMs = 250
const notBelieved = 'what it says, or passes on, of the blob is not believed'

export class Transfer {
  readonly bytes = { swarm: 0, source: 0 }
  /** Resolves with the blob as soon as its size is known. */
  readonly begun: Promise<Blob>
  /** Resolves when the blob is complete. */
  readonly finished: Promise<Blob>
  readonly startedAt: number
  readonly #places: Places
  readonly #d: TransferDeps
  readonly #events: TransferEvents
  readonly #links: ParentLinks
  readonly #arrivals: Arrivals
  readonly #asking: Asking
  readonly #feeding: Feeding
  readonly #waiters = new PieceWaiters()
  /** Verified pieces of other nodes, on their way to the disk. */
  readonly #writing = new Map<number, Uint8Array>()
  readonly #meter: Meter
  readonly #begun = Promise.withResolvers<Blob>()
  readonly #finished = Promise.withResolvers<Blob>()
  #blob: Blob | undefined
  #fresh: Fresh | undefined
  #download: Download | undefined
  #letGo: (() => void) | undefined
  #stopTicking = () => {}
  readonly #demand: Demand
  readonly #patience: Patience
  #leads = false
  /** Only what somebody waits for is wanted. */
  #part: boolean
  readonly #telling: Telling
  #over = false

  /** @param part only what somebody waits for is wanted, until somebody wants all of it */
  constructor(deps: TransferDeps, events: TransferEvents, location: Location, part = false) {
    this.#d = deps
    this.#events = events
    this.#part = part
    this.#places = new Places(location)
    this.startedAt = deps.clock.now()
    this.#meter = new Meter(this.startedAt)
    this.#demand = new Demand(this.startedAt)
    this.#patience = new Patience(this.startedAt, deps.random())
    this.begun = this.#begun.promise
    this.finished = this.#finished.promise
    // Whoever awaits sees the failure; a transfer that nobody awaits must not end the process.
    this.begun.catch(() => {})
    this.finished.catch(() => {})
    this.#links = new ParentLinks(deps, location.digest, this.#linkEvents())
    this.#arrivals = new Arrivals(deps, this.#arrivalsHost())
    this.#asking = new Asking((request) => deps.planner.plan(request), this.#askingHost(), deps)
    this.#feeding = new Feeding(deps, this.#places, this.#feedingHost())
    this.#telling = new Telling((parent, pieces, all) => this.#links.need(parent, pieces, all))
  }

  /** Where it is read from its source, if this node has to. */
  get location(): Location {
    return this.#places.current
  }
  get blob(): Blob | undefined {
    return this.#blob
  }
  /** This node reads the blob from its source. */
  get feeding(): boolean {
    return this.#feeding.running
  }
  /** Something that is wanted is missing here. */
  get coming(): boolean {
    return !(this.#download?.idle ?? false)
  }
  /** Only what somebody waits for is wanted here. */
  get part(): boolean {
    return this.#part
  }
  /** It comes to others through this node. */
  get leads(): boolean {
    return this.#leads || this.#feeding.running
  }
  /** Nobody reads it, here or through this node, so whatever somebody reads goes first. */
  get background(): boolean {
    return this.#demand.background && !(this.leads && this.#d.wanted(this.location.digest))
  }
  /** Nobody here wants it, read or unread. */
  get unwanted(): boolean {
    return this.#demand.unwanted
  }
  /** Others wait for what this node reads from the source. Any other node is a parent among others to them. */
  get awaited(): boolean {
    return this.#feeding.running && this.#d.awaited(this.location.digest)
  }
  /** What an operator sees of it. */
  describe(): TransferFacts {
    const now = this.#d.clock.now()
    const parents = this.#links.cards().map((card) => {
      const parent = this.#download?.parents.get(card.id)
      return {
        ...card,
        bytes: parent?.meter.total ?? 0,
        rate: parent?.meter.perSecond(now) ?? 0,
        inFlight: parent?.requests.size ?? 0,
      }
    })
    return {
      parents,
      rate: this.#meter.perSecond(now),
      readers: this.#demand.readers,
      part: this.#part,
      feeding: this.#feeding.running,
    }
  }

  start(size?: number): void {
    this.#stopTicking = every(this.#d.clock, tickMs, () => this.#tick())
    const held = this.#d.store.find(this.location.digest)
    if (held && (held.complete || held.size === (size ?? held.size))) this.#begin(() => held)
    else if (size !== undefined) this.#begin(() => this.#create(size))
    if (!this.#over) this.#asking.ask()
  }

  /** All of it is wanted, from now on. */
  wantAll(): void {
    if (!this.#part || this.#over) return
    this.#part = false
    this.#apply({ type: 'whole' })
    this.#feeding.look()
    // Who tells this node what it needs may leave that to it now.
    if (this.#blob && this.leads) this.#events.begun(this.#blob)
    this.#tellNeeds()
    this.#asking.ask()
  }

  /** Another node waits for these pieces, or for all of it, and for nothing any more that it said before. */
  needed(by: NodeId, { pieces, all }: Need): void {
    if (this.#over) return
    const wanted = this.#demand.need(by, pieces, this.#d.clock.now())
    if (all) this.wantAll()
    this.#heed(wanted)
  }

  /** That node needs nothing of it any more. */
  unneeded(by: NodeId): void {
    this.#heed(this.#demand.unneed(by))
  }

  /** Somebody else wants it as well, perhaps by another name. */
  also(location: Location): void {
    if (this.#places.add(location) && this.#feeding.failure) this.fetch(false)
  }

  /** The scheduler named this node: read from the source what nobody else has. `told`: the size it is said to have. */
  fetch(ordered: boolean, told?: number): void {
    if (ordered) this.#demand.order()
    if (this.#over) return
    const led = this.leads
    this.#feeding.start(told)
    if (!led) this.#lead()
  }

  /** Who knows that a parent has everything first leaves the choice of pieces to it. */
  #lead(): void {
    if (this.#blob && this.leads) this.#events.begun(this.#blob)
  }

  /** Another node wants the same blob: it may become a parent. */
  meet(session: Session): void {
    this.#links.adopt(session)
  }

  /** That node is a member again, or anew: a parent that was lost is one again, and an owner may spare the source. */
  returned({ id, url, zone, modes }: NodeInfo): void {
    if (this.#over) return
    this.#links.returned({ id, url, ...(zone ? { zone } : {}) })
    if (!this.#feeding.running || !modes.includes('scheduler')) return
    if (this.#d.planner.owners(this.location.digest)[0]?.id === id) this.#asking.ask()
  }

  frame(session: Session, frame: Frame): void {
    this.#links.frame(session, frame)
  }

  sessionClosed(session: Session, reason: string): void {
    this.#links.closed(session, reason)
  }

  /** Somebody else here told the parents that this node does not want the blob any more. */
  again(): void {
    if (!this.#over) this.#links.again()
  }

  /** What the source is sending, see {@link Fresh}: from byte `at` on, if that is here. */
  fresh(at: number): FreshBytes | undefined {
    return this.#over ? undefined : this.#fresh?.at(at)
  }
  /** All of a piece that is verified and not on the disk yet, which may take its time; valid until anything is awaited. */
  verified(piece: number): Uint8Array | undefined {
    return this.#writing.get(piece)
  }
  /** What {@link fresh} gave that may not be the blob's. */
  get doubts(): Fresh['doubts'] {
    return this.#fresh?.doubts ?? []
  }

  /**
   * Waits for a piece to be verified and stored, or for more of it in {@link fresh}. The last one only counts once the
   * whole digest is verified, but for who reads a `part` of the blob, which nobody takes for all of it.
   * @throws {Failure} why the transfer ended without it; `cancelled`
   */
  async piece(reader: number, piece: number, signal: AbortSignal, part = false): Promise<void> {
    const blob = await unlessAborted(this.begun, signal)
    this.#demand.used(this.#d.clock.now())
    const { count } = blob.layout
    const soon = part || piece < count - 1
    if (!blob.gone && blob.have.has(piece) && soon) return
    if (this.#over || blob.gone) {
      await unlessAborted(this.finished, signal)
      return
    }
    this.#heed(this.#demand.at(reader, piece))
    await this.#waiters.wait(soon ? piece : count, signal)
  }

  /**
   * That reader wants these pieces, and may go on with those `ahead`. Those of a `patient` one come after what others wait
   * for, in whatever order is best for the swarm.
   */
  aim(reader: number, runs: readonly Run[], options: AimOptions = {}): void {
    this.#heed(this.#demand.aim(reader, runs, options))
  }

  /** Tells the download who wants what now, and those who bring it. */
  #heed(events: Iterable<DownloadEvent>): void {
    for (const event of events) {
      this.#apply(event)
      if (event.type !== 'aimed') continue
      this.#feeding.look()
      this.#tellNeeds()
    }
  }

  /** What this node needs, for those who bring it: at once if there is something new. */
  #tellNeeds(): void {
    const download = this.#download
    if (!download || this.#over) return
    this.#telling.told(download.pieces, this.#part)
  }

  reader(): number {
    return this.#demand.reader()
  }

  readerLeft(reader: number): void {
    this.#heed(this.#demand.left(reader, this.#d.clock.now()))
  }

  /** Somebody wants it here and does not read it, until the result is called: it goes on, in the background. */
  keep(): () => void {
    this.#demand.keep()
    let kept = true
    return () => {
      if (!kept) return
      kept = false
      this.#demand.letGo(this.#d.clock.now())
    }
  }

  /** Pieces of it that were here turned out to be wrong. */
  lost(pieces: readonly number[]): void {
    this.#apply({ type: 'lost', pieces })
  }

  /** The store has it no longer: nothing more can be written there, and whoever wants it begins anew. */
  gone(blob: Blob): void {
    // Where all of it was here, whoever looks at the whole has found that out, and says what was wrong.
    if (blob !== this.#blob || blob.have.complete) return
    this.#end(new Failure('unavailable', `${shortDigest(blob.digest)} was removed from this node meanwhile`))
  }

  /** States at once the digests of what was read from the source. */
  state(): void {
    this.#feeding.state()
  }

  stop(reason: string): void {
    this.#end(new Failure('cancelled', reason))
  }

  #linkEvents(): LinkEvents {
    const { digest } = this.location
    return {
      sized: (size, mediaType) => {
        if (!this.#blob && !this.#over) this.#begin(() => this.#create(size, mediaType))
        return this.#blob?.size === size
      },
      layout: () => this.#blob?.layout,
      owned: (repositories) => this.#d.owned?.(digest, repositories),
      held: (parent, have, feeding, part) => {
        this.#apply({ type: 'parent-joined', parent, have, feeding })
        this.#telling.parent(parent, feeding, part)
        this.#tellNeeds()
      },
      has: (parent, pieces) => {
        if (this.#isNews(pieces)) this.#patience.told(parent, this.#d.clock.now())
        this.#apply({ type: 'parent-has', parent, pieces })
      },
      agrees: (segment) => this.#blob?.metainfo.agrees(segment) ?? false,
      segment: (segment) => {
        if (!this.#blob) return 'malformed'
        if (segment.signer !== this.#d.signer.id) this.#feeding.state()
        const verdict = this.#blob.learn(segment)
        if (verdict === 'new') {
          const to = segmentEnd(segment)
          this.#apply({ type: 'stated', from: segment.first, to })
          this.#arrivals.stated(segment.first, to)
          this.#events.learned(this.#blob)
        }
        return verdict
      },
      left: (parent, reason, failure) => {
        this.#apply({ type: 'parent-left', parent })
        this.#telling.left(parent)
        // A fetcher that gave up cannot help; the scheduler then names another, this node perhaps.
        this.#asking.failed(parent, reason, failure?.code)
        this.#asking.ask()
      },
      unbelieved: (node) => {
        this.#asking.failed(node, notBelieved, 'corrupt')
        this.#asking.ask(true)
      },
    }
  }

  #arrivalsHost(): ArrivalsHost {
    return {
      apply: (event) => this.#apply(event),
      card: (parent) => this.#links.card(parent),
      background: () => this.background,
      self: () => this.#card(),
      mayAsk: (node, zone) => node !== this.#card().id && !apart(this.#card().zone, zone),
      isStep: (request) => !this.background && (this.#download?.isStep(request) ?? false),
      got: (parent, piece) => this.#links.got(parent, piece),
      dropped: (parent, piece) => this.#links.got(parent, piece, true),
      wrong: (parent, piece) => this.#links.wrong(parent, piece),
      vouches: (parent, piece) => this.#links.vouches(parent, piece),
      verified: (piece, bytes) => {
        this.#writing.set(piece, bytes)
        this.#waiters.stored(piece)
        return () => {
          if (this.#writing.get(piece) === bytes) this.#writing.delete(piece)
        }
      },
      progress: () => void this.#patience.progress(this.#d.clock.now()),
      stored: (blob, piece, bytes) => {
        this.bytes.swarm += bytes
        this.#patience.swarmGave()
        this.#stored(piece, bytes, 'stored')
        this.#events.stored(blob, piece)
      },
      failed: (failure) => this.#end(failure),
    }
  }

  #card(): NodeCard {
    const { id, url, zone } = this.#d.membership.self
    return { id, url, ...(zone === undefined ? {} : { zone }) }
  }

  #feedingHost(): FeedingHost {
    return {
      blob: () => this.#blob,
      fresh: () => this.#fresh!,
      begin: (size, mediaType) => this.#begin(() => this.#create(size, mediaType)),
      apply: (event) => this.#apply(event),
      running: (running) => this.#apply({ type: 'feeding', running }),
      availability: (piece) => (this.#patience.alone ? 0 : (this.#download?.pieces.availability[piece] ?? 0)),
      whole: () => !this.#part,
      awaited: (most, needed) => this.#download?.pieces.nextDue(most, needed),
      readInOrder: () => this.#demand.readInOrder,
      leftToOther: () => this.#patience.leftToOther(this.#d.clock.now()),
      hopeful: () => this.#download?.pieces.hopeful ?? false,
      stored: (_, piece, bytes) => {
        this.bytes.source += bytes
        this.#stored(piece, bytes, 'fed')
      },
      stated: (blob, pieces) => {
        for (const piece of pieces) {
          this.#apply({ type: 'stated', from: piece, to: piece + 1 })
          this.#events.stored(blob, piece)
        }
        this.#events.learned(blob)
      },
      // The network may be whole again, and what lost parents hold is not to be read from the source.
      heard: (quiet) => {
        if (quiet > this.#d.tuning.stallMs) this.#links.retry()
      },
      sized: (digest, size) => this.#events.sized(digest, size),
      doubt: (blob, signer) => this.#suspect(blob, [signer]),
      failed: (failure) => this.#end(failure),
    }
  }

  #askingHost(): AskingHost {
    return {
      question: (stalled) => {
        const hears = this.#hears()
        if (this.#over || (!stalled && !hears && this.#links.count >= this.#d.tuning.mostParents)) return undefined
        // Nothing is wanted at the moment, and it is known whom to ask when something is.
        if (!stalled && this.#part && this.#links.count > 0 && this.#download?.idle) return undefined
        return {
          node: this.#d.membership.self,
          location: this.location,
          ...(this.#blob ? { size: this.#blob.size } : {}),
          pieces: this.#blob?.have.count ?? 0,
          connected: this.#links.cards().map((card) => card.id),
          stalled,
          ...(this.#part ? { part: true } : {}),
          ...(hears ? { hears } : {}),
        }
      },
      answer: (reply) => {
        if (this.#over) return
        const { size } = reply
        if (!this.#blob && size !== undefined) this.#begin(() => this.#create(size))
        const { id } = this.#d.membership.self
        // Its connection to the source hangs, and would come to life again beside that of the node named now.
        const replaced =
          reply.fetcher !== undefined && reply.fetcher !== id && (this.#demand.ordered || this.#patience.reader === id)
        if (replaced) this.#feeding.leave(this.#d.tuning.stallMs)
        this.#patience.answered(reply, this.#d.clock.now())
        const leads = reply.leads ?? false
        const led = this.leads
        this.#leads = leads
        if (!led) this.#lead()
        for (const parent of reply.parents) this.#links.connect(parent.node)
        if (reply.fetcher === id) this.fetch(false)
      },
    }
  }

  /** A source that is slow is not silent: who reads it gets on with it, however long a piece takes. */
  #hears(): boolean {
    return this.#feeding.running && this.#d.clock.now() - this.#feeding.heardAt < this.#d.tuning.stallMs
  }

  /** It has come from the source, or from a node that is not known here. */
  #isNews(pieces: readonly number[]): boolean {
    return pieces.some((piece) => !this.#blob?.have.has(piece) && this.#download?.pieces.availability[piece] === 0)
  }

  #create(size: number, mediaType?: string): Blob {
    const { kind, digest } = this.location
    return this.#d.store.create({ digest, size, kind, ...(mediaType ? { mediaType } : {}) })
  }

  /** The size is known. What the store does not take ends the transfer, whoever told: a parent, a scheduler, a caller. */
  #begin(found: () => Blob): void {
    try {
      this.#take(found())
    } catch (error) {
      this.#end(Failure.from(error))
    }
  }

  #take(blob: Blob): void {
    this.#blob = blob
    this.#fresh = new Fresh(blob.layout, (piece) => this.#waiters.stored(piece))
    this.#letGo = blob.hold()
    const { clock, tuning, random } = this.#d
    const [sure, unsure] = blob.complete ? [blob.have, []] : looked(blob)
    const now = clock.now()
    this.#download = new Download(
      blob.layout,
      sure,
      blob.metainfo.known,
      tuning,
      random,
      now,
      !this.#part,
      this.#d.link,
    )
    this.#apply({ type: 'beside', blobs: this.#d.coming() })
    this.#apply({ type: 'looking', pieces: unsure })
    if (this.#feeding.running) this.#apply({ type: 'feeding', running: true })
    for (const event of this.#demand.replay()) this.#apply(event)
    this.#begun.resolve(blob)
    this.#events.begun(blob)
    if (sure.complete) void this.#finish()
    else void this.#look(blob, unsure)
  }

  /** What lay on the disk since another day, or another process, may have rotted there. */
  async #look(blob: Blob, pieces: readonly number[]): Promise<void> {
    try {
      for (const piece of pieces) {
        if (this.#over) return
        this.#apply({ type: (await blob.check(piece)) ? 'stored' : 'rejected', piece })
      }
    } catch (error) {
      this.#end(Failure.from(error))
    }
  }

  #apply(event: DownloadEvent): void {
    if (!this.#download || this.#over) return
    for (const command of this.#download.apply(event, this.#d.clock.now())) this.#carryOut(command)
  }

  #carryOut(command: DownloadCommand): void {
    switch (command.do) {
      case 'request':
        void this.#arrivals.request(this.#blob!, command.request, command.any)
        break
      case 'cancel':
        this.#arrivals.cancel(command.request)
        break
      case 'drop':
        // A fetcher that does is none for the others either.
        this.#asking.failed(
          command.parent,
          command.reason,
          command.reason === 'sent wrong bytes' ? 'corrupt' : undefined,
        )
        this.#links.drop(command.parent, command.reason)
        this.#telling.left(command.parent)
        break
      case 'ask':
        if (command.stalled) this.#askForHelp()
        else this.#asking.ask()
        break
      case 'complete':
        void this.#finish()
        break
    }
  }

  /** Whoever has all of it counts as a way to get it, until it is said that it is none. */
  #askForHelp(): void {
    for (const id of this.#links.discredited) this.#asking.failed(id, notBelieved)
    for (const id of this.#silent()) this.#asking.failed(id, 'does not state the digests of what it has', 'corrupt')
    this.#asking.ask(true)
  }

  /** Parents, for long enough, with pieces that are missing here and that nobody has stated: they never will. */
  #silent(): NodeId[] {
    if (!this.#blob || !this.#download) return []
    const { have, metainfo } = this.#blob
    const joinedBy = this.#d.clock.now() - statementMs
    const lacks = (piece: number) => !have.has(piece) && !metainfo.known.has(piece)
    return [...this.#download.parents.values()]
      .filter((parent) => parent.since <= joinedBy && parent.have.indexes().some(lacks))
      .map(({ id }) => id)
  }

  #stored(piece: number, bytes: number, type: 'stored' | 'fed'): void {
    const now = this.#d.clock.now()
    this.#patience.progress(now)
    this.#meter.add(bytes, now)
    this.#waiters.stored(piece)
    this.#apply({ type, piece })
  }

  async #finish(): Promise<void> {
    const blob = this.#blob!
    try {
      if (!blob.complete) await blob.finish()
    } catch (error) {
      const failure = Failure.from(error)
      if (failure.code === 'corrupt') this.#doubt(blob)
      return this.#end(failure)
    }
    try {
      const segments = await statementsOfRest(blob, this.#d.signer)
      for (const segment of segments) blob.learn(segment)
      this.#d.bans.doubts.settle(blob.metainfo, this.#d.signer.id)
      if (segments.length > 0) this.#events.learned(blob)
    } catch (error) {
      this.#d.log.warn('a complete blob cannot be read', { digest: blob.digest, error: (error as Error).message })
    }
    this.#end(undefined)
  }

  /** The pieces agree with what was stated and the whole is wrong: one of those who stated it did not state the blob. */
  #doubt(blob: Blob): void {
    const signers = new Set(blob.metainfo.segments.map((segment) => segment.signer))
    this.#suspect(blob, [...signers])
  }

  #suspect(blob: Blob, signers: readonly NodeId[]): void {
    const others = signers.filter((signer) => signer !== this.#d.signer.id)
    const near = (signer: NodeId) => this.#links.card(signer) !== undefined
    if (others.length > 0) this.#d.bans.doubts.raise(blob.metainfo, others, near)
  }

  #tick(): void {
    const now = this.#d.clock.now()
    this.#apply({ type: 'beside', blobs: this.#d.coming() })
    if (this.#patience.progress(this.#feeding.heardAt)) this.#apply({ type: 'heard' })
    this.#apply({ type: 'tick' })
    if (this.#over) return
    // A download says so itself; and who asks the source for the size needs nobody.
    const unsized = !this.#download && !this.#feeding.running
    if (unsized && this.#patience.stalls(this.#d.tuning.stallMs, now)) this.#askForHelp()
    this.#asking.tick()
    this.#feeding.look()
    this.#tellNeeds()
    const download = this.#download
    // What the source sends would have to wait for that disk too, and is no way around a limit that was set here.
    if (download?.waitsForItself || (this.#part && download?.idle)) this.#patience.progress(now)
    const { reading, failure } = this.#feeding
    const verdict = this.#patience.verdict({ reading, failed: failure !== undefined }, now)
    if (verdict === 'alone') this.#goAlone(now)
    if (verdict === 'give up') this.#end(failure)
    if (this.#demand.abandoned({ part: this.#part, awaited: this.awaited }, now)) this.stop('nobody reads it any more')
  }

  /** What others hold is of no use while they give nothing of it: they may all be busy for good. */
  #goAlone(now: number): void {
    if (this.#patience.goAlone()) {
      this.#d.log.debug('stalled: going to the source', {
        digest: shortDigest(this.location.digest),
        ms: Math.round(this.#patience.quiet(now)),
      })
      for (const id of this.#owing()) this.#asking.failed(id, 'has given nothing for long')
      this.#asking.ask(true)
    }
    this.fetch(false)
    this.#feeding.look()
  }

  /** Parents that were to give something: they hold what is missing here, or read the source. */
  #owing(): NodeId[] {
    const download = this.#download
    if (!download) return []
    return [...download.parents.values()]
      .filter(({ feeding, have }) => feeding || have.indexes().some((piece) => download.pieces.lacking.has(piece)))
      .map(({ id }) => id)
  }

  #end(reason: Failure | undefined): void {
    if (this.#over) return
    const failure = reason && ofFile(this.location, reason)
    this.#over = true
    this.#stopTicking()
    this.#feeding.close()
    this.#arrivals.close()
    this.#download?.close()
    this.#links.close()
    this.#letGo?.()
    if (failure) {
      this.#waiters.fail(failure)
      this.#begun.reject(failure)
      this.#finished.reject(failure)
    } else {
      const { count } = this.#blob!.layout
      this.#waiters.stored(count - 1)
      this.#waiters.stored(count)
      this.#finished.resolve(this.#blob!)
    }
    this.#events.ended(this, failure)
  }
}

/** Pieces of an incomplete blob that were seen to be right lately, and the others. */
function looked(blob: Blob): [Bitmap, readonly number[]] {
  const sure = blob.have.copy()
  const unsure = [...blob.have.indexes()].filter((piece) => !blob.sound(piece))
  for (const piece of unsure) sure.clear(piece)
  return [sure, unsure]
}

/** Of wrong bytes, where they are a file: it is its server that sends something else, and no disk that has damaged them. */
function ofFile({ repository, digest }: Location, failure: Failure): Failure {
  const url = urlOfFile(repository)
  if (!url || failure.code !== 'corrupt') return failure
  const { digest: found } = failure.detail
  const sent = found ? `what its server sends has the digest ${found}` : failure.message
  return new Failure('corrupt', `${url} is not ${digest}, or not any more: ${sent}`, {
    cause: failure,
    detail: failure.detail,
  })
}
