/**
 * Reads from the source what the swarm does not have, piece by piece. The node that does this for a blob is its fetcher:
 * it states the digest of each piece it reads and signs the statement, so that the others can verify what they get from
 * whomever.
 *
 * The source is one long answer, read in order. Runs of pieces that are here or at a parent already are skipped by asking
 * anew from behind them; short runs are read and thrown away, which is cheaper than another request. So are all of them where
 * the source begins anew with each request.
 */
import type { Clock } from '../../clock.ts'
import { Failure } from '../../failure.ts'
import { type Layout, pieceStart } from '../../piece/layout.ts'
import type { Location, Source } from '../../source/source.ts'
import type { Blob } from '../../store/blob-store.ts'
import type { Filling, Fresh } from './fresh.ts'
import type { Intake, IntakeHost } from './intake.ts'

export interface FeedHost extends IntakeHost {
  /** First piece at or after `from` that has to come from the source; `count` if none. */
  nextNeeded(from: number): number
  /** Pieces from `from` up to `to` are about to come, or have come and are not stored yet. */
  expecting(from: number, to: number): void
  /** The source had sent nothing for so long (ms), and does now. */
  heard(quiet: number): void
  /** Pieces that the source has sent, or is sending, because somebody waits for a part: it is not to send them once more. */
  readonly aside?: { readonly any: boolean; has(piece: number): boolean }
  /** The source sends all of it, whatever part is asked for: one answer is to serve all. */
  sendsAll?(): boolean
  /** That has been seen of it. */
  sentAll?(): void
  /** Whoever waits for a part goes first: the next piece is read when this resolves. */
  turn?(): Promise<void> | undefined
}

export interface FeedOptions {
  readonly source: Source
  readonly location: Location
  readonly blob: Blob
  readonly clock: Clock
  /** Where all goes that the source sends, be it in order or in parts. */
  readonly intake: Intake
  readonly host: FeedHost
  /** Where readers see what comes before it is stored. */
  readonly fresh: Fresh
}

/**
 * So many bytes that are not needed are skipped by a new request. Whoever takes over from a reader that ended finds
 * gaps everywhere in what others hold, and must not read their half of the blob again to fill them.
 */
const skipBytes = 2 * 1024 * 1024
/**
 * Where some wait for parts the source is asked for so much at a time, up to what it has sent already: what is on its way
 * is sent twice otherwise, when a part of it is asked for.
 */
const stretchBytes = 16 * 1024 * 1024
/** How many pieces ahead of the source's position nobody else is asked for. */
const aheadPieces = 4

export class SourceFeed {
  readonly #o: FeedOptions
  readonly #layout: Layout
  readonly intake: Intake
  /** Pieces that have come in order and are on their way to the disk. */
  readonly #writing = new Set<number>()
  #heardAt: number

  constructor(options: FeedOptions) {
    this.#o = options
    this.#layout = options.blob.layout
    this.intake = options.intake
    this.#heardAt = options.clock.now()
  }

  /** When the source last sent something, be it less than a piece. */
  get heardAt(): number {
    return this.#heardAt
  }

  /** Runs until nothing is needed from the source any more. @throws {Failure} what the source said */
  async run(signal: AbortSignal): Promise<void> {
    try {
      await this.intake.stateHeld()
      let from = this.#o.host.nextNeeded(0)
      while (from < this.#layout.count && !signal.aborted) {
        const next = await this.#stream(from, signal)
        await this.intake.settle(0)
        // Meanwhile it may have been asked for by who waits for a part.
        from = next < this.#layout.count ? this.#o.host.nextNeeded(next) : next
        if (from >= this.#layout.count) from = this.#o.host.nextNeeded(0)
      }
    } finally {
      await this.intake.settle(0).catch(() => {})
      this.intake.state()
      this.#o.host.expecting(0, 0)
    }
  }

  /** Reads on from piece `first`; returns the piece from which to go on with a new request, `count` if there is none. */
  async #stream(first: number, signal: AbortSignal): Promise<number> {
    const { source, location, blob } = this.#o
    const layout = this.#layout
    const stop = new AbortController()
    try {
      const last = this.#before(first)
      const end = last < layout.count ? pieceStart(layout, last) : undefined
      const either = AbortSignal.any([signal, stop.signal])
      const answer = await source.open(location, pieceStart(layout, first), either, end)
      if (answer.size !== layout.size) {
        throw new Failure(
          'corrupt',
          `the source says ${blob.digest} has ${answer.size} bytes, ${layout.size} were expected`,
          { detail: { size: answer.size } },
        )
      }
      if (answer.ranged === false) this.#o.host.sentAll?.()
      return await this.#read(answer.body, first, answer.ranged === false ? layout.count : last, signal)
    } finally {
      // Whatever is still on its way is not wanted.
      stop.abort()
    }
  }

  get #sendsAll(): boolean {
    return this.#o.host.sendsAll?.() ?? false
  }

  /** The first piece after `first` that the source is not to send in order; `count` if none. */
  #before(first: number): number {
    const { aside } = this.#o.host
    const { count, pieceLength } = this.#layout
    if (!aside?.any || this.#sendsAll) return count
    const end = Math.min(count, first + Math.ceil(stretchBytes / pieceLength))
    let piece = first + 1
    while (piece < end && !aside.has(piece)) piece++
    return piece
  }

  /** @param last the source was not asked for pieces from here on */
  async #read(body: AsyncIterable<Uint8Array>, first: number, last: number, signal: AbortSignal): Promise<number> {
    const { blob, host, fresh } = this.#o
    const layout = this.#layout
    let piece = first
    let filling: Filling | undefined
    this.#expect(piece)
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
          if (needed >= layout.count) return needed
          if (!this.#sendsAll && (needed - piece) * layout.pieceLength > skipBytes) return needed
          if (piece === last) return needed
          // It was asked for all there is: once, and from now on for less at a time.
          if (last === layout.count && needed > piece && this.#before(piece - 1) < needed) return needed
          this.#expect(piece)
          await host.turn?.()
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

  /** The source is at that piece; what it has sent before is not to be asked for once more while the disk takes its time. */
  #expect(piece: number): void {
    this.#o.host.expecting(Math.min(piece, ...this.#writing), piece + aheadPieces)
  }

  async #take(filling: Filling): Promise<void> {
    const { fresh } = this.#o
    this.#writing.add(filling.piece)
    await this.intake.take(filling.piece, filling.bytes, (stored) => {
      this.#writing.delete(filling.piece)
      if (stored) fresh.stored(filling)
      else fresh.abandon(filling)
    })
  }

  /** States at once what was read so far: before others are believed about pieces that this node has read itself. */
  state(): void {
    this.intake.state()
  }
}
