/**
 * Hands out pieces: children wait in line for their turn, get a place in the file when it comes, and free their slot by
 * saying that they have the piece. Which piece and whose turn is {@link UploadQueue}'s decision. Longer than most files,
 * for every way in which a grant can end is here, so that none leaves its slot taken.
 */
import { type Clock, pause } from '../../clock.ts'
import type { NodeCard, NodeId } from '../../cluster/node-info.ts'
import { siteOf } from '../../cluster/zone.ts'
import { Failure } from '../../failure.ts'
import { lru } from '../../lru.ts'
import { Meter } from '../../meter.ts'
import type { Digest } from '../../oci/digest.ts'
import { Bitmap } from '../../piece/bitmap.ts'
import { pieceBytes, pieceStart } from '../../piece/layout.ts'
import type { Bucket } from '../../rate.ts'
import type { Blob, BlobStore } from '../../store/blob-store.ts'
import { Deadlines } from '../../wire/deadlines.ts'
import { wireRules } from '../../wire/rules.ts'
import { Elsewhere, type PieceOnDisk, type PieceOnItsWay, type WantedPieces } from '../../wire/wire.ts'
import type { Arriving, Relays } from '../relays.ts'
import { type Ask, type Grant, type Held, UploadQueue, type UploadTuning } from './uploads.ts'

/** What is or was just being sent to one node of one blob. Times are the clock's, in ms. */
export interface Upload {
  readonly digest: Digest
  readonly to: NodeId | undefined
  readonly meter: Meter
  readonly startedAt: number
  sentAt: number
}

/** An upload without a new piece for so long is over, as far as an operator is concerned. */
const uploadOverMs = 5000
/** Who waits longer for a turn is told to try elsewhere, in ms. */
export const patienceMs = 3000
/** Who is told to ask here may be first: what is on its way to this node as well has begun by then, in ms. */
const comingMs = 1000
const drainLookMs = 50
/** More than may wait here, and be in a chain. */
const mostCards = 4096
/** A child that does not say that a piece arrived is taken to have it so long after the kernel took the bytes, in ms. */
const silentMs = 2000
/** A blob that a child asked for and waits for is wanted for so long after it has asked, in ms. */
const wantedMs = 5000

export interface UploaderOptions {
  readonly store: Pick<BlobStore, 'find'>
  readonly clock: Clock
  readonly tuning: UploadTuning
  /** True while this node reads the blob from its source. */
  readonly feeding: (digest: Digest) => boolean
  /** The limit on what is sent. It is asked before a piece is granted, so that what waits for it holds no slot. */
  readonly limit?: Bucket | undefined
  /** Pieces on their way to this node, for who takes them before they are whole. */
  readonly relays: Relays
  /** Counts what was sent. */
  readonly sent?: Meter | undefined
}

export class Uploader {
  readonly #store: Pick<BlobStore, 'find'>
  readonly #clock: Clock
  readonly #feeding: (digest: Digest) => boolean
  readonly #limit: Bucket | undefined
  readonly #sent: Meter | undefined
  readonly #queue: UploadQueue
  readonly #turns = new Map<number, (turn: Grant | Elsewhere | undefined) => void>()
  readonly #relays: Relays
  /** Children that may be told to ask each other, and so where others ask them. */
  readonly #cards = lru<NodeId, NodeCard>(mostCards)
  /** By child, blob and piece: what is under way, until the child says it has it. A child may ask twice; the first is first. */
  readonly #underWay = new Map<string, Grant[]>()
  readonly #uploads = new Map<string, Upload>()
  /** When a child last asked for a blob that it waits for. */
  readonly #wantedAt = new Map<Digest, number>()
  /** Who has not taken its piece by then has given it up, or only pretends to read: its slot is for others. */
  readonly #late: Deadlines
  #nextAsk = 1
  #draining = false
  /** Set while the limit keeps everybody waiting. */
  #limited = false

  constructor({ store, clock, tuning, feeding, limit, relays, sent }: UploaderOptions) {
    this.#store = store
    this.#clock = clock
    this.#feeding = feeding
    this.#limit = limit
    this.#relays = relays
    this.#sent = sent
    this.#late = new Deadlines(clock, wireRules.pieceDeadline)
    this.#queue = new UploadQueue(tuning, (digest) => this.#held(digest as Digest))
  }

  /** Pieces under way, and children waiting for one. */
  get count(): number {
    return this.#queue.sending + this.#queue.waiting + this.#relays.running
  }

  /** Children in line for their turn. */
  get waiting(): number {
    return this.#queue.waiting
  }

  /** A child waits for the blob, or did a moment ago. */
  wanted(digest: Digest): boolean {
    return this.#clock.now() - (this.#wantedAt.get(digest) ?? Number.NEGATIVE_INFINITY) < wantedMs
  }

  /** What is being sent to whom. */
  sending(): Upload[] {
    this.#forgetOver()
    return [...this.#uploads.values()]
  }

  /** See `Inbound.offer`. */
  async offer(
    digest: Digest,
    wanted: WantedPieces,
    peer: NodeId | undefined,
    signal: AbortSignal,
  ): Promise<PieceOnDisk> {
    if (this.#draining) throw new Failure('too-many', 'this node is shutting down')
    const { piece, ask } = await this.#turn(digest, wanted, peer ?? '', signal)
    const grant = { piece, ask }
    const blob = this.#store.find(digest)
    if (!blob) {
      this.#broken(grant)
      throw new Failure('no-blob', `this node no longer holds ${digest}`)
    }
    const letGo = blob.hold()
    // Also while the disk is looked at, which may hang: the slot is for others then.
    const inTime = this.#late.start(() => this.#broken(grant))
    const giveUp = () => {
      letGo()
      inTime()
      this.#broken(grant)
    }
    if (!blob.sound(piece) && !(await stillRight(blob, piece))) {
      giveUp()
      throw new Failure('no-blob', `piece ${piece} of ${digest} is not what it was any more`)
    }
    // A child may have left while the piece was looked at.
    if (signal.aborted) {
      giveUp()
      throw new Failure('cancelled', `the child that piece ${piece} of ${digest} was for has left`)
    }
    this.#note(digest, peer, pieceBytes(blob.layout, piece))
    const start = pieceStart(blob.layout, piece)
    const end = start + pieceBytes(blob.layout, piece)
    return {
      piece,
      path: blob.path,
      start,
      end,
      done: (sent) => {
        letGo()
        inTime()
        if (!sent) return this.#broken(grant)
        this.#sent?.add(end - start, this.#clock.now())
        this.#clock.after(silentMs, () => this.#delivered(grant))
      },
    }
  }

  /** See `Inbound.passOn`. */
  async passOn(
    digest: Digest,
    wanted: WantedPieces,
    peer: NodeId | undefined,
    signal: AbortSignal,
  ): Promise<PieceOnItsWay | undefined> {
    const [piece, ...others] = 'pieces' in wanted ? wanted.pieces : []
    const blob = this.#store.find(digest)
    if (this.#draining || !blob || piece === undefined || others.length > 0) return undefined
    if (piece >= blob.layout.count || blob.have.has(piece)) return undefined
    const child = { peer: peer ?? '', digest, ...this.#known(wanted.follow) }
    const to = wanted.follow && this.#queue.before(child, piece, this.#clock.now())
    const card = to && this.#cards.get(to)
    if (card) throw new Elsewhere(piece, card)
    const passing = this.#queue.passOn(child, piece, this.#clock.now())
    const arriving = await this.#coming(digest, piece, signal)
    const now = this.#clock.now()
    // Others may have come first. What is not here whole cannot wait in line.
    const may = !this.#draining && !this.#relays.full && (this.#limit?.wait(now) ?? 0) <= 0
    if (!arriving || arriving.over || !may) {
      passing.end(false)
      this.#serve()
      return undefined
    }
    passing.begin()
    const length = pieceBytes(blob.layout, piece)
    this.#limit?.take(length, now)
    if (!wanted.background) this.#wantedAt.set(digest, now)
    this.#note(digest, peer, length)
    const { body, over } = this.#relays.relay(arriving)
    void over.then((whole) => {
      passing.end(whole)
      if (whole) this.#sent?.add(length, this.#clock.now())
      this.#serve()
    })
    return { piece, length, body, over }
  }

  async #coming(digest: Digest, piece: number, signal: AbortSignal): Promise<Arriving | undefined> {
    const late = new AbortController()
    const inTime = this.#clock.after(comingMs, () => late.abort())
    try {
      return await this.#relays.coming(digest, piece, AbortSignal.any([signal, late.signal]))
    } finally {
      inTime()
    }
  }

  /** There is a piece more to hand out. */
  news(): void {
    this.#serve()
  }

  /** A child has what it was sent, or has `dropped` it. */
  got(child: NodeId, digest: Digest, piece: number, dropped = false): void {
    const grants = this.#underWay.get(keyOf(child, digest, piece))
    const grant = dropped ? grants?.at(-1) : grants?.[0]
    if (!grant) return
    // What it gives up is what it asked for last.
    if (dropped) this.#broken(grant)
    else this.#delivered(grant)
  }

  /** A child wants nothing more of that blob, or of any: what is under way to it has no link to wait for. */
  left(child: NodeId, digest?: Digest): void {
    this.#queue.left(child, digest)
    for (const grant of [...this.#underWay.values()].flat()) {
      const { ask } = grant
      if (ask.peer === child && (digest === undefined || ask.digest === digest)) this.#broken(grant)
    }
  }

  /** The blob is no longer here. */
  forget(digest: Digest): void {
    this.#queue.forget(digest)
    this.#wantedAt.delete(digest)
  }

  /** To be called every so often: who has waited too long is told to try elsewhere. */
  tick(): void {
    for (const ask of this.#queue.expire(this.#clock.now() - patienceMs)) this.#turns.get(ask.id)?.(undefined)
    // Some wait for nothing but time to pass.
    this.#serve()
  }

  #known(card: NodeCard | undefined): Pick<Ask, 'follow' | 'site'> {
    if (!card) return {}
    this.#cards.set(card.id, card)
    return { follow: true, site: siteOf(card.zone) }
  }

  /** Sends what is under way, for `ms` at most, and nothing new: who waits or asks is told to go elsewhere. */
  async drain(ms: number): Promise<void> {
    this.#draining = true
    for (const ask of this.#queue.expire(Number.POSITIVE_INFINITY)) this.#turns.get(ask.id)?.(undefined)
    const end = this.#clock.now() + ms
    while (this.#queue.sending + this.#relays.running > 0 && this.#clock.now() < end)
      await pause(this.#clock, drainLookMs)
  }

  close(): void {
    this.#late.close()
  }

  /** Waits until it is this child's turn. */
  #turn(digest: Digest, wanted: WantedPieces, peer: string, signal: AbortSignal): Promise<Grant> {
    const blob = this.#store.find(digest)
    if (!blob || signal.aborted) throw new Failure('no-blob', `this node does not hold ${digest}`)
    const { promise, resolve, reject } = Promise.withResolvers<Grant>()
    const count = blob.layout.count
    const ask: Ask = {
      id: this.#nextAsk++,
      peer,
      digest,
      wanted: 'pieces' in wanted ? wanted : { unwanted: new Bitmap(count, wanted.unwanted), from: wanted.from },
      background: wanted.background ?? false,
      ...this.#known(wanted.follow),
      at: this.#clock.now(),
    }
    if (!wanted.background) this.#wantedAt.set(digest, ask.at)
    if ('pieces' in ask.wanted && !ask.wanted.pieces.some((piece) => blob.have.has(piece))) {
      throw new Failure('no-blob', `this node does not hold the wanted pieces of ${digest}`)
    }
    const out = this.#queue.ask(ask)
    if (out === ask) throw new Failure('too-many', 'too many nodes wait for pieces of this one')
    if (out) this.#turns.get(out.id)?.(undefined)
    const abort = () => {
      if (this.#queue.withdraw(ask.id)) this.#turns.get(ask.id)?.(undefined)
    }
    signal.addEventListener('abort', abort, { once: true })
    this.#turns.set(ask.id, (turn) => {
      this.#turns.delete(ask.id)
      signal.removeEventListener('abort', abort)
      if (turn instanceof Elsewhere) reject(turn)
      else if (turn) resolve(turn)
      else
        reject(
          new Failure(
            'too-many',
            'no turn for that node: it has waited for long, or has the most requests in a full line',
          ),
        )
    })
    this.#serve()
    return promise
  }

  #serve(): void {
    this.#hand()
    for (const { ask, piece, to } of this.#queue.referrals(this.#clock.now())) {
      const card = this.#cards.get(to)
      this.#turns.get(ask.id)?.(card && new Elsewhere(piece, card))
    }
  }

  #hand(): void {
    if (!this.#limit) {
      for (const grant of this.#queue.grants(this.#clock.now())) this.#grant(grant)
      return
    }
    while (!this.#limited && this.#queue.waiting > 0) {
      const now = this.#clock.now()
      const wait = this.#limit.wait(now)
      if (wait > 0) return this.#pause(wait)
      const [grant] = this.#queue.grants(now, 1)
      if (!grant) return
      this.#limit.take(this.#queue.bytesOf(grant), now)
      this.#grant(grant)
    }
  }

  #grant(grant: Grant): void {
    const { peer, digest } = grant.ask
    const key = keyOf(peer, digest, grant.piece)
    this.#underWay.set(key, [...(this.#underWay.get(key) ?? []), grant])
    this.#turns.get(grant.ask.id)?.(grant)
  }

  #pause(ms: number): void {
    this.#limited = true
    this.#clock.after(Math.ceil(ms), () => {
      this.#limited = false
      this.#serve()
    })
  }

  #forgetOver(): void {
    const now = this.#clock.now()
    for (const [key, upload] of this.#uploads) if (now - upload.sentAt > uploadOverMs) this.#uploads.delete(key)
    for (const [digest, at] of this.#wantedAt) if (now - at > wantedMs) this.#wantedAt.delete(digest)
  }

  #delivered(grant: Grant): void {
    this.#off(grant)
    this.#queue.delivered(grant.ask.id, this.#clock.now())
    this.#serve()
  }

  #broken(grant: Grant): void {
    this.#off(grant)
    this.#queue.broken(grant)
    this.#serve()
  }

  /** The same piece may be on its way to the same child a second time; that one goes on. */
  #off(grant: Grant): void {
    const key = keyOf(grant.ask.peer, grant.ask.digest, grant.piece)
    const others = this.#underWay.get(key)?.filter(({ ask }) => ask.id !== grant.ask.id) ?? []
    if (others.length > 0) this.#underWay.set(key, others)
    else this.#underWay.delete(key)
  }

  #held(digest: Digest): Held | undefined {
    const blob = this.#store.find(digest)
    return blob && { layout: blob.layout, have: blob.have, feeding: this.#feeding(digest) }
  }

  #note(digest: Digest, to: NodeId | undefined, bytes: number): void {
    const now = this.#clock.now()
    const key = `${digest} ${to ?? ''}`
    let upload = this.#uploads.get(key)
    if (!upload || now - upload.sentAt > uploadOverMs) {
      this.#forgetOver()
      upload = { digest, to, meter: new Meter(now), startedAt: now, sentAt: now }
      this.#uploads.set(key, upload)
    }
    upload.meter.add(bytes, now)
    upload.sentAt = now
  }
}

/** Who gets wrong bytes takes this node for a liar. */
async function stillRight(blob: Blob, piece: number): Promise<boolean> {
  try {
    return await blob.check(piece)
  } catch {
    return false
  }
}

function keyOf(peer: string, digest: Digest | string, piece: number): string {
  return `${peer} ${digest} ${piece}`
}
