/**
 * The fetcher's half of a transfer: reads from the source what no parent can give, and settles what happens when the
 * source refuses, fails, or contradicts what others said of the blob.
 */
import type { Clock } from '../../clock.ts'
import type { NodeId } from '../../cluster/node-info.ts'
import { Failure } from '../../failure.ts'
import type { Digest } from '../../oci/digest.ts'
import { formatRepository } from '../../oci/reference.ts'
import type { Location, Source } from '../../source/source.ts'
import type { Blob, BlobStore } from '../../store/blob-store.ts'
import type { Log } from '../../telemetry/log.ts'
import type { Run } from '../download/aims.ts'
import type { DownloadEvent } from '../download/download.ts'
import type { Signer } from '../statements.ts'
import type { Fresh } from './fresh.ts'
import { Intake } from './intake.ts'
import type { Places } from './places.ts'
import { RangeFeed } from './range-feed.ts'
import { type FeedHost, SourceFeed } from './source-feed.ts'

export interface FeedingDeps {
  readonly source: Source
  readonly store: BlobStore
  readonly signer: Signer
  readonly clock: Clock
  readonly log: Log
}

export interface FeedingHost {
  blob(): Blob | undefined
  /** Where readers see what comes; there is one as soon as there is a blob. */
  fresh(): Fresh
  /** The source told the size. */
  begin(size: number, mediaType: string): void
  apply(event: DownloadEvent): void
  /** It begins, or is over for now. */
  running(running: boolean): void
  /** How many parents hold the piece. */
  availability(piece: number): number
  /** All of the blob is wanted. */
  whole(): boolean
  /** Pieces to read next because somebody waits for them and they come from nowhere else. */
  awaited(most: number, needed: (piece: number) => boolean): Run | undefined
  /** Somebody here reads it in order. */
  readInOrder(): boolean
  /** Another node was named to read it, and does: two that read the same make the source send it twice. */
  leftToOther(): boolean
  /** Some parent holds a piece that is missing here. */
  hopeful(): boolean
  stored(blob: Blob, piece: number, bytes: number): void
  /** These pieces may be offered to others. */
  stated(blob: Blob, pieces: readonly number[]): void
  /** The source had sent nothing for so long (ms), and does now. */
  heard(quiet: number): void
  /** The source says that the blob has another size than was said before. */
  sized(digest: Digest, size: number): void
  /** The source gives other bytes than those whose digest `signer` stated. */
  doubt(blob: Blob, signer: NodeId): void
  /** There is no use in going on. */
  failed(failure: Failure): void
}

/** For how long the stream of all of it waits, after each piece, for those who wait for a part. */
const turnMs = 100

export class Feeding {
  readonly #d: FeedingDeps
  readonly #places: Places
  readonly #host: FeedingHost
  /** Of the reading that goes on, or the last. */
  #abort = new AbortController()
  #closed = false
  #feed: SourceFeed | undefined
  #ranges: RangeFeed | undefined
  #wanted = Promise.withResolvers<void>()
  #running = false
  /** Asked for while the reading before it was being given up. */
  #again = false
  #startedAt = 0
  /** When the source last sent something of a part. */
  #rangedAt = 0
  #failure: Failure | undefined
  #told: number | undefined
  /** The source sends all of the blob, whatever part is asked for. */
  #sendsAll = false

  constructor(deps: FeedingDeps, places: Places, host: FeedingHost) {
    this.#d = deps
    this.#places = places
    this.#host = host
  }

  get running(): boolean {
    return this.#running
  }
  /** The source is to send something now; who reads parts of it alone may want nothing, or wait for what others claim. */
  get reading(): boolean {
    return this.#running && (this.#inOrder || this.#ranges?.busy !== false)
  }
  /** How the source failed the last time, if it did. */
  get failure(): Failure | undefined {
    return this.#failure
  }

  /** @param told the size that the blob is said to have, for where the source does not say it */
  start(told?: number): void {
    if (this.#closed) return
    this.#told ??= told
    if (this.#running) {
      this.#again = this.#abort.signal.aborted
      return
    }
    this.#abort = new AbortController()
    this.#running = true
    this.#again = false
    this.#startedAt = this.#d.clock.now()
    this.#failure = undefined
    this.#host.running(true)
    void this.#run(this.#abort.signal).finally(() => {
      this.#running = false
      this.#feed = undefined
      this.#ranges = undefined
      this.#host.running(false)
      if (this.#again) this.start()
    })
  }

  /** When the source last sent something, be it less than a piece. */
  get heardAt(): number {
    return Math.max(this.#feed?.heardAt ?? 0, this.#rangedAt)
  }

  /**
   * Gives up a reading that has brought nothing for so long. While the source is asked for the size there is none: that
   * costs it little, and if each node stopped asking when the next is named, a source that takes longer were never heard.
   */
  leave(quietMs: number): void {
    const heardAt = Math.max(this.#startedAt, this.heardAt)
    if (!this.#running || !this.#host.blob() || this.#d.clock.now() - heardAt < quietMs) return
    this.#again = false
    this.#abort.abort()
  }

  /** Something else is wanted now, or may be had elsewhere no longer. */
  look(): void {
    this.#ranges?.look()
    if (this.#inOrder) this.#wanted.resolve()
  }

  /** All of it is wanted, or nothing else is to be had. */
  get #inOrder(): boolean {
    return this.#host.whole() || this.#sendsAll
  }

  /** States at once what has been read and not been stated yet. */
  state(): void {
    this.#feed?.state()
  }

  close(): void {
    this.#closed = true
    this.#abort.abort()
  }

  async #run(signal: AbortSignal): Promise<void> {
    let contradicted: Failure | undefined
    for (;;) {
      const place = this.#places.current
      const failed = await this.#read(place, signal)
      if (!failed) return
      // What one place contradicts, another may confirm.
      if (failed.code === 'corrupt') contradicted ??= failed
      if (!failed.unkept && this.#places.failed(place)) continue
      const failure = failed.unkept ? failed : (contradicted ?? failed)
      this.#failure = failure
      if (failure.code === 'corrupt') await this.#startOver(failure)
      // While somebody else holds what is missing this is not the end.
      if (failure.unkept || failure.code === 'corrupt' || !this.#host.hopeful()) this.#host.failed(failure)
      return
    }
  }

  /** Resolves to why it has not all of what nobody else has. */
  async #read(location: Location, signal: AbortSignal): Promise<Failure | undefined> {
    const { source, log } = this.#d
    try {
      if (!this.#host.blob()) {
        const stat = await source.stat(location, signal, this.#told)
        if (!this.#host.blob() && !signal.aborted) this.#host.begin(stat.size, stat.mediaType)
      }
      const blob = this.#host.blob()
      if (!blob || signal.aborted) return undefined
      const host = {
        nextNeeded: (from: number) => this.#nextNeeded(blob, from),
        expecting: (from: number, to: number) => this.#host.apply({ type: 'feed', from, to }),
        stored: (piece: number, bytes: number) => this.#host.stored(blob, piece, bytes),
        stated: (pieces: readonly number[]) => this.#host.stated(blob, pieces),
        heard: (quiet: number) => this.#host.heard(quiet),
        turn: () => this.#turn(),
      }
      await this.#readAll(blob, location, host, signal)
      return undefined
    } catch (error) {
      if (signal.aborted) return undefined
      const failure = Failure.from(error)
      log.warn(failure.unkept ? 'what the source sends cannot be stored' : 'the source failed', {
        repository: formatRepository(location.repository),
        digest: location.digest,
        code: failure.code,
        error: failure.message,
      })
      return failure
    }
  }

  /** What somebody waits for first; and all of it in order, as soon as that is wanted. */
  async #readAll(blob: Blob, location: Location, host: FeedHost, signal: AbortSignal): Promise<void> {
    const { source, clock, signer } = this.#d
    const sentAll = () => {
      this.#sendsAll = true
      this.look()
    }
    const needs = (piece: number) => this.#isNeeded(blob, piece) && !ranges.isComing(piece)
    const intake = new Intake({ blob, signer, clock, host })
    const ranges = new RangeFeed({
      ...{ source, location, blob, clock, intake },
      host: {
        next: (most) => (this.#sendsAll ? undefined : this.#host.awaited(most, needs)),
        reading: (pieces) => this.#host.apply({ type: 'looking', pieces }),
        over: (piece, stored) => this.#host.apply({ type: stored ? 'stored' : 'rejected', piece }),
        heard: () => {
          this.#rangedAt = clock.now()
        },
        sentAll,
      },
    })
    const stop = new AbortController()
    const either = AbortSignal.any([signal, stop.signal])
    this.#ranges = ranges
    const fresh = this.#host.fresh()
    const feed = new SourceFeed({
      ...{ source, location, blob, clock, fresh, intake },
      host: { ...host, aside: ranges, sendsAll: () => this.#sendsAll, sentAll },
    })
    this.#feed = feed
    const inParts = ranges.run(either)
    const inOrder = this.#readInOrder(blob, feed, ranges, either)
    try {
      await Promise.race([inOrder, inParts])
    } finally {
      stop.abort()
      await Promise.allSettled([inOrder, inParts])
      feed.state()
    }
  }

  async #readInOrder(blob: Blob, feed: SourceFeed, ranges: RangeFeed, signal: AbortSignal): Promise<void> {
    if (!this.#inOrder) {
      this.#wanted = Promise.withResolvers()
      const { resolve, promise } = this.#wanted
      signal.addEventListener('abort', () => resolve(), { once: true })
      await feed.intake.stateHeld()
      await promise
    }
    while (!signal.aborted) {
      await feed.run(signal)
      if (!ranges.busy && this.#nextNeeded(blob, 0) >= blob.layout.count) return
      await ranges.settled()
    }
  }

  /** Who waits for a part goes first, unless somebody reads what comes in order as well; it never stops for long. */
  #turn(): Promise<void> | undefined {
    const ranges = this.#ranges
    if (!ranges?.busy || this.#host.readInOrder()) return undefined
    const late = Promise.withResolvers<void>()
    const cancel = this.#d.clock.after(turnMs, () => late.resolve())
    return Promise.race([ranges.settled(), late.promise]).finally(cancel)
  }

  /** The source contradicts what others said of the blob: nothing of that may outlive the transfer. */
  async #startOver(failure: Failure): Promise<void> {
    const blob = this.#host.blob()
    if (!blob) return
    const { piece, size } = failure.detail
    if (typeof size === 'number') this.#host.sized(blob.digest, size)
    // The source may be the one that is wrong. Nobody signs a size: who said it may have been told so.
    const signer = typeof piece === 'number' ? blob.metainfo.signerOf(piece) : undefined
    if (signer !== undefined) this.#host.doubt(blob, signer)
    await this.#d.store.remove(blob.digest)
  }

  #nextNeeded(blob: Blob, from: number): number {
    if (this.#host.leftToOther()) return blob.layout.count
    for (let i = blob.have.nextMissing(from); i < blob.layout.count; i = blob.have.nextMissing(i + 1)) {
      // Of a source that sends all of it no part will come by itself.
      if (this.#isNeeded(blob, i) && (this.#sendsAll || !this.#ranges?.isComing(i))) return i
    }
    return blob.layout.count
  }

  /** Nobody but the source has it. */
  #isNeeded(blob: Blob, piece: number): boolean {
    if (this.#host.leftToOther()) return false
    // What others hold but nobody states that we believe could not be verified.
    return this.#host.availability(piece) === 0 || !blob.metainfo.known.has(piece)
  }
}
