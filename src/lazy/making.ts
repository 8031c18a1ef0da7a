/**
 * The making of indexes on a seed: one job for a layer, whoever asks for it. Another seed may have it already, or be at
 * it; else the layer comes here whole, as through any swarm, and a process of its own reads it.
 */
import pLimit from 'p-limit'
import { type Clock, pause } from '../clock.ts'
import type { NodeId } from '../cluster/node-info.ts'
import { Failure, type FailureCode } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import { unlessAborted } from '../source/retry.ts'
import type { Location } from '../source/source.ts'
import type { Blob, BlobStore } from '../store/blob-store.ts'
import type { Transfer } from '../swarm/transfer.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { LayerFile, Maker } from './maker.ts'

/** As much of a swarm as it takes to have a blob here whole. */
export interface Fetching {
  fetch(
    location: Location,
    size?: number,
  ): Pick<Transfer, 'begun' | 'finished' | 'keep' | 'reader' | 'readerLeft' | 'meet'>
}

export interface MakingDeps {
  readonly store: Pick<BlobStore, 'find'>
  readonly swarm: Fetching
  readonly maker: Maker
  /** Layers that are read at once: each takes a processor. */
  readonly atOnce: number
  /** What a seed before this one has, or is at; brought here if it has it. */
  readonly elsewhere: (
    location: Location,
    not: readonly NodeId[],
    signal: AbortSignal,
  ) => Promise<'here' | Progress | undefined>
  /** This node reads it for others. */
  readonly ordered: (location: Location) => void
  /** A file of its own for each index that is being made. */
  readonly fileFor: (layer: Digest) => string
  /** Takes the file over. */
  readonly made: (location: Location, layer: LayerFile, file: string, diffId: Digest) => Promise<void>
  readonly cannot: (layer: Digest, reason: string) => void
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Pick<Metrics, 'layerIndexSeconds' | 'layerIndexesMade'>
}

/** Bytes that were gone through, of those that have to be: the layer comes, and is read. 0 of 0 before its size is known. */
export interface Progress {
  readonly done: number
  readonly total: number
}

interface Job {
  readonly progress: () => Progress
  readonly finished: Promise<void>
}

/** Layers that come for it at once. */
const bringing = 8
export const mostJobs = 256
/** Who asks again in that time is told how it failed. A host grows more slowly than a network mends. */
const failureKeptMs = (code: FailureCode) => (code === 'host-too-small' ? 3600_000 : 5000)
const lookMs = 1000
/** Another seed that gets no further for so long is not waited for. */
const stuckMs = 120_000
/** It is due to the layer, and will be so when it is tried again. The file of a layer that is `corrupt` is what it should be. */
const never: ReadonlySet<FailureCode> = new Set(['unsupported', 'too-large', 'corrupt'])

export class Making {
  readonly #d: MakingDeps
  readonly #jobs = new Map<Digest, Job>()
  readonly #failed = new Map<Digest, Failure>()
  readonly #bringing = pLimit(bringing)
  readonly #reading: ReturnType<typeof pLimit>
  readonly #stop = new AbortController()

  constructor(deps: MakingDeps) {
    this.#d = deps
    this.#reading = pLimit(deps.atOnce)
  }

  get busy(): boolean {
    return this.#jobs.size > 0
  }
  /** Layers whose indexes are being made. */
  under(): Iterable<readonly [Digest, Progress]> {
    return [...this.#jobs].map(([layer, { progress }]) => [layer, progress()] as const)
  }

  of(layer: Digest): Progress | undefined {
    return this.#jobs.get(layer)?.progress()
  }

  /** `not`: what these have made does not count. @throws {Failure} how it failed a moment ago; `too-many` */
  begin(
    location: Location,
    not: readonly NodeId[] = [],
  ): { readonly progress: Progress; readonly finished: Promise<void> } {
    const { digest } = location
    const running = this.#jobs.get(digest)
    if (running) return { progress: running.progress(), finished: running.finished }
    const failed = this.#failed.get(digest)
    if (failed) throw failed
    if (this.#stop.signal.aborted) throw new Failure('unavailable', 'this node is stopping')
    if (this.#jobs.size >= mostJobs) {
      throw new Failure('too-many', `${mostJobs} layers are waiting for their indexes: try again later`)
    }
    const state = { blob: undefined as Blob | undefined, read: 0 }
    const finished = this.#run(location, not, state).finally(() => this.#jobs.delete(digest))
    finished.catch((error: unknown) => this.#remember(digest, Failure.from(error)))
    const job: Job = { finished, progress: () => progressOf(state) }
    this.#jobs.set(digest, job)
    return { progress: job.progress(), finished }
  }

  /** What is under way ends. */
  async close(): Promise<void> {
    this.#stop.abort(new Failure('cancelled', 'this node is stopping'))
    await Promise.allSettled([...this.#jobs.values()].map(({ finished }) => finished))
  }

  async #run(
    location: Location,
    not: readonly NodeId[],
    state: { blob: Blob | undefined; read: number },
  ): Promise<void> {
    const { signal } = this.#stop
    if (await this.#hadElsewhere(location, not)) return
    const { clock, maker, log, metrics, made, cannot, fileFor } = this.#d
    const { digest } = location
    const file = fileFor(digest)
    for (let again = false; ; again = true) {
      const blob = await this.#bringing(() => this.#bring(location, state))
      const letGo = blob.hold()
      try {
        const layer = { digest, path: blob.path, size: blob.size }
        const read = (bytes: number) => {
          state.read = Math.min(Math.floor(bytes), blob.size)
        }
        const { diffId, seconds } = await this.#reading(async () => {
          const startedAt = clock.now()
          const diffId = await maker.make(layer, file, read, signal)
          return { diffId, seconds: (clock.now() - startedAt) / 1000 }
        })
        await made(location, layer, file, diffId)
        metrics.layerIndexSeconds.observe(seconds)
        metrics.layerIndexesMade.inc({ result: 'made' })
        log.info('the index of a layer was made', { layer: digest, bytes: blob.size, seconds })
        return
      } catch (error) {
        const failure = Failure.from(error)
        if (failure.code === 'corrupt' && !(await allRight(blob))) {
          if (!again) continue
          throw new Failure('unavailable', 'the disk does not keep the layer', { cause: failure })
        }
        const final = never.has(failure.code)
        if (final) cannot(digest, failure.message)
        if (failure.code !== 'cancelled') {
          metrics.layerIndexesMade.inc({ result: final ? 'cannot' : 'failed' })
          log.info('a layer has no index', { layer: digest, code: failure.code, reason: failure.message })
        }
        throw failure
      } finally {
        letGo()
      }
    }
  }

  /** Another seed has it, or had it when it was done. */
  async #hadElsewhere(location: Location, not: readonly NodeId[]): Promise<boolean> {
    const { clock, elsewhere } = this.#d
    let far = -1
    let movedAt = clock.now()
    for (;;) {
      const found = await elsewhere(location, not, this.#stop.signal)
      if (found === 'here') return true
      if (!found) return false
      if (found.done !== far) movedAt = clock.now()
      else if (clock.now() - movedAt > stuckMs) return false
      far = found.done
      await pause(clock, lookMs, this.#stop.signal)
    }
  }

  async #bring(location: Location, state: { blob: Blob | undefined; read: number }): Promise<Blob> {
    const { store, swarm, ordered } = this.#d
    const held = store.find(location.digest)
    state.blob = held
    if (held?.complete) return held
    ordered(location)
    const transfer = swarm.fetch(location)
    const letGo = transfer.keep()
    const { signal } = this.#stop
    try {
      state.blob = await unlessAborted(transfer.begun, signal)
      return await unlessAborted(transfer.finished, signal)
    } finally {
      letGo()
    }
  }

  #remember(layer: Digest, failure: Failure): void {
    this.#failed.set(layer, failure)
    this.#d.clock.after(failureKeptMs(failure.code), () => this.#failed.delete(layer))
  }
}

function progressOf({ blob, read }: { blob: Blob | undefined; read: number }): Progress {
  if (!blob) return { done: 0, total: 0 }
  const here = blob.complete ? blob.size : Math.min(blob.size, blob.have.count * blob.layout.pieceLength)
  return { done: here + read, total: 2 * blob.size }
}

/** False if the disk has not kept it; what is wrong is then missing. */
async function allRight(blob: Blob): Promise<boolean> {
  let right = true
  for (let piece = 0; piece < blob.layout.count && !blob.gone; piece++) {
    right = (await blob.check(piece).catch(() => false)) && right
  }
  return right && !blob.gone
}
