/**
 * One unpacked layer of this host, however many mounts it has: answers reads from its file, from other layers' files and
 * from the node, and from none of them before the bytes were held against the index.
 *
 * What has to be true of every answer: each chunk in it was hashed after it was last written, and after anybody else last
 * touched the file; what lies outside of chunks is zero.
 */
import { Failure } from '../../failure.ts'
import { shortDigest } from '../../oci/digest.ts'
import { noPoints, type Points } from '../../zran/points.ts'
import type { LayerProgress, ReadyMap } from '../unpacked-layer.ts'
import { isChunk } from './chunk-cutter.ts'
import { DataFile } from './data-file.ts'
import { isFull } from './eviction.ts'
import { Fetching, untilAborted } from './fetching.ts'
import { GapFile } from './gap-file.ts'
import { blockBytes, Holdings } from './holdings.ts'
import { Keeping } from './keeping.ts'
import { diskOf, type LayerFolder } from './layer-folder.ts'
import type { LayerShape } from './layer-shape.ts'
import { Lending, leastLent } from './lending.ts'
import type { Blob, NodeClient } from './node-client.ts'
import { ReadingOn } from './reading-on.ts'
import { bootId, type LayerState, verifiedStill } from './state-file.ts'
import type { Surroundings } from './surroundings.ts'
import { Troubles } from './troubles.ts'
import { WholeAgain } from './whole-again.ts'
import { WholeCheck } from './whole-check.ts'

export class Layer {
  readonly folder: LayerFolder
  readonly shape: LayerShape
  readonly holdings: Holdings
  readonly fetching: Fetching
  readonly file: DataFile
  /** With other layers. */
  readonly lending: Lending
  /** Where it was unpacked whole. */
  readonly again: WholeAgain
  /** Of its index, while it is mounted. */
  points: Points = noPoints
  /** Where its bytes are asked for, while it is mounted. */
  source: { client: NodeClient; blob: Blob } | undefined
  /** Wall time of its last use. */
  usedAt: number
  /** What is wrong with it. */
  readonly troubles = new Troubles()
  /** Whoever is to hear of each chunk that is read and not here, as often as it is. */
  missed: ((chunk: number) => void) | undefined
  readonly keeping: Keeping
  readonly #gaps: GapFile
  readonly #around: Surroundings
  readonly #readingOn: ReadingOn
  readonly #whole: WholeCheck
  #fetched: number
  /** Counts the times that somebody touched the file. */
  #touched = 0

  constructor(folder: LayerFolder, shape: LayerShape, state: LayerState | undefined, around: Surroundings) {
    this.folder = folder
    this.shape = shape
    this.#around = around
    const { table } = shape
    this.holdings = new Holdings(table, state)
    this.file = new DataFile(folder.data, table.size, around.files, () => this.#doubt())
    this.usedAt = state?.facts.usedAt ?? around.clock.wall()
    this.#fetched = state?.facts.fetched ?? 0
    if (state && verifiedStill(state, this.file.ctime, bootId())) {
      this.holdings.believe(state.verified)
    }
    // After a power cut the file may lack what was written to it, and a good layer would look like a false one.
    const gaps = state?.facts.boot === bootId() ? state.facts.gaps : []
    this.#gaps = new GapFile(folder.gaps, table.gapBytes, around.files, gaps)
    this.#whole = new WholeCheck(shape, this.holdings, this.#gaps, foundBefore(state))
    this.keeping = new Keeping({
      table,
      file: this.file,
      holdings: this.holdings,
      kept: (chunks) => around.kept(this, chunks),
      refused: (error) => this.#refused(error),
    })
    this.lending = new Lending(this.holdings, this.keeping, around, state?.facts.deduped ?? 0)
    this.again = new WholeAgain(this.holdings, this.keeping, around.files)
    const pointsNow = () => this.points
    this.fetching = new Fetching({
      ...shape,
      get points() {
        return pointsNow()
      },
      client: () => this.#from().client,
      blob: () => this.#from().blob,
      holdings: this.holdings,
      keeping: this.keeping,
      gaps: this.#gaps,
      traffic: around.traffic,
      clock: around.clock,
      equal: (chunk) => shape.table.length(chunk) >= leastLent && this.lending.borrow(chunk),
      came: (bytes) => {
        this.#fetched += bytes
      },
      trouble: (sentence) => this.troubles.tell(sentence),
    })
    this.#readingOn = new ReadingOn({
      holdings: this.holdings,
      fetching: this.fetching,
      coming: (chunk) => this.keeping.peek(chunk) !== undefined || this.lending.borrow(chunk),
    })
  }

  digest(chunk: number): Uint8Array {
    return this.shape.table.digest(chunk)
  }
  owns(chunk: number): boolean {
    return this.holdings.own.has(chunk)
  }

  get readyMap(): ReadyMap {
    return { block: blockBytes, bits: this.holdings.shared, ctime: this.file.shared }
  }

  /** All of it is in its own file, verified. */
  get whole(): boolean {
    if (this.refuted) return false
    return this.file.untouched() && this.holdings.verified.complete && this.holdings.own.complete
  }

  ready(offset: number, length: number): boolean {
    if (this.refuted) return false
    return this.file.untouched() && this.holdings.verifiedWithin(...this.shape.table.within(offset, offset + length))
  }

  async read(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> {
    const { table } = this.shape
    const end = offset + length
    if (!(offset >= 0 && length >= 0 && end <= table.size)) {
      throw new Failure('bad-range', `bytes ${offset} to ${end} are outside of the ${table.size} of the layer`)
    }
    this.#believe()
    const bytes = await this.#read(offset, end, signal)
    // It may have been found out meanwhile.
    this.#believe()
    return bytes
  }

  async #read(offset: number, end: number, signal: AbortSignal): Promise<Uint8Array> {
    const { table } = this.shape
    const length = end - offset
    const [first, last] = table.within(offset, end)
    this.#readingOn.reached(offset, end)
    if (this.ready(offset, length)) {
      // Chunk by chunk it turns out which of it cannot be read.
      const bytes = await this.file.read(offset, length).catch(() => undefined)
      if (bytes) return bytes
    }
    this.#note(offset, end, first, last)
    const bytes = new Uint8Array(length)
    const parts = Array.from({ length: last - first }, async (_, i) => {
      const chunk = first + i
      const whole = await this.#chunk(chunk, signal)
      const start = table.start(chunk)
      const from = Math.max(offset, start)
      bytes.set(whole.subarray(from - start, Math.min(end, table.end(chunk)) - start), from - offset)
    })
    await Promise.all(parts)
    return bytes
  }

  /** Verified bytes of a chunk, wherever they are. */
  async #chunk(chunk: number, signal: AbortSignal): Promise<Uint8Array> {
    for (;;) {
      this.lending.borrow(chunk)
      const bytes =
        this.keeping.peek(chunk) ??
        (await this.own(chunk)) ??
        (await this.lending.chunk(chunk)) ??
        (await this.#fetch(chunk, signal))
      if (bytes) return bytes
    }
  }

  /** Equal chunks that are wanted at one time, in whatever layers, come once. */
  async #fetch(chunk: number, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const { coming } = this.#around
    const key = Buffer.from(this.digest(chunk)).toString('latin1')
    for (;;) {
      // Whoever finds nobody must be found by the next one: nothing may come between.
      const other = coming.get(key)
      if (!other) break
      const bytes = await untilAborted(other, signal).catch(() => undefined)
      if (bytes) return bytes
      signal.throwIfAborted()
    }
    const whole = this.shape.reason !== undefined
    const bytes = whole ? this.again.chunk(chunk, signal) : this.fetching.chunk(chunk, signal)
    coming.set(key, bytes)
    try {
      return await bytes
    } finally {
      if (coming.get(key) === bytes) coming.delete(key)
    }
  }

  /** From its own file, hashed unless that is not needed; undefined when it is not there, or wrong, or cannot be read. */
  async own(chunk: number): Promise<Uint8Array | undefined> {
    const { table } = this.shape
    if (!this.holdings.own.has(chunk)) return undefined
    const untouched = this.file.untouched()
    const verified = untouched && this.holdings.verified.has(chunk)
    const touched = this.#touched
    try {
      const bytes = await this.file.read(table.start(chunk), table.length(chunk))
      if (verified) return bytes
      if (isChunk(table, chunk, bytes)) {
        if (untouched && this.#touched === touched) this.holdings.verify(chunk)
        return bytes
      }
      this.#lost(chunk, 'were damaged on the disk')
    } catch (error) {
      this.#lost(chunk, `cannot be read: ${(error as Error).message}`)
    }
    return undefined
  }

  #lost(chunk: number, how: string): void {
    const { table } = this.shape
    this.troubles.tell(`bytes ${table.start(chunk)} to ${table.end(chunk)} of ${this.folder.data} ${how}`)
    this.holdings.lose(chunk)
  }

  /** Chunks in its own file that have to be hashed before they are answered with. */
  unverified(): number[] {
    this.file.untouched()
    return [...this.holdings.own.indexes()].filter((chunk) => !this.holdings.verified.has(chunk))
  }

  /** See {@link WholeCheck}. @throws the signal's reason */
  async check(signal: AbortSignal): Promise<void> {
    const lie = await this.#whole.check((at, length) => this.read(at, length, signal), signal)
    if (lie !== undefined) this.troubles.tell(lie)
  }

  /** @throws {Failure} when its index is known to be false */
  #believe(): void {
    if (this.#whole.lie !== undefined) throw new Failure('corrupt', this.#whole.lie)
  }

  /** Whoever made the index lied: nothing of it counts. */
  get refuted(): boolean {
    return this.#whole.lie !== undefined
  }

  progress(): LayerProgress {
    const { holdings, shape } = this
    return {
      size: shape.table.size,
      here: holdings.here,
      fetched: this.#fetched,
      deduped: this.lending.deduped,
      disk: diskOf(this.folder),
      complete: holdings.complete,
      indexed: shape.reason === undefined,
      ...(shape.reason === undefined ? {} : { reason: shape.reason }),
      errors: this.troubles.all,
    }
  }

  state(): LayerState {
    const { holdings, shape } = this
    // Looks at the file, so that what somebody touched is not called verified.
    this.file.untouched()
    return {
      facts: {
        version: 1,
        diffId: shape.diffId,
        index: shape.index,
        chunks: shape.table.count,
        ctime: String(this.file.ctime),
        boot: bootId(),
        checked: this.#whole.right,
        ...(this.refuted ? { refuted: true } : {}),
        gaps: [...this.#gaps.bounds],
        usedAt: this.usedAt,
        fetched: this.#fetched,
        deduped: this.lending.deduped,
        ...(shape.reason === undefined ? {} : { reason: shape.reason }),
      },
      own: holdings.own.bytes.slice(),
      lent: holdings.lent.bytes.slice(),
      verified: holdings.verified.bytes.slice(),
    }
  }

  /** Nobody mounts it any more: nothing of it is fetched, and what came is written. It can be mounted again. */
  async rest(): Promise<void> {
    this.source = undefined
    await Promise.all([this.fetching.rest(), this.again.rest()])
    // Larger than all else that is known of it, and in its file.
    this.points = noPoints
    await this.letGo()
  }

  /** Closes its files until they are next used. */
  async letGo(): Promise<void> {
    await this.file.rest()
    await this.#gaps.rest()
  }

  /** Takes note of what is missing of a read, and reads ahead. */
  #note(offset: number, end: number, first: number, last: number): void {
    let missing = false
    for (let chunk = first; chunk < last; chunk++) {
      if (this.holdings.has(chunk)) continue
      missing = true
      this.missed?.(chunk)
    }
    if (missing) this.#readingOn.missed(offset, end)
  }

  #doubt(): void {
    this.#touched++
    this.holdings.doubt()
  }

  async #refused(error: unknown): Promise<boolean> {
    const reason = error instanceof Error ? error.message : String(error)
    const full = isFull(error)
    this.troubles.tell(
      `what was fetched cannot be kept in ${this.folder.dir}: ${reason}${full ? '; free some space there' : ''}`,
    )
    return full && (await this.#around.makeRoom())
  }

  #from(): { client: NodeClient; blob: Blob } {
    if (this.source) return this.source
    throw new Failure('unavailable', `nobody has said where ${shortDigest(this.shape.digest)} is to be had`)
  }
}

/** Whether it unpacks to what it should; undefined where nobody knows. */
function foundBefore(state: LayerState | undefined): boolean | undefined {
  if (state?.facts.refuted) return false
  return state?.facts.checked || undefined
}
