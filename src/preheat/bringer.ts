/**
 * Brings what this node was sent for: in the background, so that whatever an engine waits for goes first, a few blobs at a
 * time, each job in turn. It remembers no longer than the process lives: whoever sent it asks, and tells it again.
 */

import { type Clock, pause } from '../clock.ts'
import { Failure } from '../failure.ts'
import { lru } from '../lru.ts'
import type { Digest } from '../oci/digest.ts'
import { unlessAborted } from '../source/retry.ts'
import type { Location } from '../source/source.ts'
import type { Blob, BlobStore } from '../store/blob-store.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Errand, ErrandReply } from './errand.ts'
import type { Part } from './parts.ts'

export interface BringerOptions {
  readonly store: Pick<BlobStore, 'find' | 'pin' | 'unpin' | 'pins'>
  readonly swarm: {
    fetch(location: Location, size?: number): { readonly finished: Promise<Blob>; keep(): () => void }
    /** False while other nodes wait for it. */
    relinquish(digest: Digest): boolean
  }
  /** It comes here for somebody else than a client of this node. */
  readonly ordered: (location: Location) => void
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Pick<Metrics, 'preheatedBytes'>
}

/** Blobs on their way at once, of all errands. */
const atOnce = 4
/** Under way at once; so many are remembered too, with those that are over. */
export const mostErrands = 256
/** What nobody asked about for so long is forgotten once it is over, ms. */
const forgottenAfterMs = 600_000
/** Tries at a blob, and how long it waits before the next, ms. */
const mostTries = 4
const firstPauseMs = 1_000
/** Other nodes that were sent too hear a moment later that it is over. */
const relinquishTries = 15
const relinquishEveryMs = 1_000

interface Running {
  readonly job: string
  readonly parts: readonly Part[]
  readonly total: number
  readonly stop: AbortController
  readonly startedAt: number
  /** Indexes of parts that nobody has taken yet are from here on. */
  next: number
  left: number
  failure: Failure | undefined
  askedAt: number
}

export class Bringer {
  readonly #o: BringerOptions
  /** In the order in which they get their turn. */
  readonly #errands = new Map<string, Running>()
  /** A list that was sent before, and comes after the word that it is over, begins nothing. */
  readonly #cancelled = lru<string, true>(4096)
  #bringing = 0

  constructor(options: BringerOptions) {
    this.#o = options
  }

  /** @throws {Failure} `too-many` */
  answer({ job, content, until, over }: Errand): ErrandReply {
    this.#forget()
    if (over) return this.#leave(job)
    if (this.#cancelled.get(job)) return { state: 'cancelled', bytes: 0, total: 0 }
    let errand = this.#errands.get(job)
    const begins = content && (!errand || (errand.left === 0 && errand.failure))
    if (begins) {
      const parts = content.flatMap(({ repository, parts }) =>
        parts.map(({ kind, digest, size }) => ({ location: { repository, kind, digest }, size })),
      )
      errand = this.#begin(job, parts, until)
    }
    if (!errand) return { state: 'unknown', bytes: 0, total: 0 }
    errand.askedAt = this.#o.clock.now()
    return this.#describe(errand)
  }

  close(): void {
    for (const { stop } of this.#errands.values()) stop.abort()
    this.#errands.clear()
  }

  #begin(job: string, parts: readonly Part[], until: number | undefined): Running {
    const { clock, log, store, ordered } = this.#o
    this.#makeRoom()
    for (const { location } of parts) {
      ordered(location)
      if (until !== undefined) store.pin({ digest: location.digest, reason: job, until })
    }
    const now = clock.now()
    const errand: Running = {
      job,
      parts,
      total: parts.reduce((sum, { size }) => sum + size, 0),
      stop: new AbortController(),
      startedAt: now,
      next: 0,
      left: parts.length,
      failure: undefined,
      askedAt: now,
    }
    this.#errands.set(job, errand)
    const missing = parts.filter(({ location }) => !store.find(location.digest)?.complete)
    log.info('content is brought for a preheat', { job, blobs: parts.length, missing: missing.length })
    this.#pump()
    return errand
  }

  /** Those that are there cost nothing; the others take turns, one blob of each errand after the other. */
  #pump(): void {
    for (let errand = this.#nextErrand(); errand && this.#bringing < atOnce; errand = this.#nextErrand()) {
      const part = errand.parts[errand.next++]!
      this.#errands.delete(errand.job)
      this.#errands.set(errand.job, errand)
      if (this.#o.store.find(part.location.digest)?.complete) this.#settled(errand, undefined)
      else void this.#bring(errand, part)
    }
  }

  #nextErrand(): Running | undefined {
    for (const errand of this.#errands.values()) if (errand.next < errand.parts.length) return errand
  }

  async #bring(errand: Running, part: Part): Promise<void> {
    this.#bringing++
    const failure = await this.#tryAll(errand, part).then(() => undefined, Failure.from)
    this.#bringing--
    this.#settled(errand, failure)
    this.#pump()
  }

  async #tryAll({ stop: { signal } }: Running, { location, size }: Part): Promise<void> {
    const { swarm, clock, store, metrics } = this.#o
    const before = bytesOf(store.find(location.digest))
    for (let tried = 1; ; tried++) {
      const transfer = swarm.fetch(location, size)
      const letGo = transfer.keep()
      try {
        await unlessAborted(transfer.finished, signal)
        metrics.preheatedBytes.inc(Math.max(0, size - before))
        return
      } catch (error) {
        const failure = Failure.from(error)
        if (signal.aborted || !failure.retry || tried === mostTries) throw failure
        await pause(clock, firstPauseMs * 2 ** (tried - 1), signal)
      } finally {
        letGo()
      }
    }
  }

  #settled(errand: Running, failure: Failure | undefined): void {
    errand.left--
    errand.failure ??= failure
    if (errand.left > 0 || errand.stop.signal.aborted) return
    const { log, clock } = this.#o
    const { job, total, failure: first } = errand
    const seconds = Math.round(clock.now() - errand.startedAt) / 1000
    if (first) log.warn('content of a preheat did not come', { job, code: first.code, error: first.message })
    else log.info('content of a preheat is here', { job, bytes: total, seconds })
  }

  #leave(job: string): ErrandReply {
    const { store, log } = this.#o
    const errand = this.#errands.get(job)
    this.#cancelled.set(job, true)
    const pins = store.pins().filter(({ reason }) => reason === job)
    for (const { digest } of pins) store.unpin(digest, job)
    if (!errand) return { state: 'cancelled', bytes: 0, total: 0 }
    const reply = this.#describe(errand)
    this.#errands.delete(job)
    errand.stop.abort()
    log.info('content of a preheat is not wanted any more', { job, bytes: reply.bytes, of: reply.total })
    this.#relinquish(
      errand.parts.map(({ location }) => location.digest),
      relinquishTries,
    )
    return { ...reply, state: 'cancelled' }
  }

  /** Once whoever kept it has let go of it. What other nodes wait for goes on, as long as they do. */
  #relinquish(digests: readonly Digest[], tries: number): void {
    const { swarm, clock } = this.#o
    clock.after(0, () => {
      const wanted = digests.filter((digest) => !swarm.relinquish(digest))
      if (wanted.length > 0 && tries > 1) clock.after(relinquishEveryMs, () => this.#relinquish(wanted, tries - 1))
    })
  }

  #describe(errand: Running): ErrandReply {
    const { total, parts, left, failure } = errand
    // Beyond what a manifest says there may be more of a blob here, where the manifest is wrong.
    const bytes = parts.reduce(
      (sum, { location, size }) => sum + Math.min(size, bytesOf(this.#o.store.find(location.digest))),
      0,
    )
    if (left > 0) return { state: 'running', bytes, total }
    if (!failure) return { state: 'done', bytes: total, total }
    return { state: 'failed', bytes, total, code: failure.code, message: failure.message.slice(0, 500) }
  }

  /**
   * Those that are over go, whom nobody asked about for longest first: whoever asks still tells it again, and what is
   * here costs nothing. @throws {Failure} `too-many` when all are under way
   */
  #makeRoom(): void {
    const all = [...this.#errands.values()]
    const over = all.filter(({ left }) => left === 0).sort((a, b) => a.askedAt - b.askedAt)
    if (all.length - over.length >= mostErrands) {
      throw new Failure('too-many', `this node is on ${mostErrands} errands for preheats, and takes more as they end`)
    }
    for (const { job } of over.slice(0, Math.max(0, all.length + 1 - mostErrands))) this.#errands.delete(job)
  }

  #forget(): void {
    const now = this.#o.clock.now()
    for (const { job, left, askedAt } of this.#errands.values()) {
      if (left === 0 && now - askedAt > forgottenAfterMs) this.#errands.delete(job)
    }
  }
}

function bytesOf(blob: Blob | undefined): number {
  if (!blob || blob.complete) return blob?.size ?? 0
  return Math.min(blob.size, blob.have.count * blob.layout.pieceLength)
}
