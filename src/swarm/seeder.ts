/**
 * The serving half of a node: tells the other ends of sessions what is held of which blob, as it arrives, and hands out
 * pieces. Holds no pieces itself; the store does.
 */
import { type Clock, every, pause } from '../clock.ts'
import type { NodeId } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { Meter } from '../meter.ts'
import type { Digest } from '../oci/digest.ts'
import { Bitmap } from '../piece/bitmap.ts'
import { pieceBytes, pieceStart } from '../piece/layout.ts'
import type { Segment } from '../piece/metainfo.ts'
import type { Blob, BlobStore } from '../store/blob-store.ts'
import type { FrameOf } from '../wire/messages.ts'
import type { PieceOnDisk, Session, WantedPieces } from '../wire/wire.ts'
import { type Ask, defaultUploadTuning, type Grant, type Held, UploadQueue, type UploadTuning } from './uploads.ts'

export interface SeederOptions {
  readonly store: BlobStore
  readonly clock: Clock
  readonly tuning?: UploadTuning
  /** True while this node reads the blob from its source. */
  readonly feeding: (digest: Digest) => boolean
  /** How long news about pieces is gathered before it is sent, in ms. */
  readonly batchMs?: number
}

interface Audience {
  readonly sessions: Set<Session>
  /** Pieces that came since the last batch. */
  fresh: number[]
  /** How many of the blob's segments each session has been sent. */
  readonly told: Map<Session, number>
}

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
const mostWantsPerSession = 4096
const defaultBatchMs = 50
/** Who waits longer for a turn is told to try elsewhere, in ms. */
const patienceMs = 3000
const drainLookMs = 50
/** A child that does not say that a piece arrived is taken to have it so long after the kernel took the bytes, in ms. */
const silentMs = 2000

export class Seeder {
  readonly #store: BlobStore
  readonly #queue: UploadQueue
  readonly #mostSlots: number
  readonly #feeding: (digest: Digest) => boolean
  readonly #turns = new Map<number, (grant: Grant | undefined) => void>()
  /** By child, blob and piece: what is under way, until the child says it has it. */
  readonly #underWay = new Map<string, Grant>()
  #nextAsk = 1
  readonly #audiences = new Map<Digest, Audience>()
  readonly #wants = new Map<Session, Set<Digest>>()
  readonly #news = new Set<Digest>()
  readonly #uploads = new Map<string, Upload>()
  readonly #clock: Clock
  #draining = false
  readonly #stop: () => void

  constructor(options: SeederOptions) {
    this.#store = options.store
    this.#clock = options.clock
    this.#feeding = options.feeding
    const tuning = options.tuning ?? defaultUploadTuning
    this.#mostSlots = tuning.mostSlots
    this.#queue = new UploadQueue(tuning, (digest) => this.#held(digest as Digest))
    this.#stop = every(options.clock, options.batchMs ?? defaultBatchMs, () => {
      this.#publish()
      this.#expire()
    })
    options.store.onGone((blob) => this.gone(blob.digest))
  }

  /** Pieces under way, and children waiting for one. */
  get uploads(): number {
    return this.#queue.sending + this.#queue.waiting
  }
  get uploadSlots(): number {
    return this.#mostSlots
  }
  /** What is being sent to whom. */
  sending(): Upload[] {
    this.#forgetOver()
    return [...this.#uploads.values()]
  }

  /** Sends what is under way, for `ms` at most, and nothing new: who waits or asks is told to go elsewhere. */
  async drain(ms: number): Promise<void> {
    this.#draining = true
    for (const ask of this.#queue.expire(Number.POSITIVE_INFINITY)) this.#turns.get(ask.id)?.(undefined)
    const end = this.#clock.now() + ms
    while (this.#queue.sending > 0 && this.#clock.now() < end) await pause(this.#clock, drainLookMs)
  }

  /** Sessions that want the blob. */
  audience(digest: Digest): ReadonlySet<Session> {
    return this.#audiences.get(digest)?.sessions ?? new Set()
  }

  want(session: Session, digest: Digest): void {
    let wants = this.#wants.get(session)
    if (!wants) {
      wants = new Set()
      this.#wants.set(session, wants)
    }
    if (wants.size >= mostWantsPerSession) return session.close('asked for too many blobs at once')
    wants.add(digest)
    let audience = this.#audiences.get(digest)
    if (!audience) {
      audience = { sessions: new Set(), fresh: [], told: new Map() }
      this.#audiences.set(digest, audience)
    }
    audience.sessions.add(session)
    const blob = this.#store.find(digest)
    if (blob) this.#introduce(blob, audience, session)
  }

  unwant(session: Session, digest: Digest): void {
    this.#wants.get(session)?.delete(digest)
    this.#leaveAudience(session, digest)
  }

  closed(session: Session): void {
    for (const digest of this.#wants.get(session) ?? []) this.#leaveAudience(session, digest)
    this.#wants.delete(session)
  }

  /** A blob that was unknown so far has its size: whoever waits for it is told. */
  begun(blob: Blob): void {
    const audience = this.#audiences.get(blob.digest)
    if (!audience) return
    for (const session of audience.sessions) this.#introduce(blob, audience, session)
  }

  /** A piece was verified and stored. */
  stored(digest: Digest, piece: number): void {
    const audience = this.#audiences.get(digest)
    if (!audience) return
    audience.fresh.push(piece)
    this.#news.add(digest)
    this.#serve()
  }

  /** A child has what it was sent. */
  got(session: Session, digest: Digest, piece: number): void {
    const grant = this.#underWay.get(keyOf(session.peer.id, digest, piece))
    if (grant) this.#delivered(grant)
  }

  /** New piece digests are known. */
  learned(digest: Digest): void {
    if (this.#audiences.has(digest)) this.#news.add(digest)
  }

  /** The blob is no longer here, or could not be had from its source. */
  gone(digest: Digest, failure?: Failure): void {
    this.#queue.forget(digest)
    const audience = this.#audiences.get(digest)
    if (!audience) return
    audience.fresh = []
    audience.told.clear()
    for (const session of audience.sessions) {
      session.send({
        t: 'gone',
        digest,
        ...(failure ? { code: failure.code, message: failure.message.slice(0, 500) } : {}),
      })
    }
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
    this.#note(digest, peer, pieceBytes(blob.layout, piece))
    const letGo = blob.hold()
    const start = pieceStart(blob.layout, piece)
    return {
      piece,
      path: blob.path,
      start,
      end: start + pieceBytes(blob.layout, piece),
      done: (sent) => {
        letGo()
        if (!sent) this.#broken(grant)
        else this.#clock.after(silentMs, () => this.#delivered(grant))
      },
    }
  }

  close(): void {
    this.#stop()
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
      at: this.#clock.now(),
    }
    if ('pieces' in ask.wanted && !ask.wanted.pieces.some((piece) => blob.have.has(piece))) {
      throw new Failure('no-blob', `this node does not hold the wanted pieces of ${digest}`)
    }
    if (!this.#queue.ask(ask)) throw new Failure('too-many', 'too many nodes wait for pieces of this one')
    const abort = () => {
      if (this.#queue.withdraw(ask.id)) this.#turns.get(ask.id)?.(undefined)
    }
    signal.addEventListener('abort', abort, { once: true })
    this.#turns.set(ask.id, (grant) => {
      this.#turns.delete(ask.id)
      signal.removeEventListener('abort', abort)
      if (grant) resolve(grant)
      else reject(new Failure('too-many', 'no piece for that node within its patience'))
    })
    this.#serve()
    return promise
  }

  #serve(): void {
    for (const grant of this.#queue.grants(this.#clock.now())) {
      const { peer, digest } = grant.ask
      this.#underWay.set(keyOf(peer, digest, grant.piece), grant)
      this.#turns.get(grant.ask.id)?.(grant)
    }
  }

  #expire(): void {
    this.#forgetOver()
    for (const ask of this.#queue.expire(this.#clock.now() - patienceMs)) this.#turns.get(ask.id)?.(undefined)
  }

  #forgetOver(): void {
    const now = this.#clock.now()
    for (const [key, upload] of this.#uploads) if (now - upload.sentAt > uploadOverMs) this.#uploads.delete(key)
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
    if (this.#underWay.get(key)?.ask.id === grant.ask.id) this.#underWay.delete(key)
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
      upload = { digest, to, meter: new Meter(now), startedAt: now, sentAt: now }
      this.#uploads.set(key, upload)
    }
    upload.meter.add(bytes, now)
    upload.sentAt = now
  }

  #introduce(blob: Blob, audience: Audience, session: Session): void {
    this.#teach(blob, audience, session)
    session.send(stateFrame(blob, this.#feeding(blob.digest)))
  }

  /** Sends the segments that this session has not been sent; always before the pieces they describe. */
  #teach(blob: Blob, audience: Audience, session: Session): void {
    const { segments } = blob.metainfo
    for (let i = audience.told.get(session) ?? 0; i < segments.length; i++) session.send(metaFrame(blob, segments[i]!))
    audience.told.set(session, segments.length)
  }

  #publish(): void {
    for (const digest of this.#news) {
      const audience = this.#audiences.get(digest)
      const blob = this.#store.find(digest)
      if (!audience || !blob) continue
      const pieces = audience.fresh
      audience.fresh = []
      for (const session of audience.sessions) {
        if (!audience.told.has(session)) this.#introduce(blob, audience, session)
        else {
          this.#teach(blob, audience, session)
          if (pieces.length > 0) session.send({ t: 'have', digest, pieces })
        }
      }
    }
    this.#news.clear()
  }

  #leaveAudience(session: Session, digest: Digest): void {
    const audience = this.#audiences.get(digest)
    if (!audience) return
    audience.sessions.delete(session)
    audience.told.delete(session)
    if (audience.sessions.size === 0) this.#audiences.delete(digest)
  }
}

function keyOf(peer: string, digest: Digest | string, piece: number): string {
  return `${peer} ${digest} ${piece}`
}

export function stateFrame(blob: Blob, feeding: boolean): FrameOf<'state'> {
  return {
    t: 'state',
    digest: blob.digest,
    size: blob.size,
    pieceLength: blob.layout.pieceLength,
    kind: blob.kind,
    feeding,
    ...(blob.mediaType ? { mediaType: blob.mediaType } : {}),
    have: blob.have.bytes.toBase64(),
  }
}

function metaFrame(blob: Blob, segment: Segment): FrameOf<'meta'> {
  return {
    t: 'meta',
    digest: blob.digest,
    size: blob.size,
    first: segment.first,
    digests: segment.digests.toBase64(),
    signer: segment.signer,
    signature: segment.signature.toBase64(),
  }
}
