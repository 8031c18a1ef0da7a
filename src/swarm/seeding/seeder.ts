/**
 * The serving half of a node: tells the other ends of sessions what is held of which blob, as it arrives, and hands out
 * pieces. Holds no pieces itself; the store does.
 */
import type { Clock } from '../../clock.ts'
import type { NodeId } from '../../cluster/node-info.ts'
import type { Failure } from '../../failure.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Blob, BlobStore } from '../../store/blob-store.ts'
import type { PieceOnDisk, PieceOnItsWay, Session, WantedPieces } from '../../wire/wire.ts'
import { Relays } from '../relays.ts'
import { Audiences, type AudiencesOptions } from './audiences.ts'
import { nextBatch, usualBatchMs } from './batch.ts'
import { type Upload, Uploader, type UploaderOptions } from './uploader.ts'
import { defaultUploadTuning } from './uploads.ts'

export interface SeederOptions
  extends Omit<UploaderOptions, 'tuning' | 'relays'>,
    Partial<Pick<UploaderOptions, 'tuning'>>,
    Pick<AudiencesOptions, 'owners' | 'part'> {
  readonly store: BlobStore
  /** Shortest time between two batches of news about pieces, in ms. */
  readonly batchMs?: number
}

export class Seeder {
  readonly uploadSlots: number
  /** What is on its way here may be passed on before it is whole. */
  readonly relays = new Relays()
  readonly #audiences: Audiences
  readonly #uploader: Uploader
  readonly #clock: Clock
  readonly #batchMs: number
  /** When the next batch goes out. Undefined while there is nothing to tell and nobody waits for a turn. */
  #cancelBatch: (() => void) | undefined
  #batchedAt = Number.NEGATIVE_INFINITY

  constructor({ tuning = defaultUploadTuning, batchMs = usualBatchMs, ...options }: SeederOptions) {
    const { store, clock } = options
    this.uploadSlots = tuning.mostSlots
    this.#audiences = new Audiences(options)
    this.#uploader = new Uploader({ ...options, tuning, relays: this.relays })
    this.#clock = clock
    this.#batchMs = batchMs
    store.onGone((blob) => this.gone(blob.digest))
  }

  /** Pieces under way, and children waiting for one. */
  get uploads(): number {
    return this.#uploader.count
  }
  /** A child waits for the blob, or did a moment ago. */
  wanted(digest: Digest): boolean {
    return this.#uploader.wanted(digest)
  }
  /** What is being sent to whom. */
  sending(): Upload[] {
    return this.#uploader.sending()
  }

  /** Sessions that want the blob. */
  audience(digest: Digest): ReadonlySet<Session> {
    return this.#audiences.of(digest)
  }

  want(session: Session, digest: Digest): void {
    this.#audiences.want(session, digest)
    if (this.#audiences.news) this.#soon()
  }

  unwant(session: Session, digest: Digest): void {
    this.#audiences.unwant(session, digest)
    this.#uploader.left(session.peer.id, digest)
  }

  closed(session: Session): void {
    this.#audiences.closed(session)
    this.#uploader.left(session.peer.id)
  }

  /** A blob that was unknown so far has its size, or it is known now whose it is. */
  begun(blob: Blob): void {
    this.#audiences.begun(blob)
    if (this.#audiences.news) this.#soon()
  }

  /** A piece was verified and stored. */
  stored(digest: Digest, piece: number): void {
    this.#audiences.stored(digest, piece)
    this.#uploader.news()
    this.#soon()
  }

  /** New piece digests are known. */
  learned(digest: Digest): void {
    this.#audiences.learned(digest)
    this.#soon()
  }

  /** The blob is no longer here, or could not be had from its source. */
  gone(digest: Digest, failure?: Failure): void {
    this.#uploader.forget(digest)
    this.#audiences.gone(digest, failure)
  }

  /** A child has what it was sent, or has `dropped` it. */
  got(session: Session, digest: Digest, piece: number, dropped = false): void {
    this.#uploader.got(session.peer.id, digest, piece, dropped)
  }

  /** See `Inbound.offer`. */
  offer(digest: Digest, wanted: WantedPieces, peer: NodeId | undefined, signal: AbortSignal): Promise<PieceOnDisk> {
    const offer = this.#uploader.offer(digest, wanted, peer, signal)
    if (this.#uploader.waiting > 0) this.#soon()
    return offer
  }

  /** See `Inbound.passOn`. */
  passOn(
    digest: Digest,
    wanted: WantedPieces,
    peer: NodeId | undefined,
    signal: AbortSignal,
  ): Promise<PieceOnItsWay | undefined> {
    return this.#uploader.passOn(digest, wanted, peer, signal)
  }

  /** Sends what is under way, for `ms` at most, and nothing new: who waits or asks is told to go elsewhere. */
  drain(ms: number): Promise<void> {
    return this.#uploader.drain(ms)
  }

  close(): void {
    this.#uploader.close()
    this.#cancelBatch?.()
    // Whatever comes now is told to nobody.
    this.#cancelBatch = () => {}
  }

  /** An idle node has no timer. */
  #soon(): void {
    if (this.#cancelBatch) return
    const now = this.#clock.now()
    this.#cancelBatch = this.#clock.after(nextBatch(now, this.#batchedAt, this.#batchMs) - now, () => {
      this.#cancelBatch = undefined
      this.#batchedAt = this.#clock.now()
      this.#audiences.publish()
      this.#uploader.tick()
      if (this.#uploader.waiting > 0 || this.#audiences.news) this.#soon()
    })
  }
}
