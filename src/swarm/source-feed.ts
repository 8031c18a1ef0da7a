/**
 * Reads from the source what the swarm does not have, piece by piece. The node that does this for a blob is its fetcher:
 * it states the digest of each piece it reads and signs the statement, so that the others can verify what they get from
 * whomever.
 *
 * The source is one long answer, read in order. Runs of pieces that are here or at a parent already are skipped by asking
 * anew from behind them; short runs are read and thrown away, which is cheaper than another request.
 */
import type { Clock } from '../clock.ts'
import { Failure } from '../failure.ts'
import { type Layout, pieceBytes, pieceStart } from '../piece/layout.ts'
import { mostPiecesPerSegment, pieceDigest, pieceDigestBytes, type Segment, segmentPayload } from '../piece/metainfo.ts'
import type { Location, Source } from '../source/source.ts'
import type { Blob } from '../store/blob-store.ts'
import type { Filling, Fresh } from './fresh.ts'

export interface Signer {
  readonly id: string
  sign(payload: Uint8Array): Uint8Array
}

export interface FeedHost {
  /** First piece at or after `from` that has to come from the source; `count` if none. */
  nextNeeded(from: number): number
  /** Pieces from `from` up to `to` are about to come. */
  expecting(from: number, to: number): void
  /** A piece was verified, written and is stated from now on as soon as `stated` says so. */
  stored(piece: number, bytes: number): void
  /** These pieces may be offered to others: their digests are signed and learned. */
  stated(pieces: readonly number[]): void
  /** The source had sent nothing for so long (ms), and does now. */
  heard(quiet: number): void
}

export interface FeedOptions {
  readonly source: Source
  readonly location: Location
  readonly blob: Blob
  readonly signer: Signer
  readonly clock: Clock
  readonly host: FeedHost
  /** Where readers see what comes before it is stored. */
  readonly fresh: Fresh
}

/**
 * So many bytes that are not needed are skipped by a new request. Whoever takes over from a reader that ended finds
 * gaps everywhere in what others hold, and must not read their half of the blob again to fill them.
 */
const skipBytes = 2 * 1024 * 1024
/** How many pieces ahead of the source's position nobody else is asked for. */
const aheadPieces = 4
/** How many pieces may be on their way to the disk. */
const mostWriting = 4
/** Statements are gathered for so long, or until there are so many. */
const statementMs = 25
const statementPieces = 32

export class SourceFeed {
  readonly #o: FeedOptions
  readonly #layout: Layout
  #unstated: { piece: number; digest: Uint8Array }[] = []
  #cancelTimer: (() => void) | undefined
  /** Pieces on their way to the disk while the source is read on. */
  readonly #writing = new Set<Promise<void>>()
  #failure: unknown
  #heardAt: number

  constructor(options: FeedOptions) {
    this.#o = options
    this.#layout = options.blob.layout
    this.#heardAt = options.clock.now()
  }

  /** When the source last sent something, be it less than a piece. */
  get heardAt(): number {
    return this.#heardAt
  }

  /** Runs until nothing is needed from the source any more. @throws {Failure} what the source said */
  async run(signal: AbortSignal): Promise<void> {
    try {
      await this.#stateHeld()
      let from = this.#o.host.nextNeeded(0)
      while (from < this.#layout.count && !signal.aborted) {
        from = await this.#stream(from, signal)
        await this.#settle(0)
        if (from >= this.#layout.count) from = this.#o.host.nextNeeded(0)
      }
    } finally {
      await this.#settle(0).catch(() => {})
      this.#flush()
      this.#o.host.expecting(0, 0)
    }
  }

  /** Reads on from piece `first`; returns the piece from which to go on with a new request, `count` if there is none. */
  async #stream(first: number, signal: AbortSignal): Promise<number> {
    const { source, location, blob } = this.#o
    const layout = this.#layout
    const stop = new AbortController()
    try {
      const answer = await source.open(location, pieceStart(layout, first), AbortSignal.any([signal, stop.signal]))
      if (answer.size !== layout.size) {
        throw new Failure(
          'corrupt',
          `the source says ${blob.digest} has ${answer.size} bytes, ${layout.size} were expected`,
          { detail: { size: answer.size } },
        )
      }
      return await this.#read(answer.body, first, signal)
    } finally {
      // Whatever is still on its way is not wanted.
      stop.abort()
    }
  }

  async #read(body: AsyncIterable<Uint8Array>, first: number, signal: AbortSignal): Promise<number> {
    const { blob, host, fresh } = this.#o
    const layout = this.#layout
    let piece = first
    let filling: Filling | undefined
    host.expecting(piece, piece + aheadPieces)
    if (layout.size === 0) await this.#take(fresh.begin(piece++, false))
    try {
      for await (const chunk of body) {
        const now = this.#o.clock.now()
        host.heard(now - this.#heardAt)
        this.#heardAt = now
        for (let at = 0; at < chunk.length; ) {
          if (piece >= layout.count)
            throw new Failure('corrupt', `the source sent more than ${layout.size} bytes of ${blob.digest}`)
          filling ??= fresh.begin(piece, blob.have.has(piece) || blob.metainfo.known.has(piece))
          at += fresh.fill(filling, chunk.subarray(at))
          if (filling.filled < filling.bytes.length) continue
          const filled = filling
          filling = undefined
          await this.#take(filled)
          piece++
          if (piece >= layout.count) continue
          const needed = host.nextNeeded(piece)
          if (needed >= layout.count || (needed - piece) * layout.pieceLength > skipBytes) return needed
          host.expecting(piece, piece + aheadPieces)
        }
      }
      if (piece < layout.count && !signal.aborted) {
        const got = pieceStart(layout, piece) + (filling?.filled ?? 0)
        throw new Failure('corrupt', `the source ended after ${got} of ${layout.size} bytes of ${blob.digest}`)
      }
      return layout.count
    } finally {
      if (filling) fresh.abandon(filling)
    }
  }

  async #take(filling: Filling): Promise<void> {
    const { blob, host, fresh } = this.#o
    const { piece, bytes } = filling
    // It came from elsewhere as well.
    if (blob.have.has(piece)) {
      if (blob.metainfo.verify(piece, bytes)) fresh.stored(filling)
      else fresh.abandon(filling)
      return
    }
    const stated = blob.metainfo.digestOf(piece)
    const digest = pieceDigest(bytes)
    if (stated && Buffer.compare(stated, digest) !== 0) {
      fresh.abandon(filling)
      throw new Failure('corrupt', `piece ${piece} of ${blob.digest} differs from what was stated about it`, {
        detail: { piece },
      })
    }
    const writing = blob
      .write(piece, bytes)
      .then(() => {
        fresh.stored(filling)
        host.stored(piece, bytes.length)
        if (stated) host.stated([piece])
        else this.#gather(piece, digest)
      })
      .catch((error: unknown) => {
        fresh.abandon(filling)
        this.#failure ??= error
      })
      .finally(() => this.#writing.delete(writing))
    this.#writing.add(writing)
    await this.#settle(mostWriting)
  }

  /** Waits until no more than `most` pieces are being written. @throws what a write failed with */
  async #settle(most: number): Promise<void> {
    while (this.#writing.size > most) await Promise.race(this.#writing)
    if (this.#failure !== undefined) throw this.#failure
  }

  #gather(piece: number, digest: Uint8Array): void {
    this.#unstated.push({ piece, digest })
    if (this.#unstated.length >= statementPieces) this.#flush()
    else this.#cancelTimer ??= this.#o.clock.after(statementMs, () => this.#flush())
  }

  /** States at once what was read so far: before others are believed about pieces that this node has read itself. */
  state(): void {
    this.#flush()
  }

  /** Signs what was gathered, one segment for each run. */
  #flush(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    const pending = this.#unstated.filter(({ piece }) => !this.#o.blob.metainfo.known.has(piece))
    const pieces = this.#unstated.map(({ piece }) => piece)
    this.#unstated = []
    for (const segment of signedSegments(this.#o.blob, pending, this.#o.signer)) this.#o.blob.learn(segment)
    if (pieces.length > 0) this.#o.host.stated(pieces)
  }

  /** States the pieces that are here from an earlier try but whose digests nobody has stated; not what lay on a disk since. */
  async #stateHeld(): Promise<void> {
    const { blob } = this.#o
    for (const piece of blob.have.indexes()) {
      if (blob.metainfo.known.has(piece) || !blob.sound(piece)) continue
      const start = pieceStart(this.#layout, piece)
      this.#gather(piece, pieceDigest(await blob.read({ start, end: start + pieceBytes(this.#layout, piece) })))
    }
    this.#flush()
  }
}

export function* signedSegments(
  blob: Pick<Blob, 'digest' | 'layout'>,
  pieces: readonly { readonly piece: number; readonly digest: Uint8Array }[],
  signer: Signer,
): Generator<Segment> {
  const sorted = [...pieces].sort((a, b) => a.piece - b.piece)
  for (let i = 0; i < sorted.length; ) {
    let j = i + 1
    while (j < sorted.length && j - i < mostPiecesPerSegment && sorted[j]!.piece === sorted[i]!.piece + (j - i)) j++
    const first = sorted[i]!.piece
    const digests = new Uint8Array((j - i) * pieceDigestBytes)
    for (let k = i; k < j; k++) digests.set(sorted[k]!.digest, (k - i) * pieceDigestBytes)
    const signature = signer.sign(segmentPayload(blob.digest, blob.layout, first, digests))
    yield { first, digests, signer: signer.id, signature }
    i = j
  }
}

/** Statements about the pieces of a blob that is here whole and that nobody has stated, or others could not verify them. */
export async function statementsOfRest(blob: Blob, signer: Signer): Promise<Segment[]> {
  const { known } = blob.metainfo
  const unknown: { piece: number; digest: Uint8Array }[] = []
  for (let i = known.nextMissing(0); i < blob.layout.count; i = known.nextMissing(i + 1)) {
    const start = pieceStart(blob.layout, i)
    unknown.push({ piece: i, digest: pieceDigest(await blob.read({ start, end: start + pieceBytes(blob.layout, i) })) })
  }
  return [...signedSegments(blob, unknown, signer)]
}
