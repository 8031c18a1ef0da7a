/**
 * What is done for a mounted layer that nobody asks for: what starts read first is brought once layers are open, the rest when
 * it is quiet, and what this start read first is told to the cluster.
 */
import { setImmediate } from 'node:timers/promises'
import { type Clock, pause } from '../../clock.ts'
import { Failure } from '../../failure.ts'
import { untilAborted } from './fetching.ts'
import type { Layer } from './layer.ts'
import { type Blob, mostReads, type NodeClient } from './node-client.ts'
import { firstReads, isStart, nextStretch } from './order.ts'
import type { Traffic } from './traffic.ts'

/**
 * Asked for as one range, unpacked. The node brings what it was asked for as fast as it can, and a process that starts in
 * between waits for that: at 100 Mbit/s a quarter of a second.
 */
const stretchBytes = 8 * 1024 * 1024
/** Chunks that are here are fetched in vain rather than beginning another range, if they are fewer than this. */
const hereBytes = 256 * 1024
/** What is read later than this after a mount is not its start, ms. */
const startMs = 30_000
/** Hashed or copied before others have a turn. */
const pauseBytes = 1024 * 1024
const firstPauseMs = 1000
const longestPauseMs = 30_000
/** For a question that nobody waits for, ms. */
const askMs = 10_000

export interface TendingOptions {
  readonly layer: Layer
  readonly client: NodeClient
  readonly blob: Blob
  readonly clock: Clock
  readonly traffic: Traffic
  /** Resolves when it is known what there is of other layers. */
  readonly known: Promise<void>
  /** What is read now is read by a process that starts. */
  readonly start: boolean
  /** Whether there is room for what nobody has asked for. */
  readonly roomy: () => boolean
}

export class Tending {
  readonly #o: TendingOptions
  readonly #ended = new AbortController()
  readonly #telling: Promise<void> | undefined
  #whole = false
  #bringing: Promise<void> | undefined

  constructor(options: TendingOptions) {
    this.#o = options
    if (options.start) this.#telling = this.#quietly(this.#tellStart())
  }

  /** Brings all of it from now on, what starts read first before the rest. */
  bringAll(): void {
    if (this.#whole) return
    this.#whole = true
    this.#bring(this.#quietly(this.#early()))
  }

  /** Something was lost: where all was to be brought, that is too. */
  goOn(): void {
    if (this.#whole) this.#bring(this.#bringing)
  }

  /** Resolves when nothing of it runs any more. */
  async end(): Promise<void> {
    this.#ended.abort(new Failure('cancelled', 'the layer is not mounted any more'))
    await Promise.all([this.#telling, this.#bringing])
  }

  #bring(before: Promise<void> | undefined): void {
    this.#bringing = Promise.resolve(before).then(() => this.#quietly(this.#all()))
  }

  async #early(): Promise<void> {
    const { layer, client, blob, traffic } = this.#o
    if (layer.holdings.complete) return
    // Of no layer the rest goes before what the start reads of another.
    await traffic.demand(async () => {
      const reads = await client.reads(blob, within(this.#ended.signal))
      // The index of another layer would come later for it, and nothing starts before that is here.
      await traffic.opened(this.#ended.signal)
      const wanted = firstReads(reads, layer.holdings).filter((chunk) => !layer.lending.borrow(chunk))
      await layer.fetching.early(wanted, this.#ended.signal)
    })
  }

  /** Until all of it is here, verified and, where that costs little, in its own file. */
  async #all(): Promise<void> {
    const { layer, known, roomy } = this.#o
    await untilAborted(known, this.#ended.signal)
    do {
      await this.#fetch()
      await this.#eachQuietly(layer.unverified(), (chunk) => layer.own(chunk))
      if (!layer.holdings.complete) continue
      await layer.check(this.#ended.signal)
      if (roomy() && layer.lending.isLittle)
        await this.#eachQuietly(layer.holdings.lent.indexes(), (chunk) => layer.lending.takeOver(chunk))
      // Where another layer turned out not to have what it lent, that is still to come.
    } while (!layer.holdings.complete)
  }

  async #eachQuietly(chunks: Iterable<number>, task: (chunk: number) => Promise<unknown>): Promise<void> {
    const { layer, traffic } = this.#o
    let bytes = 0
    for (const chunk of [...chunks]) {
      this.#ended.signal.throwIfAborted()
      await task(chunk)
      bytes += layer.shape.table.length(chunk)
      if (bytes < pauseBytes) continue
      bytes = 0
      if (traffic.busy) await traffic.quiet(this.#ended.signal)
      await setImmediate()
    }
  }

  async #fetch(): Promise<void> {
    const { layer, clock, traffic, roomy } = this.#o
    const { signal } = this.#ended
    let failed = 0
    let from = 0
    while (!layer.holdings.complete) {
      const stretch = nextStretch(layer.holdings, from, stretchBytes, hereBytes)
      const missing = distinct(layer, stretch).filter((chunk) => !layer.lending.borrow(chunk))
      from = (stretch.at(-1) ?? -1) + 1
      if (stretch.length === 0 && layer.holdings.nextMissing(0) < layer.shape.table.count) from = 0
      if (missing.length === 0 && stretch.length > 0) continue
      try {
        if (!roomy()) throw new Failure('no-space', 'there is no room for what nobody has read yet')
        const { here } = layer.holdings
        await traffic.background(signal, () => layer.fetching.stream(missing, signal))
        if (missing.length === 0 || layer.holdings.here > here) failed = 0
        // The disk took nothing of it, which is told, or it is on its way already: asked for at once it would come again.
        else {
          await pause(clock, Math.min(longestPauseMs, firstPauseMs * 2 ** failed++), signal)
          await layer.keeping.again()
        }
      } catch (error) {
        signal.throwIfAborted()
        layer.troubles.tell(Failure.from(error).message)
        // What cannot be had does not keep what is behind it from coming, but it is asked for again.
        await pause(clock, Math.min(longestPauseMs, firstPauseMs * 2 ** failed++), signal)
      }
    }
  }

  /** Once it is over: what was read and had to come, in the order in which it was first asked for. */
  async #tellStart(): Promise<void> {
    const { layer, client, blob, clock } = this.#o
    const reads = new Set<number>()
    layer.missed = (chunk) => {
      if (reads.size < mostReads) reads.add(chunk)
    }
    await pause(clock, startMs, this.#ended.signal).catch(() => {})
    layer.missed = undefined
    if (!isStart([...reads], layer.shape.table)) return
    await client.tellReads(blob, [...reads], AbortSignal.timeout(askMs))
  }

  /** None of this is worth an end: what is missing is fetched when it is read. */
  async #quietly(work: Promise<void>): Promise<void> {
    try {
      await work
    } catch (error) {
      if (!this.#ended.signal.aborted) this.#o.layer.troubles.tell(Failure.from(error).message)
    }
  }
}

function within(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(askMs)])
}

/** Of equal chunks the first: the others have it from there. */
function distinct(layer: Layer, chunks: readonly number[]): number[] {
  const seen = new Set<string>()
  return chunks.filter((chunk) => {
    const digest = Buffer.from(layer.digest(chunk)).toString('latin1')
    if (seen.has(digest)) return false
    seen.add(digest)
    return true
  })
}
