/**
 * One blob on its way to this node, as a pure state machine. Events say what happened; `apply` answers with what to do
 * next and never waits, reads a clock or touches the network. The node (`transfer.ts`) and the simulation drive the same
 * code.
 *
 * What is known of the pieces is in {@link Pieces}, what was asked for in {@link Requests}; here is who is asked for what.
 * Longer than most files, for nearly every event is followed by the same: whoever has room is given something to do.
 */
import type { Random } from '../../clock.ts'
import { Bitmap } from '../../piece/bitmap.ts'
import { type Layout, pieceBytes } from '../../piece/layout.ts'
import type { Run } from './aims.ts'
import { Link } from './link.ts'
import { Parent, type Request } from './parent.ts'
import { type PieceView, pick, rarestOf } from './picker.ts'
import { type PieceFacts, Pieces } from './pieces.ts'
import { type RequestFacts, Requests } from './requests.ts'
import { inFlight, type Tuning } from './tuning.ts'

export type DownloadEvent =
  | { type: 'parent-joined'; parent: string; have: Bitmap; feeding: boolean }
  | { type: 'parent-has'; parent: string; pieces: readonly number[] }
  | { type: 'parent-left'; parent: string }
  /** Digests of pieces `from` up to `to` (exclusive) became known. */
  | { type: 'stated'; from: number; to: number }
  /** A limit of this node's own keeps the request back, or lets it go. */
  | { type: 'queued'; request: number; waits: boolean }
  /** A request for just anything will bring that piece, which nobody has begun to send. */
  | { type: 'bound'; request: number; piece: number }
  | { type: 'chosen'; request: number; piece: number }
  /** All bytes are here; verification and writing go on. */
  | { type: 'arrived'; request: number; piece: number }
  /** An arrived piece was verified and written. */
  | { type: 'stored'; piece: number }
  /** The source feed brought and stored the piece. */
  | { type: 'fed'; piece: number }
  /** Pieces that lay on the disk for long are looked at: each is then `stored` or `rejected`. */
  | { type: 'looking'; pieces: readonly number[] }
  /** Stored pieces are not what they were any more. */
  | { type: 'lost'; pieces: readonly number[] }
  /** The bytes of an arrived piece were wrong, which is the fault of `parent`, or cannot be verified. */
  | { type: 'rejected'; piece: number; parent?: string }
  | { type: 'refused'; request: number; reason: 'busy' | 'missing' | 'broken' }
  /** The source feed will bring these pieces; nobody else is asked for them. Empty when it stopped. */
  | { type: 'feed'; from: number; to: number }
  /** The source sends, be it less than a piece yet. */
  | { type: 'heard' }
  /** This node reads the blob from its source, or ended that. */
  | { type: 'feeding'; running: boolean }
  | { type: 'reader-at'; reader: number; piece: number }
  | { type: 'reader-left'; reader: number }
  /** `who` waits for these pieces, and for none any more that it waited for before; `ahead` may be of use to it later. */
  | { type: 'aimed'; who: string; runs: readonly Run[]; ahead?: readonly Run[] }
  /** All of the blob is wanted, from now on. */
  | { type: 'whole' }
  /** So many blobs are on their way to this node, this one included. */
  | { type: 'beside'; blobs: number }
  | { type: 'tick' }

export type DownloadCommand =
  /** Ask for `request.piece`, or, where that is not set, for any piece but those that come from elsewhere. */
  | { do: 'request'; request: Request; any?: { readonly unwanted: Bitmap; readonly from: number } }
  | { do: 'cancel'; request: Request }
  /** Leave the parent; the reason is for the log and the scheduler. */
  | { do: 'drop'; parent: string; reason: string }
  /** Ask the scheduler for parents: `stalled` when nothing has come for a while. */
  | { do: 'ask'; stalled: boolean }
  | { do: 'complete' }

export class Download {
  readonly layout: Layout
  readonly parents = new Map<string, Parent>()
  readonly #pieces: Pieces
  readonly #tuning: Tuning
  readonly #random: Random
  /** The parents once more: a list is gone through faster. */
  readonly #list: Parent[] = []
  readonly #requests: Requests
  readonly #link: Link
  readonly #readers = new Map<number, number>()
  readonly #view: PieceView & { readers: readonly number[] }
  #feeding = false
  /** When the source last brought something. */
  #fedAt: number
  /** On their way to this node, this one included. */
  #blobs = 1
  #mostInFlight: number
  #progressAt: number
  #askedAt = Number.NEGATIVE_INFINITY
  #done = false
  /** Usual ms from request to last byte. */
  #usualMs = 1000
  #commands: DownloadCommand[] = []

  /**
   * @param whole all of the blob is wanted; else only what is aimed at
   * @param link that of all downloads of the node
   */
  constructor(
    layout: Layout,
    have: Bitmap,
    stated: Bitmap,
    tuning: Tuning,
    random: Random,
    now: number,
    whole = true,
    link = new Link(now),
  ) {
    this.layout = layout
    this.#link = link
    this.#requests = new Requests(layout, link)
    this.#pieces = new Pieces(have, stated, whole)
    this.#tuning = tuning
    this.#fedAt = now
    this.#mostInFlight = inFlight(tuning, layout.pieceLength, this.#blobs)
    this.#random = random
    this.#progressAt = now
    const { free, awaited, availability } = this.#pieces
    this.#view = {
      ...{ free, awaited, availability },
      readers: [],
      urgentPieces: tuning.urgentPieces,
      windowPieces: Math.ceil(tuning.windowBytes / layout.pieceLength),
    }
  }

  get done(): boolean {
    return this.#done
  }
  get pieces(): PieceFacts {
    return this.#pieces
  }
  get requests(): RequestFacts {
    return this.#requests
  }

  /** Nothing that is wanted is missing here. */
  get idle(): boolean {
    return this.#pieces.lacking.count === 0
  }

  /**
   * No other node keeps it waiting: what was asked for waits for a limit of this node's own, or nothing is on its way but to
   * the disk, which takes its time. What nobody can verify yet does not wait for that.
   */
  get waitsForItself(): boolean {
    const { size, queued } = this.#requests
    if (size > 0) return size === queued
    return this.#pieces.inMemory > 0 && this.#pieces.writes
  }

  /** Somebody waits for what it brings, and for little else: for the next when that is here, or for all of a small blob. */
  isStep({ aimed = false }: Request): boolean {
    const { whole, waited } = this.#pieces
    const { stepPieces } = this.#tuning
    return whole ? this.layout.count <= stepPieces : aimed && waited <= stepPieces
  }

  apply(event: DownloadEvent, now: number): DownloadCommand[] {
    this.#commands = []
    if (this.#done) return this.#commands
    switch (event.type) {
      case 'parent-joined':
        this.#join(event.parent, event.have, event.feeding, now)
        this.#fill(now)
        break
      case 'parent-has':
        this.#parentHas(event.parent, event.pieces, now)
        break
      case 'parent-left':
        this.#leave(event.parent)
        this.#fill(now)
        break
      case 'stated':
        for (let piece = event.from; piece < event.to; piece++) this.#pieces.state(piece)
        this.#fill(now)
        break
      case 'queued':
        this.#queued(event.request, event.waits, now)
        break
      case 'bound':
        this.#willBring(event.request, event.piece)
        break
      case 'chosen':
        this.#chosen(event.request, event.piece, now)
        break
      case 'arrived':
        this.#arrived(event.request, event.piece, now)
        break
      case 'stored': {
        const full = this.#held >= this.#mostInFlight
        this.#pieces.written(event.piece)
        this.#stored(event.piece, now)
        if (full && !this.#done) this.#fill(now)
        break
      }
      case 'fed':
        this.#fedAt = now
        this.#stored(event.piece, now)
        break
      case 'looking':
        for (const piece of event.pieces) this.#pieces.look(piece)
        break
      case 'lost':
        for (const piece of event.pieces) this.#pieces.lose(piece)
        this.#look()
        this.#fill(now)
        break
      case 'rejected':
        this.#pieces.written(event.piece)
        if (event.parent !== undefined) {
          this.#commands.push({ do: 'drop', parent: event.parent, reason: 'sent wrong bytes' })
          this.#leave(event.parent)
        }
        this.#fill(now)
        break
      case 'refused':
        this.#refused(event.request, event.reason, now)
        this.#fill(now)
        break
      case 'feed':
        this.#pieces.feed(event.from, event.to)
        if (event.to > event.from) this.#progressAt = now
        else this.#fill(now)
        break
      case 'heard':
        this.#fedAt = this.#progressAt = now
        break
      case 'feeding':
        this.#feeding = event.running
        this.#fedAt = now
        this.#fill(now)
        break
      case 'reader-at':
        this.#readers.set(event.reader, event.piece)
        this.#look()
        this.#fill(now)
        break
      case 'reader-left':
        this.#readers.delete(event.reader)
        this.#look()
        break
      case 'aimed':
        this.#aim(event.who, event.runs, event.ahead ?? [], now)
        break
      case 'whole':
        this.#wantAll(now)
        break
      case 'beside':
        this.#blobs = event.blobs
        this.#mostInFlight = inFlight(this.#tuning, this.layout.pieceLength, event.blobs)
        break
      case 'tick':
        this.#tick(now)
        break
    }
    return this.#commands
  }

  #aim(who: string, runs: readonly Run[], ahead: readonly Run[], now: number): void {
    const { idle } = this
    this.#pieces.aim(who, runs, ahead)
    // Nothing was to come meanwhile.
    if (idle) this.#progressAt = now
    this.#hurry()
    this.#giveUp()
    this.#fill(now)
  }

  /** What was asked for before anybody waited for it stands behind what others wait for: it is asked for once more, as that. */
  #hurry(): void {
    for (const request of [...this.#requests.values()]) {
      const { piece, ahead = false, started = false } = request
      if (ahead && !started && piece !== undefined && this.#pieces.waitedFor(piece)) this.#cancel(request)
    }
  }

  #wantAll(now: number): void {
    if (this.#pieces.whole) return
    if (this.idle) this.#progressAt = now
    this.#pieces.wantAll()
    this.#look()
    this.#fill(now)
  }

  /** Takes back what is asked for and not wanted any more, unless it is on its way. */
  #giveUp(): void {
    const { whole, lacking, arrivals } = this.#pieces
    if (whole) return
    const requests = [...this.#requests.values()]
    let most = lacking.count - arrivals
    for (const request of requests) {
      if (request.piece === undefined) continue
      if (lacking.has(request.piece)) most--
      else if (!request.started) this.#cancel(request)
    }
    // One that will bring just anything was told what that is when it was made, and waits for nothing that came up since.
    const open = requests.filter(({ piece }) => piece === undefined)
    const rated = open
      .map((request) => ({ request, covers: this.#pieces.covered(request.unwanted) }))
      .sort((a, b) => a.covers - b.covers)
    let kept = 0
    for (const { request, covers } of rated) {
      if (covers > kept && kept < most) kept++
      else this.#cancel(request)
    }
  }

  /** A parent that says anew what it holds keeps its requests and its record. */
  #join(id: string, have: Bitmap, feeding: boolean, now: number): void {
    let parent = this.parents.get(id)
    if (!parent) {
      parent = new Parent(id, new Bitmap(this.layout.count), this.#tuning.leastPipeline, now)
      this.parents.set(id, parent)
      this.#list.push(parent)
      for (const each of this.#list) this.#adapt(each, now)
    }
    for (const piece of [...parent.have.indexes()]) if (!have.has(piece)) this.#pieces.lack(parent, piece)
    for (const piece of have.indexes()) this.#pieces.hold(parent, piece)
    parent.feeding = feeding && !parent.have.complete
  }

  #parentHas(id: string, pieces: readonly number[], now: number): void {
    const parent = this.parents.get(id)
    if (!parent) return
    let wanted = parent.feeding
    for (const piece of pieces) {
      this.#pieces.hold(parent, piece)
      if (this.#pieces.free.has(piece)) wanted = true
    }
    if (parent.have.complete) parent.feeding = false
    if (wanted) this.#fillFrom(parent, now)
    if (this.#requests.started === 0) this.#hedgeAt(parent, now)
  }

  #leave(id: string): void {
    const parent = this.parents.get(id)
    if (!parent) return
    this.parents.delete(id)
    this.#list.splice(this.#list.indexOf(parent), 1)
    for (const piece of [...parent.have.indexes()]) this.#pieces.lack(parent, piece)
    for (const request of [...parent.requests.values()]) this.#cancel(request)
    if (this.parents.size === 0) this.#ask(false)
  }

  #queued(id: number, waits: boolean, now: number): void {
    const request = this.#requests.get(id)
    if (!request) return
    if (waits) this.#requests.queue(request)
    else this.#requests.sent(request, now)
  }

  #willBring(id: number, piece: number): void {
    const request = this.#requests.get(id)
    if (!request || piece < 0 || piece >= this.layout.count) return
    this.#requests.stop(request)
    this.#bind(request, piece)
    if (this.#pieces.have.has(piece) || this.#pieces.arrived(piece)) this.#cancel(request)
  }

  #chosen(id: number, piece: number, now: number): void {
    const request = this.#requests.get(id)
    if (!request || piece < 0 || piece >= this.layout.count) return
    this.#bind(request, piece)
    // It came from elsewhere while the request waited for its turn, or is coming.
    if (this.#pieces.have.has(piece) || this.#pieces.arrived(piece)) return this.#cancel(request)
    if (this.#comesAlready(request, piece, now)) return this.#cancel(request)
    this.#requests.start(request)
    if (this.#pieces.asked[piece]! < 2) return
    // Who has begun to send it brings it; whoever still lets it wait need not.
    for (const other of [...this.#requests.values()]) {
      if (other.piece === piece && other !== request && !other.started) this.#cancel(other)
    }
  }

  /** Another parent has begun to send it, and takes no longer than is usual. */
  #comesAlready(request: Request, piece: number, now: number): boolean {
    if (this.#pieces.asked[piece]! < 2) return false
    const patience = this.#patience(false, now)
    for (const other of this.#requests.values())
      if (other !== request && other.piece === piece && other.started && now - other.sentAt <= patience) return true
    return false
  }

  #bind(request: Request, piece: number): void {
    if (this.#requests.bind(request, piece)) this.#pieces.ask(piece)
  }

  #arrived(id: number, piece: number, now: number): void {
    const request = this.#requests.get(id)
    if (!request || piece < 0 || piece >= this.layout.count) return
    const parent = this.parents.get(request.parent)
    const full = this.#held >= this.#mostInFlight
    this.#bind(request, piece)
    this.#forget(request)
    if (parent) {
      const bytes = pieceBytes(this.layout, piece)
      parent.arrived(bytes, now)
      this.#link.arrived(bytes, now)
      this.#adapt(parent, now)
    }
    this.#usualMs += (now - request.sentAt - this.#usualMs) / 8
    this.#progressAt = now
    this.#pieces.write(piece)
    // The slower of two requests for the same piece is not worth its bytes any more.
    this.#cancelAll(piece)
    // The others have no more room than before, unless it was all of them together that had none.
    if (full || !parent) this.#fill(now)
    else this.#fillFrom(parent, now)
    if (this.#requests.started === 0) this.#hedge(now)
  }

  #stored(piece: number, now: number): void {
    this.#pieces.store(piece)
    if (this.#view.readers.includes(piece)) this.#look()
    this.#cancelAll(piece)
    this.#progressAt = now
    this.#giveUp()
    if (!this.#pieces.have.complete) return
    this.#done = true
    for (const request of [...this.#requests.values()]) this.#cancel(request)
    this.#commands.push({ do: 'complete' })
  }

  #cancelAll(piece: number): void {
    if (!this.#pieces.requested(piece)) return
    for (const request of [...this.#requests.values()]) if (request.piece === piece) this.#cancel(request)
  }

  #cancel(request: Request): void {
    this.#forget(request)
    this.#commands.push({ do: 'cancel', request })
  }

  #refused(id: number, reason: 'busy' | 'missing' | 'broken', now: number): void {
    const request = this.#requests.get(id)
    if (!request) return
    this.#forget(request)
    const parent = this.parents.get(request.parent)
    if (!parent) return
    if (reason === 'busy') parent.busyUntil = now + this.#tuning.busyMs * (0.5 + this.#random())
    const { piece } = request
    // It has dropped what it told us about; believe the answer.
    if (reason === 'missing' && piece !== undefined) this.#pieces.lack(parent, piece)
    // Who has nothing at all for us, although it joined, would be asked for just anything again at once.
    if (reason !== 'broken' && (reason !== 'missing' || piece !== undefined)) return
    parent.failuresInRow++
    if (parent.failuresInRow < this.#tuning.parentFailures) {
      parent.busyUntil = now + this.#tuning.busyMs
      return
    }
    this.#commands.push({ do: 'drop', parent: parent.id, reason: 'does not answer' })
    this.#leave(parent.id)
  }

  #tick(now: number): void {
    for (const parent of this.#list) this.#adapt(parent, now)
    this.#fill(now)
    this.#hedge(now)
    if (this.waitsForItself) this.#progressAt = now
    if (!this.idle && now - this.#progressAt > this.#tuning.stallMs) this.#ask(true, now)
  }

  #ask(stalled: boolean, now = this.#progressAt): void {
    if (stalled && now - this.#askedAt < this.#tuning.stallMs / 2) return
    if (stalled) this.#askedAt = now
    this.#commands.push({ do: 'ask', stalled })
  }

  #forget(request: Request): void {
    this.#requests.end(request, this.parents.get(request.parent))
    if (request.piece !== undefined) this.#pieces.release(request.piece)
  }

  /** Gives every parent with room something to do, one request a round so that none takes all. */
  #fill(now: number): void {
    if (this.#held >= this.#mostInFlight) return
    const parents = this.#list
    const start = Math.floor(this.#random() * parents.length)
    for (let progress = true; progress; ) {
      progress = false
      for (let k = 0; k < parents.length; k++) {
        if (this.#fillOne(parents[(k + start) % parents.length]!, now)) progress = true
      }
    }
  }

  #fillFrom(parent: Parent, now: number): void {
    while (this.#fillOne(parent, now)) {}
  }

  #adapt(parent: Parent, now: number): void {
    parent.adapt(this.#tuning, this.#list.length, this.#blobs, this.layout.pieceLength, now)
  }

  /**
   * Nobody here waits for what others hold, and everybody for what comes from the source: its link is for that first,
   * for as long as something comes.
   */
  #holdsBack(now: number): boolean {
    if (!this.#feeding || this.#readers.size > 0 || !this.#pieces.whole || !this.#pieces.aimless) return false
    return now - this.#fedAt < this.#tuning.stallMs
  }

  /** Pieces that are in memory, or may be soon: on their way, or waiting for the disk. */
  get #held(): number {
    return this.#requests.size + this.#pieces.inMemory
  }

  #hasRoom(parent: Parent, now: number): boolean {
    if (parent.requests.size >= parent.pipeline || parent.busyUntil > now) return false
    return this.#held < this.#mostInFlight
  }

  #fillOne(parent: Parent, now: number): boolean {
    if (!this.#hasRoom(parent, now) || this.#holdsBack(now)) return false
    const { whole, lacking, free, awaited, due, rare, arrivals } = this.#pieces
    const piece = free.count > 0 ? this.#pick(parent, now) : undefined
    // Who reads the source may send what it has not even told us about yet; and whoever has all of it while there are
    // pieces that nobody else here has knows best which of them it has sent to nobody. All others are told what to send:
    // while a request for just anything waits for its turn, what it will bring comes from elsewhere too.
    if (due.count > this.#requests.openAimed && this.#choosesAwaited(parent, piece))
      return this.#sendAny(parent, now, true)
    if (piece !== undefined && awaited.has(piece)) {
      const named = this.#requests.openAimed === 0 ? piece : this.#unasked(parent)
      if (named !== undefined) return this.#send(parent, named, now)
      // It is on its way without a name, and would come twice.
      if (!whole) return false
    }
    if (!whole && !this.#hasRoomAhead(now)) return false
    if (parent.feeding || (piece !== undefined && rare > 0 && parent.have.complete)) {
      // More requests for just anything than there are pieces to be had would bring pieces twice.
      const missing = lacking.count - arrivals
      const most = parent.feeding ? missing - this.#requests.size : free.count - this.#requests.open
      return most > 0 && this.#sendAny(parent, now)
    }
    return piece === undefined ? false : this.#send(parent, piece, now)
  }

  /** Of a part what is not waited for comes in about the order in which it was asked for: it will be waited for in that. */
  #pick(parent: Parent, now: number): number | undefined {
    const { whole, awaited, free, availability } = this.#pieces
    const best = pick(this.#view, parent.have, this.#random)
    if (whole || best === undefined || awaited.has(best) || !this.#hasRoomAhead(now)) return best
    return rarestOf(this.#soon(), (piece) => free.has(piece) && parent.have.has(piece), availability)
  }

  /** What is wanted next of a part, and not asked for yet. */
  #soon(): number[] {
    const { free } = this.#pieces
    const soon: number[] = []
    for (const piece of this.#pieces.aimed())
      if (free.has(piece) && soon.push(piece) === this.#tuning.aheadWindow) break
    return soon
  }

  #hasRoomAhead(now: number): boolean {
    return this.#link.hasRoomAhead(this.layout.pieceLength, this.#tuning.aheadMs, now)
  }

  /** A piece that is waited for and that the parent holds, unless its requests for just any such piece will bring it. */
  #unasked(parent: Parent): number | undefined {
    const open = [...parent.requests.values()].filter(({ aimed, piece }) => aimed && piece === undefined)
    const comes = (piece: number) => open.some(({ unwanted }) => !unwanted?.has(piece))
    const { awaited, availability } = this.#pieces
    const due = [...this.#pieces.due.indexes()]
    const enough = open.length >= due.filter(comes).length
    let best: number | undefined
    for (const piece of due) {
      if (!awaited.has(piece) || !parent.have.has(piece) || (enough && comes(piece))) continue
      if (best === undefined || availability[piece]! < availability[best]!) best = piece
    }
    return best
  }

  #send(parent: Parent, piece: number, now: number): boolean {
    const { whole } = this.#pieces
    const what = this.#pieces.waitedFor(piece) ? { aimed: true } : { ahead: !whole }
    const request = this.#requests.send(parent, now, what)
    this.#bind(request, piece)
    this.#commands.push({ do: 'request', request })
    return true
  }

  /** The parent knows best which of the pieces that somebody waits for it has sent to nobody yet. */
  #choosesAwaited(parent: Parent, best: number | undefined): boolean {
    if (parent.feeding) return true
    const { awaited, availability } = this.#pieces
    return parent.have.complete && best !== undefined && awaited.has(best) && availability[best]! <= 1
  }

  /** @param aimed for what somebody waits for, and nothing else */
  #sendAny(parent: Parent, now: number, aimed = false): boolean {
    // While this waits for its turn, what others hold too may come from them, and would then come twice.
    const most = parent.feeding && !aimed ? Number.POSITIVE_INFINITY : 1
    const unwanted = this.#pieces.unwanted(most, aimed)
    if (!this.#pieces.whole && !aimed) this.#onlySoon(unwanted)
    const what = aimed ? { unwanted, aimed } : { unwanted, ahead: !this.#pieces.whole }
    const request = this.#requests.send(parent, now, what)
    const from = aimed ? this.#pieces.firstDue() : this.#firstMissing()
    this.#commands.push({ do: 'request', request, any: { unwanted, from } })
    return true
  }

  #onlySoon(unwanted: Bitmap): void {
    const soon = new Set(this.#soon())
    for (const piece of this.#pieces.lacking.indexes()) if (!soon.has(piece)) unwanted.set(piece)
  }

  /** Where the reader that is furthest behind goes on. */
  #firstMissing(): number {
    return this.#pieces.have.nextMissing(Math.min(this.layout.count - 1, ...this.#readers.values()))
  }

  /** Where the readers go on. */
  #look(): void {
    this.#view.readers = [...this.#readers.values()].map((piece) => this.#pieces.have.nextMissing(piece))
  }

  /** Asks parents that have nothing else to do for pieces that take others unusually long. */
  #hedge(now: number): void {
    for (const parent of this.#list) this.#hedgeAt(parent, now)
  }

  #hedgeAt(parent: Parent, now: number): void {
    while (this.#hasRoom(parent, now)) {
      const piece = this.#late(parent, now)
      if (piece === undefined) break
      this.#send(parent, piece, now)
    }
  }

  /**
   * A piece that takes another parent unusually long and that `parent` could bring: the oldest such. While nothing comes
   * here, what waits for its turn in one line for as long as most do may stand in a second one: who told of a piece first
   * is asked by all who heard it, and who told of it later by nobody.
   */
  #late(parent: Parent, now: number): number | undefined {
    const { mostHedges } = this.#tuning
    const patience = this.#patience(this.#requests.started === 0, now)
    // While the first is not late, none is.
    const first = this.#requests.oldest
    if (!first || now - first.sentAt <= patience) return undefined
    const { lacking, asked } = this.#pieces
    let hedges = 0
    let oldest: Request | undefined
    for (const request of this.#requests.values()) {
      const { piece } = request
      // Of what is not wanted any more it is enough that it is on its way once.
      if (piece === undefined || !lacking.has(piece)) continue
      if (asked[piece]! > 1) hedges++
      else if (request.queued) continue
      else if (request.parent !== parent.id && now - request.sentAt > patience && parent.have.has(piece)) {
        if (!oldest || request.sentAt < oldest.sentAt) oldest = request
      }
    }
    return hedges < 2 * mostHedges ? oldest?.piece : undefined
  }

  /**
   * A request that takes longer is late; `idle`: nothing comes. Where the link of this node is what all of them wait for, a
   * second request would only make that longer.
   */
  #patience(idle: boolean, now: number): number {
    const { hedgeFactor, hedgeLeastMs, idleHedgeFactor, idleHedgeLeastMs, mostPatience } = this.#tuning
    if (idle) return Math.max(idleHedgeLeastMs, idleHedgeFactor * this.#usualMs)
    const usual = Math.max(hedgeLeastMs, hedgeFactor * this.#usualMs)
    return Math.min(mostPatience * usual, Math.max(usual, this.#link.expectedMs(now)))
  }

  /** What is under way is of no use any more. */
  close(): void {
    for (const request of [...this.#requests.values()]) this.#requests.end(request, this.parents.get(request.parent))
  }
}
