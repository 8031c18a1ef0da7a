/**
 * The serving half of a node: tells the other ends of sessions what is held of which blob, as it arrives, and hands out
 * pieces. Holds no pieces itself; the store does.
 */
import { type Clock, every } from '../clock.ts'
import type { NodeId } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { Meter } from '../meter.ts'
import type { Digest } from '../oci/digest.ts'
import { pieceBytes, pieceStart } from '../piece/layout.ts'
import type { Segment } from '../piece/metainfo.ts'
import type { Blob, BlobStore } from '../store/blob-store.ts'
import type { FrameOf } from '../wire/messages.ts'
import type { PieceOnDisk, Session } from '../wire/wire.ts'
import { Slots, UploadLedger } from './uploads.ts'

export interface SeederOptions {
  readonly store: BlobStore
  readonly clock: Clock
  readonly uploadSlots: number
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
const mostWaiting = 512

export class Seeder {
  readonly #store: BlobStore
  readonly #ledger = new UploadLedger()
  readonly #slots: Slots
  readonly #audiences = new Map<Digest, Audience>()
  readonly #wants = new Map<Session, Set<Digest>>()
  readonly #news = new Set<Digest>()
  readonly #uploads = new Map<string, Upload>()
  readonly #clock: Clock
  readonly #stop: () => void

  constructor(options: SeederOptions) {
    this.#store = options.store
    this.#clock = options.clock
    this.#slots = new Slots(options.uploadSlots, mostWaiting)
    this.#stop = every(options.clock, options.batchMs ?? defaultBatchMs, () => this.#publish())
    options.store.onGone((blob) => this.gone(blob.digest))
  }

  /** Slots taken. */
  get uploads(): number {
    return this.#slots.taken
  }
  /** What is being sent to whom. */
  sending(): Upload[] {
    const now = this.#clock.now()
    for (const [key, upload] of this.#uploads) if (now - upload.sentAt > uploadOverMs) this.#uploads.delete(key)
    return [...this.#uploads.values()]
  }
  get uploadSlots(): number {
    return this.#slots.total
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
  }

  /** New piece digests are known. */
  learned(digest: Digest): void {
    if (this.#audiences.has(digest)) this.#news.add(digest)
  }

  /** The blob is no longer here, or could not be had from its source. */
  gone(digest: Digest, failure?: Failure): void {
    this.#ledger.forget(digest)
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
    candidates: readonly number[],
    peer: NodeId | undefined,
    signal: AbortSignal,
  ): Promise<PieceOnDisk> {
    const release = await this.#slots.take(signal)
    if (!release) throw new Failure('too-many', 'all upload slots of this node are taken')
    const blob = this.#store.find(digest)
    const piece = blob && this.#ledger.choose(digest, blob.have, candidates)
    if (!blob || piece === undefined) {
      release()
      throw new Failure('no-blob', `this node does not hold the wanted pieces of ${digest}`)
    }
    this.#ledger.sending(digest, blob.layout.count, piece)
    this.#note(digest, peer, pieceBytes(blob.layout, piece))
    const letGo = blob.hold()
    let over = false
    const start = pieceStart(blob.layout, piece)
    return {
      piece,
      path: blob.path,
      start,
      end: start + pieceBytes(blob.layout, piece),
      done: () => {
        if (over) return
        over = true
        letGo()
        release()
        if (signal.aborted) this.#ledger.failed(digest, piece)
      },
    }
  }

  close(): void {
    this.#stop()
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
    session.send(stateFrame(blob))
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

export function stateFrame(blob: Blob): FrameOf<'state'> {
  return {
    t: 'state',
    digest: blob.digest,
    size: blob.size,
    pieceLength: blob.layout.pieceLength,
    kind: blob.kind,
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
