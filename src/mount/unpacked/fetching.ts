/**
 * Brings missing chunks of one layer from the node: what is wanted at one moment is asked for in as few runs as it can be,
 * what somebody waits for is brought by itself where a long run would come to it late, and whoever wants what is already
 * on its way waits for that.
 *
 * A chunk that is not what it should be is asked for once more, from elsewhere. A node that does not answer is asked again
 * for as long as somebody waits.
 */
import pLimit from 'p-limit'
import type { Clock } from '../../clock.ts'
import { Failure } from '../../failure.ts'
import { shortDigest } from '../../oci/digest.ts'
import type { Compression } from '../../zran/points.ts'
import { type Resumed, resume } from '../../zran/resume.ts'
import { spanOf } from '../../zran/span.ts'
import { ChunkCutter, type Cuts, type Head } from './chunk-cutter.ts'
import type { GapFile } from './gap-file.ts'
import type { Holdings } from './holdings.ts'
import type { Keeping } from './keeping.ts'
import type { Blob, NodeClient } from './node-client.ts'
import { type Compressed, type Merging, type Run, runsOf } from './runs.ts'
import type { Traffic } from './traffic.ts'

/** Runs at once that somebody waits for. What comes then is asked for when one ends, in fewer and longer ones. */
const mostDemandRuns = 16
/** Headers and padding lie between the chunks of a layer that is not compressed. */
const demandMerging: Merging = { gap: 16 * 1024, most: 4 * 1024 * 1024 }
const streamMerging: Merging = { gap: 16 * 1024, most: Number.POSITIVE_INFINITY }
/** Of what starts read first: in big ranges, several at once. */
const earlyMerging: Merging = { gap: 32 * 1024, most: 2 * 1024 * 1024 }
const mostEarlyRuns = 6
const firstPauseMs = 100
const longestPauseMs = 2000
/** Heads of chunks that are kept for the runs behind; a chunk is a quarter of a megabyte at most. */
const mostHeads = 32

export interface FetchingOptions extends Compressed {
  readonly compression: Compression
  readonly client: () => NodeClient
  readonly blob: () => Blob
  readonly holdings: Holdings
  readonly keeping: Keeping
  readonly gaps: GapFile
  readonly traffic: Traffic
  readonly clock: Clock
  /** The same bytes are kept somewhere else, and need not be kept again. */
  readonly equal: (chunk: number) => boolean
  /** So many compressed bytes came. */
  readonly came: (bytes: number) => void
  readonly trouble: (sentence: string) => void
}

/** A chunk that somebody waits for. */
interface Wanted {
  /** Nothing where it has come in another way: it is here then. */
  readonly promise: Promise<Uint8Array | undefined>
  readonly resolve: (bytes: Uint8Array | undefined) => void
  readonly reject: (error: unknown) => void
  waiters: number
  /** Nobody waits for it yet, but it is to come with what is read now. */
  ahead: boolean
  /** How often it came and was wrong. */
  wrong: number
  /** A run is under way that brings it. */
  asked: boolean
}

/**
 * Why a run is asked for. Nobody waits for the two others: the node brings them after what somebody waits for, so who comes
 * to wait for something in them asks for that by itself.
 */
type Purpose =
  | 'demand'
  /** It is about to be read. */
  | 'early'
  /** It stops while somebody waits for anything else. */
  | 'background'

class Flight {
  readonly run: Run
  /** All that is missing and will come out of it, asked for or not. */
  readonly chunks: readonly number[]
  readonly purpose: Purpose
  readonly landed: Promise<void>
  readonly land: () => void

  constructor(run: Run, chunks: readonly number[], purpose: Purpose) {
    this.run = run
    this.chunks = chunks
    this.purpose = purpose
    const { promise, resolve } = Promise.withResolvers<void>()
    this.landed = promise
    this.land = resolve
  }
}

export class Fetching {
  readonly #o: FetchingOptions
  readonly #wanted = new Map<number, Wanted>()
  /** Chunks on their way, and with which run. */
  readonly #flying = new Map<number, Flight>()
  readonly #flights = new Set<Flight>()
  readonly #heads = new Map<number, Head>()
  /** Until what came of each is written. */
  readonly #bringing = new Set<Promise<unknown>>()
  #ended = new AbortController()
  #runs = 0
  /** Runs in a row that brought nothing; those under way at once count as one. */
  #failed = 0
  #failedAt = 0
  #dispatching: (() => void) | undefined

  constructor(options: FetchingOptions) {
    this.#o = options
  }

  /**
   * A missing chunk; nothing when it has come in another way meanwhile.
   * @throws {Failure} `corrupt` when all there is of it is wrong; the signal's reason when it did not come before
   */
  async chunk(chunk: number, signal: AbortSignal): Promise<Uint8Array | undefined> {
    signal.throwIfAborted()
    const wanted = this.#want(chunk)
    wanted.waiters++
    try {
      return await untilAborted(wanted.promise, signal)
    } finally {
      wanted.waiters--
    }
  }

  /** Place in the layer up to which bytes come when those from `start` to before `end` are asked for. */
  reach(start: number, end: number): number {
    const { points, table, compressedSize } = this.#o
    return spanOf(points, { size: table.size, compressedSize }, start, end).until
  }

  /** Nobody waits for these yet, but they are to come with what is asked for now. */
  along(chunks: readonly number[]): void {
    for (const chunk of chunks) if (!this.#flying.has(chunk)) this.#want(chunk).ahead = true
  }

  /** Brings these in one stream that gives way to what somebody waits for. @throws {Failure} */
  async stream(chunks: readonly number[], signal: AbortSignal): Promise<void> {
    for (const run of this.#runsFor(chunks, streamMerging)) await this.#unasked(run, 'background', signal)
  }

  /** Brings these at once, for they are about to be read, in this order as far as it goes. @throws {Failure} */
  async early(chunks: readonly number[], signal: AbortSignal): Promise<void> {
    const turn = pLimit(mostEarlyRuns)
    const places = new Map(chunks.map((chunk, place) => [chunk, place]))
    const first = (run: Run) =>
      run.chunks.reduce((least, chunk) => Math.min(least, places.get(chunk) ?? least), chunks.length)
    const ascending = [...chunks].sort((a, b) => a - b)
    const runs = this.#runsFor(ascending, earlyMerging).sort((a, b) => first(a) - first(b))
    await Promise.all(runs.map((run) => turn(() => this.#unasked(run, 'early', signal))))
  }

  /** Ends what somebody waits for. Resolves when all that came is written; what is asked for after that comes again. */
  async rest(): Promise<void> {
    const reason = new Failure('cancelled', 'the layer is not mounted any more')
    const ended = this.#ended
    this.#ended = new AbortController()
    this.#dispatching?.()
    this.#dispatching = undefined
    for (const wanted of this.#wanted.values()) wanted.reject(reason)
    this.#wanted.clear()
    ended.abort(reason)
    await Promise.allSettled(this.#bringing)
  }

  #want(chunk: number): Wanted {
    let wanted = this.#wanted.get(chunk)
    if (!wanted) {
      const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | undefined>()
      // Whoever waited may have left.
      promise.catch(() => {})
      wanted = { promise, resolve, reject, waiters: 0, ahead: false, wrong: 0, asked: this.#comes(chunk) }
      this.#wanted.set(chunk, wanted)
    }
    if (!wanted.asked) this.#dispatchSoon()
    return wanted
  }

  #comes(chunk: number): boolean {
    return this.#flying.get(chunk)?.purpose === 'demand'
  }

  /** What is wanted by the time that this thread has nothing else to do goes together. */
  #dispatchSoon(): void {
    if (this.#dispatching || this.#runs >= mostDemandRuns) return
    const wait = this.#failed === 0 ? 0 : Math.min(longestPauseMs, firstPauseMs * 2 ** (this.#failed - 1))
    const cancel = this.#o.clock.after(wait, () => {
      this.#dispatching = undefined
      this.#dispatch()
    })
    this.#dispatching = cancel
  }

  #dispatch(): void {
    const asked: number[] = []
    const again: number[] = []
    for (const [chunk, wanted] of this.#wanted) {
      if (wanted.asked) continue
      if (wanted.waiters === 0 && !wanted.ahead) this.#wanted.delete(chunk)
      else (wanted.wrong > 0 ? again : asked).push(chunk)
    }
    const ascending = (chunks: number[]) => chunks.sort((a, b) => a - b)
    const runs = runsOf(ascending(asked), this.#o, demandMerging, (chunk) => this.#from(chunk, 'demand'))
    const freshRuns = runsOf(ascending(again), this.#o, demandMerging)
    for (const [list, fresh] of [
      [runs, false],
      [freshRuns, true],
    ] as const) {
      for (const run of list) if (this.#runs < mostDemandRuns) void this.#demand(run, fresh)
    }
  }

  async #demand(run: Run, fresh: boolean): Promise<void> {
    const { signal } = this.#ended
    this.#runs++
    const flight = this.#flight(run, 'demand')
    try {
      await this.#o.traffic.demand(() => this.#bring(flight, fresh, signal))
      this.#failed = 0
    } catch (error) {
      if (!signal.aborted) this.#fail(run, error)
    } finally {
      this.#runs--
      if (this.#wanted.size > 0) this.#dispatchSoon()
    }
  }

  #runsFor(chunks: readonly number[], merging: Merging): Run[] {
    const missing = chunks.filter((chunk) => !this.#o.holdings.has(chunk) && !this.#flying.has(chunk))
    return runsOf(missing, this.#o, merging, (chunk) => this.#from(chunk, 'background'))
  }

  async #unasked(run: Run, purpose: Purpose, signal: AbortSignal): Promise<void> {
    const wrong = await this.#bring(this.#flight(run, purpose), false, signal)
    for (const chunk of wrong) await this.#again(chunk, purpose, signal)
  }

  /** It came, and was wrong. */
  #count(chunk: number): void {
    this.#heads.delete(chunk)
    const wanted = this.#wanted.get(chunk)
    if (!wanted || ++wanted.wrong < 2) return
    this.#wanted.delete(chunk)
    wanted.reject(new Failure('corrupt', this.#wrongTwice(chunk)))
  }

  #wrongTwice(chunk: number): string {
    const { table, blob } = this.#o
    const sentence = `bytes ${table.start(chunk)} to ${table.end(chunk)} of ${shortDigest(blob().digest)} are not what its index says, twice`
    this.#o.trouble(sentence)
    return sentence
  }

  #fail(run: Run, error: unknown): void {
    const failure = Failure.from(error)
    this.#o.trouble(failure.message)
    const now = this.#o.clock.now()
    if (now - this.#failedAt >= firstPauseMs) this.#failed++
    this.#failedAt = now
    for (const chunk of run.chunks) {
      const wanted = this.#wanted.get(chunk)
      if (wanted) wanted.ahead = false
    }
    if (failure.retry && failure.code !== 'corrupt') return
    for (const chunk of run.chunks) {
      this.#wanted.get(chunk)?.reject(failure)
      this.#wanted.delete(chunk)
    }
  }

  /** One more try for a chunk that came wrong in a run that nobody waits for. */
  async #again(chunk: number, purpose: Purpose, signal: AbortSignal): Promise<void> {
    for (const run of runsOf([chunk], this.#o, streamMerging)) {
      const wrong = await this.#bring(this.#flight(run, purpose), true, signal)
      if (wrong.length > 0) throw new Failure('corrupt', this.#wrongTwice(chunk))
    }
  }

  /** @returns the chunks of the run that came and were wrong. @throws {Failure} when the run broke off */
  async #bring(flight: Flight, fresh: boolean, signal: AbortSignal): Promise<number[]> {
    const brought = this.#carryOut(flight, fresh, signal)
    this.#bringing.add(brought)
    try {
      return await brought
    } finally {
      this.#bringing.delete(brought)
    }
  }

  async #carryOut(flight: Flight, fresh: boolean, signal: AbortSignal): Promise<number[]> {
    const { run, purpose } = flight
    const { table, compression, points, compressedSize, keeping, traffic } = this.#o
    const missing = new Set(run.chunks)
    const before = this.#flightBefore(flight)
    const batch = keeping.batch()
    const gaps = this.#o.gaps.writer()
    const cuts: Cuts = {
      wanted: (chunk) => !this.#isHere(chunk),
      good: (chunk, bytes) => {
        missing.delete(chunk)
        this.#came(chunk, this.#o.equal(chunk) ? bytes.slice() : batch.add(chunk, bytes))
      },
      wrong: () => {},
      gap: (at, bytes) => gaps.add(table.gapBytesUpTo(at), bytes),
    }
    let cutter: ChunkCutter | undefined
    const range = { from: run.from, to: run.to, size: compressedSize }
    try {
      using unpacking = resume({ compression, points }, run, (_, bytes) => {
        cutter?.push(bytes)
      })
      for await (const bytes of this.#o
        .client()
        .range(this.#o.blob(), range, { fresh, patient: purpose !== 'demand', signal })) {
        this.#o.came(bytes.length)
        if (!cutter) {
          // It was asked for at once, but what it begins with is the rest of a chunk that the one before begins.
          await before?.landed
          cutter = new ChunkCutter(table, run.at, cuts, this.#headAt(run.at))
          if (cutter.behindStart) missing.delete(table.after(run.at))
        }
        if (!push(unpacking, bytes)) break
        await batch.room()
        if (purpose === 'background' && traffic.busy) await traffic.quiet(signal)
      }
      this.#keepHead(cutter?.head())
      for (const chunk of missing) if (!this.#isHere(chunk)) this.#count(chunk)
    } finally {
      this.#landed(flight)
      await Promise.all([batch.end(), gaps.end()])
    }
    return [...missing].filter((chunk) => !this.#isHere(chunk))
  }

  /** Whoever waited for what it did not bring asks for that again. */
  #landed(flight: Flight): void {
    this.#flights.delete(flight)
    flight.land()
    for (const chunk of flight.chunks) {
      if (this.#flying.get(chunk) === flight) this.#flying.delete(chunk)
      const wanted = this.#wanted.get(chunk)
      if (!wanted) continue
      if (this.#isHere(chunk)) this.#came(chunk, this.#o.keeping.peek(chunk))
      wanted.asked = this.#comes(chunk)
      if (!wanted.asked) this.#dispatchSoon()
    }
  }

  /** Another run may have brought it, or another layer have it. */
  #isHere(chunk: number): boolean {
    return this.#o.holdings.has(chunk) || this.#o.keeping.peek(chunk) !== undefined
  }

  #came(chunk: number, bytes: Uint8Array | undefined): void {
    this.#heads.delete(chunk)
    const wanted = this.#wanted.get(chunk)
    if (!wanted) return
    this.#wanted.delete(chunk)
    wanted.resolve(bytes)
  }

  /** Place of the first byte of a chunk that is to be fetched. */
  #from(chunk: number, purpose: Purpose): number {
    const start = this.#o.table.start(chunk)
    const head = this.#heads.get(chunk)
    if (head) return start + head.bytes.length
    for (const { run, purpose: its } of this.#flights) {
      if (!canWaitFor(purpose, its)) continue
      if (run.at <= start && run.until > start && run.until < this.#o.table.end(chunk)) return run.until
    }
    return start
  }

  #flight(run: Run, purpose: Purpose): Flight {
    const { table } = this.#o
    const [first, last] = table.within(run.at, run.until)
    const chunks = new Set(run.chunks)
    for (let chunk = first; chunk < last; chunk++) {
      if (table.start(chunk) >= run.at && table.end(chunk) <= run.until && !this.#isHere(chunk)) chunks.add(chunk)
    }
    const flight = new Flight(run, [...chunks], purpose)
    this.#flights.add(flight)
    for (const chunk of chunks) {
      // What nobody waits for may come late: who waits for it waits for the one that does not.
      if (purpose === 'demand' || !this.#flying.has(chunk)) this.#flying.set(chunk, flight)
      const wanted = this.#wanted.get(chunk)
      if (wanted) wanted.asked = this.#comes(chunk)
    }
    return flight
  }

  /** The run under way that ends where this one begins, in the middle of a chunk, and leaves its head. */
  #flightBefore({ run: { at }, purpose }: Flight): Flight | undefined {
    const chunk = this.#o.table.after(at)
    const inside = chunk < this.#o.table.count && this.#o.table.start(chunk) < at
    if (!inside) return undefined
    return [...this.#flights].find(({ run, purpose: its }) => run.until === at && canWaitFor(purpose, its))
  }

  #headAt(at: number): Head | undefined {
    return this.#heads.get(this.#o.table.after(at))
  }

  #keepHead(head: Head | undefined): void {
    if (!head) return
    this.#heads.set(head.chunk, head)
    for (const chunk of this.#heads.keys()) {
      if (this.#heads.size <= mostHeads) return
      this.#heads.delete(chunk)
    }
  }
}

/** What somebody waits for does not wait for what nobody waits for. */
function canWaitFor(purpose: Purpose, other: Purpose): boolean {
  return purpose !== 'demand' || other === 'demand'
}

/** False where what came cannot be unpacked: whatever it would have held is as good as wrong. */
function push(unpacking: Resumed, bytes: Uint8Array): boolean {
  try {
    unpacking.push(bytes)
    return true
  } catch (error) {
    if (error instanceof Failure && error.code === 'corrupt') return false
    throw error
  }
}

/** Rejects with the signal's reason when that aborts first. */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const { promise: left, reject } = Promise.withResolvers<never>()
  const abort = () => reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([promise, left])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
