/**
 * Looks after what lies on the disk: checks pieces that other nodes say came wrong, reads whole blobs again in time, a
 * piece after the other and slowly, and fetches again what is not right any more, from the swarm or the source, as for
 * an engine. Blobs are taken in the order of when all of them was last seen to be right, which the store keeps: after a
 * restart it goes on with the blob that it was at.
 *
 * Of a blob whose catalog entry was made anew from its file nobody has stated the pieces: it is read against its whole
 * digest, and then its pieces are stated by this node.
 */
import pLimit from 'p-limit'
import { type Clock, pause } from '../clock.ts'
import { Failure } from '../failure.ts'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import { pieceBytes, pieceStart } from '../piece/layout.ts'
import { pieceDigest } from '../piece/metainfo.ts'
import type { Location } from '../source/source.ts'
import type { Blob, BlobStore } from '../store/blob-store.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { type Signer, signedSegments } from './statements.ts'
import type { Transfer } from './transfer.ts'

export interface MenderOptions {
  readonly store: BlobStore
  readonly signer: Signer
  readonly fetch: (location: Location, size: number) => Pick<Transfer, 'finished' | 'keep'>
  /** A whole blob is read again when this long has passed, in ms; 0 for never. */
  readonly everyMs: number
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Pick<Metrics, 'scrubbedBytes' | 'piecesDamaged'>
}

/** A hundredth of a core, and a tenth of what a slow disk reads. */
const bytesPerSecond = 16 * 1024 * 1024
/** How often it is looked whether a blob is due, in ms; more often where blobs are due more often. */
const lookMs = 60_000
/**
 * After so long a blob that could not be mended is tried again, and then each time after twice as long, until some of it
 * comes: who has it may be down just now, or not be known yet, as when this node has started a moment ago.
 */
const firstRetryMs = 5000
const mostRetryMs = 3600_000
/** Pieces that others complained of and that wait to be looked at; anybody may complain. */
const mostComplaints = 16

export class Mender {
  readonly #o: MenderOptions
  readonly #abort = new AbortController()
  readonly #complaints = pLimit(1)
  readonly #mending = new Set<Blob>()
  #damaged = 0

  constructor(options: MenderOptions) {
    this.#o = options
    options.store.onDamaged((blob, { length }, whole) => {
      this.#damaged += length
      options.metrics.piecesDamaged.inc(length)
      // Who fetches the rest of the blob, if anybody does, fetches these as well.
      if (whole && !this.#mending.has(blob)) void this.#mend(blob).catch(() => {})
    })
  }

  /** Begins to read whole blobs again. */
  start(): void {
    if (this.#o.everyMs > 0) void this.#run().catch(() => {})
  }

  close(): void {
    this.#abort.abort()
    this.#complaints.clearQueue()
  }

  /** How many whole blobs are due to be read again. */
  get due(): number {
    const { store, clock, everyMs } = this.#o
    if (everyMs === 0) return 0
    return [...store.all()].filter((blob) => isDue(blob, clock.wall(), everyMs)).length
  }

  /** How many pieces were found wrong on the disk. */
  get damaged(): number {
    return this.#damaged
  }

  /** Another node says that a piece came wrong from here. */
  complaint(digest: Digest, piece: number): void {
    if (this.#complaints.pendingCount + this.#complaints.activeCount >= mostComplaints) return
    void this.#complaints(async () => {
      const blob = this.#o.store.find(digest)
      if (blob && piece < blob.layout.count) await blob.check(piece)
      // As slowly as all else: complaints cost who makes them nothing.
      if (blob) await this.#rest(pieceBytes(blob.layout, Math.min(piece, blob.layout.count - 1)))
    }).catch(() => {})
  }

  async #run(): Promise<void> {
    const { clock, store, everyMs, log } = this.#o
    const { signal } = this.#abort
    while (!signal.aborted) {
      const blob = nextDue(store.all(), clock.wall(), everyMs)
      if (!blob) await pause(clock, Math.min(lookMs, everyMs), signal)
      else {
        await this.#read(blob).catch((error: Error) => {
          if (signal.aborted) return
          log.warn('could not read a blob again', { digest: blob.digest, error: error.message })
          // A disk that is gone has shown nothing of any blob; when it is back, this one is looked at first.
          if (Failure.from(error).code === 'no-disk') return pause(clock, Math.min(lookMs, everyMs), signal)
          // It is not tried again before all others were.
          if (!blob.gone && blob.complete) blob.verified()
        })
        await this.#rest(0)
      }
    }
  }

  async #read(blob: Blob): Promise<void> {
    const statement = blob.metainfo.known.complete ? undefined : new Statement(blob)
    for (let piece = 0; piece < blob.layout.count; piece++) {
      if (blob.gone || !blob.complete) return
      if (statement) await statement.read(piece)
      else await blob.check(piece)
      const bytes = pieceBytes(blob.layout, piece)
      this.#o.metrics.scrubbedBytes.inc(bytes)
      await this.#rest(bytes)
    }
    if (blob.gone || !blob.complete) return
    if (statement && !statement.make(this.#o.signer)) {
      this.#o.log.error('a whole blob is not what it was; it was dropped', { digest: blob.digest })
      await this.#o.store.remove(blob.digest)
    } else blob.verified()
  }

  #rest(bytes: number): Promise<void> {
    return pause(this.#o.clock, Math.max(1, (bytes / bytesPerSecond) * 1000), this.#abort.signal)
  }

  async #mend(blob: Blob): Promise<void> {
    const { clock, log } = this.#o
    const { digest } = blob
    this.#mending.add(blob)
    try {
      for (let wait = firstRetryMs; !blob.gone && !blob.complete; wait = Math.min(2 * wait, mostRetryMs)) {
        const before = blob.have.count
        const failure = await this.#refetch(blob)
        if (!failure) return log.info('a damaged blob is whole again', { digest })
        if (blob.have.count > before) wait = firstRetryMs
        const again = blob.gone ? {} : { again: wait / 1000 }
        log.warn('a damaged blob could not be mended', { digest, error: failure.message, ...again })
        await pause(clock, wait, this.#abort.signal)
      }
    } finally {
      this.#mending.delete(blob)
    }
  }

  /** Resolves to why it is not whole. */
  async #refetch({ digest, size, kind }: Blob): Promise<Failure | undefined> {
    const { store, fetch } = this.#o
    const [repository] = store.repositoriesOf(digest)
    // Nobody knows where it came from: whoever wants it names a place.
    if (!repository) {
      await store.remove(digest)
      return new Failure('no-blob', 'nobody knows where it came from; it was dropped')
    }
    const transfer = fetch({ repository, kind, digest }, size)
    // Nobody reads it, and it goes on for as long as it takes.
    const letGo = transfer.keep()
    try {
      await transfer.finished
      return undefined
    } catch (error) {
      return Failure.from(error)
    } finally {
      letGo()
    }
  }
}

/** What this node reads of a whole blob, to be stated if it is that blob. */
class Statement {
  readonly #blob: Blob
  readonly #whole: Bun.CryptoHasher
  readonly #pieces: { piece: number; digest: Uint8Array }[] = []
  readonly #memory: Uint8Array

  constructor(blob: Blob) {
    this.#blob = blob
    this.#whole = new Bun.CryptoHasher(algorithmOf(blob.digest))
    this.#memory = new Uint8Array(Math.min(blob.layout.pieceLength, blob.size))
  }

  /** To be called for each piece in order. */
  async read(piece: number): Promise<void> {
    const { layout } = this.#blob
    const start = pieceStart(layout, piece)
    const bytes = await this.#blob.read({ start, end: start + pieceBytes(layout, piece) }, this.#memory)
    this.#whole.update(bytes)
    this.#pieces.push({ piece, digest: pieceDigest(bytes) })
  }

  /** False if what was read is not the blob. */
  make(signer: Signer): boolean {
    if (this.#whole.digest('hex') !== hexOf(this.#blob.digest)) return false
    const { known } = this.#blob.metainfo
    const unknown = this.#pieces.filter(({ piece }) => !known.has(piece))
    for (const segment of signedSegments(this.#blob, unknown, signer)) this.#blob.learn(segment)
    return true
  }
}

/** The one that was not looked at for the longest; undefined while none is due. Pure. */
export function nextDue(blobs: Iterable<Blob>, now: number, everyMs: number): Blob | undefined {
  let oldest: Blob | undefined
  for (const blob of blobs) {
    if (isDue(blob, now, everyMs) && (oldest === undefined || blob.verifiedAt < oldest.verifiedAt)) oldest = blob
  }
  return oldest
}

function isDue(blob: Blob, now: number, everyMs: number): boolean {
  // A time in the future is of a clock that was wrong.
  return blob.complete && (now - blob.verifiedAt >= everyMs || blob.verifiedAt > now)
}
