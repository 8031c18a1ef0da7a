/**
 * One unpacked layer of this host, however many mounts it has: answers reads from its file, from other layers' files and
 * from the node, and from none of them before the bytes were held against the index.
 *
 * What has to be true of every answer: each chunk in it was hashed after it was last written, and after anybody else last
 * touched the file; what lies outside of chunks is zero.
 */
import type { Clock } from '../../clock.ts'
import { Failure } from '../../failure.ts'
import { type Digest, shortDigest } from '../../oci/digest.ts'
import { type OpenFiles, readAt } from '../../store/open-files.ts'
import { type Compression, noPoints, type Points } from '../../zran/points.ts'
import type { LayerProgress, ReadyMap } from '../unpacked-layer.ts'
import { isChunk } from './chunk-cutter.ts'
import type { ChunkTable } from './chunk-table.ts'
import { DataFile } from './data-file.ts'
import { isFull } from './eviction.ts'
import { Fetching, untilAborted } from './fetching.ts'
import { GapFile } from './gap-file.ts'
import { blockBytes, Holdings } from './holdings.ts'
import { Keeping } from './keeping.ts'
import { diskOf, type LayerFolder } from './layer-folder.ts'
import { type Blob, mostReads, type NodeClient } from './node-client.ts'
import type { Place } from './places.ts'
import { ReadAhead, type Stretch } from './read-ahead.ts'
import { bootId, type LayerState, verifiedStill } from './state-file.ts'
import type { Traffic } from './traffic.ts'
import { unpacksTo } from './whole-check.ts'

/** A chunk shorter than a block of the disk saves nothing there: it is copied. */
const leastLent = 4096
/**
 * A layer that other layers have this share of, or less, is given all of it in its own file when it is complete: then the
 * kernel reads that without asking anybody. Of more, what is saved is worth more.
 */
const littleShare = 1 / 8
const mostErrors = 5

/** What the index says, without what only the kernel reads. */
export interface LayerShape {
  readonly digest: Digest
  readonly diffId: Digest
  readonly table: ChunkTable
  readonly compression: Compression
  readonly compressedSize: number
  /** Of the index's file. */
  readonly index: Digest
  /** Why it was fetched whole. */
  readonly reason: string | undefined
}

/** What a layer needs of those around it. */
export interface Surroundings {
  readonly clock: Clock
  readonly traffic: Traffic
  readonly files: OpenFiles
  /** Another place on this host that has the chunk. */
  find(digest: Uint8Array): Place<Layer> | undefined
  /** Chunks that are fetched for somebody, by digest. */
  readonly coming: Map<string, Promise<Uint8Array | undefined>>
  /** The layer has these chunks in its own file now. */
  kept(layer: Layer, chunks: Iterable<number>): void
  /** The disk is full: true when something could be removed. */
  makeRoom(): Promise<boolean>
}

/** Unpacks the layer whole to a file that is there while `use` runs. @throws {Failure} */
export type Refill = (use: (path: string) => Promise<void>) => Promise<void>

export class Layer {
  readonly folder: LayerFolder
  readonly shape: LayerShape
  readonly holdings: Holdings
  readonly fetching: Fetching
  readonly file: DataFile
  /** Of its index, while it is mounted. */
  points: Points = noPoints
  /** Wall time of its last use. */
  usedAt: number
  /** Chunks in the order in which they were first asked for. */
  readonly firstReads = new Set<number>()
  readonly #keeping: Keeping
  readonly #gaps: GapFile
  readonly #around: Surroundings
  readonly #readAhead: ReadAhead
  readonly #errors: string[] = []
  /** What it unpacks to has the digest it should have; undefined while nobody knows. */
  #checked: boolean | undefined
  #source: { client: NodeClient; blob: Blob } | undefined
  #refill: Refill | undefined
  #refilling: Promise<void> | undefined
  #fetched: number
  /** Bytes of chunks that other layers had and that were copied. */
  #copied: number
  /** Counts the times that somebody touched the file. */
  #touched = 0

  constructor(folder: LayerFolder, shape: LayerShape, state: LayerState | undefined, around: Surroundings) {
    this.folder = folder
    this.shape = shape
    this.#around = around
    const { table } = shape
    this.holdings = new Holdings(table, state)
    this.#readAhead = new ReadAhead(table, (start, end) => this.#reach(start, end))
    this.file = new DataFile(folder.data, table.size, around.files, () => this.#doubt())
    this.usedAt = state?.facts.usedAt ?? around.clock.wall()
    this.#fetched = state?.facts.fetched ?? 0
    this.#copied = Math.max(0, (state?.facts.deduped ?? 0) - this.holdings.lentBytes)
    if (state && verifiedStill(state, this.file.ctime, bootId())) {
      this.holdings.believe(state.verified)
    }
    this.#checked = state?.facts.checked || undefined
    this.#gaps = new GapFile(folder.gaps, table.gapBytes, around.files, state?.facts.gaps ?? [])
    this.#keeping = new Keeping({
      table,
      file: this.file,
      holdings: this.holdings,
      kept: (chunks) => around.kept(this, chunks),
      refused: (error) => this.#refused(error),
    })
    const pointsNow = () => this.points
    this.fetching = new Fetching({
      ...shape,
      get points() {
        return pointsNow()
      },
      client: () => this.#from().client,
      blob: () => this.#from().blob,
      holdings: this.holdings,
      keeping: this.#keeping,
      gaps: this.#gaps,
      traffic: around.traffic,
      clock: around.clock,
      equal: (chunk) => shape.table.length(chunk) >= leastLent && this.borrow(chunk),
      came: (bytes) => {
        this.#fetched += bytes
      },
      trouble: (sentence) => this.tell(sentence),
    })
  }

  /** Where its bytes are asked for from now on. */
  set source(source: { client: NodeClient; blob: Blob }) {
    this.#source = source
  }

  /** Unpacks a layer whole once more that was unpacked whole before: it cannot be begun in its middle. */
  set refill(refill: Refill) {
    this.#refill = refill
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
    return this.file.untouched() && this.holdings.verifiedWithin(...this.shape.table.within(offset, offset + length))
  }

  async read(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> {
    const { table } = this.shape
    const end = offset + length
    if (!(offset >= 0 && length >= 0 && end <= table.size)) {
      throw new Failure('bad-range', `bytes ${offset} to ${end} are outside of the ${table.size} of the layer`)
    }
    if (this.#checked === false) throw new Failure('corrupt', this.#lie)
    const [first, last] = table.within(offset, end)
    this.#ahead(this.#readAhead.reached(offset, end))
    if (this.ready(offset, length)) return await this.file.read(offset, length)
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
      this.borrow(chunk)
      const bytes =
        this.#keeping.peek(chunk) ??
        (await this.own(chunk)) ??
        (await this.#lent(chunk)) ??
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
    const bytes = whole ? this.#again(chunk, signal) : this.fetching.chunk(chunk, signal)
    coming.set(key, bytes)
    try {
      return await bytes
    } finally {
      if (coming.get(key) === bytes) coming.delete(key)
    }
  }

  /** From its own file, hashed unless that is not needed; undefined when it is not there, or wrong. */
  async own(chunk: number): Promise<Uint8Array | undefined> {
    const { table } = this.shape
    if (!this.holdings.own.has(chunk)) return undefined
    const untouched = this.file.untouched()
    const verified = untouched && this.holdings.verified.has(chunk)
    const touched = this.#touched
    const bytes = await this.file.read(table.start(chunk), table.length(chunk))
    if (verified) return bytes
    if (isChunk(table, chunk, bytes)) {
      if (untouched && this.#touched === touched) this.holdings.verify(chunk)
      return bytes
    }
    this.tell(`bytes ${table.start(chunk)} to ${table.end(chunk)} of ${this.folder.data} were damaged on the disk`)
    this.holdings.lose(chunk)
    return undefined
  }

  /** From a layer that is unpacked whole, once more, beside its file: others read that one. */
  async #again(chunk: number, signal: AbortSignal): Promise<Uint8Array | undefined> {
    this.#refilling ??= this.#restore().finally(() => {
      this.#refilling = undefined
    })
    await untilAborted(this.#refilling, signal)
    return this.#keeping.peek(chunk)
  }

  async #restore(): Promise<void> {
    const { table } = this.shape
    const missing = [...Array(table.count).keys()].filter((chunk) => !this.holdings.has(chunk))
    await this.#refill?.(async (path) => {
      const batch = this.#keeping.batch()
      for (const chunk of missing) {
        const bytes = await this.#around.files.use(path, false, async (fd) => {
          const bytes = new Uint8Array(table.length(chunk))
          await readAt(fd, bytes, table.start(chunk))
          return bytes
        })
        if (!isChunk(table, chunk, bytes)) throw new Failure('corrupt', `${path} was damaged as soon as it was written`)
        batch.add(chunk, bytes)
        await batch.room()
      }
      await batch.end()
    })
  }

  /** Chunks in its own file that have to be hashed before they are answered with. */
  unverified(): number[] {
    this.file.untouched()
    return [...this.holdings.own.indexes()].filter((chunk) => !this.holdings.verified.has(chunk))
  }

  get lentIsLittle(): boolean {
    return this.holdings.lentBytes <= this.shape.table.size * littleShare
  }

  /** Takes note of a missing chunk that another layer has. True if it is not missing any more. */
  borrow(chunk: number): boolean {
    if (this.holdings.has(chunk) || !this.#around.find(this.digest(chunk))) return false
    this.holdings.lend(chunk)
    return true
  }

  /**
   * Holds all of it against the digest of what it unpacks to, once, when it is complete. What other layers had came
   * without what lies between: then there is nothing to hold against it, but its chunks were verified each.
   */
  async check(): Promise<void> {
    const { table, diffId } = this.shape
    if (this.#checked !== undefined || !this.holdings.complete || !this.#gaps.complete) return
    const signal = new AbortController().signal
    const read = (at: number, length: number) => this.read(at, length, signal)
    const right = await unpacksTo(diffId, table, read, (at, length) => this.#gaps.read(at, length))
    this.#checked = right
    if (!right) this.tell(this.#lie)
    await this.#gaps.drop()
  }

  /** Whoever made the index lied: nothing of it counts. */
  get refuted(): boolean {
    return this.#checked === false
  }

  get #lie(): string {
    return `${shortDigest(this.shape.digest)} does not unpack to what the image says: its index is false, and nothing of it is served`
  }

  /** Copies a chunk that lies in another layer's file, which is about to go. */
  async takeOver(chunk: number): Promise<void> {
    if (!this.holdings.lent.has(chunk)) return
    const bytes = await this.#ofAnother(chunk)
    if (bytes) await this.#copy(chunk, bytes)
    else this.holdings.lose(chunk)
  }

  progress(): LayerProgress {
    const { holdings, shape } = this
    return {
      size: shape.table.size,
      here: holdings.here,
      fetched: this.#fetched,
      deduped: holdings.lentBytes + this.#copied,
      disk: diskOf(this.folder),
      complete: holdings.complete,
      indexed: shape.reason === undefined,
      ...(shape.reason === undefined ? {} : { reason: shape.reason }),
      errors: [...this.#errors],
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
        checked: this.#checked === true,
        gaps: [...this.#gaps.bounds],
        usedAt: this.usedAt,
        fetched: this.#fetched,
        deduped: holdings.lentBytes + this.#copied,
        ...(shape.reason === undefined ? {} : { reason: shape.reason }),
      },
      own: holdings.own.bytes.slice(),
      lent: holdings.lent.bytes.slice(),
      verified: holdings.verified.bytes.slice(),
    }
  }

  /** Newest first; said again, it is not told twice. */
  tell(sentence: string): void {
    const known = this.#errors.indexOf(sentence)
    if (known >= 0) this.#errors.splice(known, 1)
    this.#errors.unshift(sentence)
    this.#errors.length = Math.min(this.#errors.length, mostErrors)
  }

  async close(): Promise<void> {
    this.fetching.close()
    await this.file.rest()
    await this.#gaps.rest()
  }

  async #lent(chunk: number): Promise<Uint8Array | undefined> {
    if (!this.holdings.lent.has(chunk)) return undefined
    const bytes = await this.#ofAnother(chunk)
    if (!bytes) this.holdings.lose(chunk)
    else if (bytes.length < leastLent) await this.#copy(chunk, bytes)
    return bytes
  }

  async #ofAnother(chunk: number): Promise<Uint8Array | undefined> {
    // A place whose bytes turn out to be wrong is one no longer.
    for (;;) {
      const place = this.#around.find(this.digest(chunk))
      if (!place) return undefined
      const bytes = await place.keeper.own(place.chunk)
      if (bytes) return bytes
    }
  }

  async #copy(chunk: number, bytes: Uint8Array): Promise<void> {
    this.#copied += bytes.length
    const batch = this.#keeping.batch()
    batch.add(chunk, bytes)
    await batch.end()
  }

  /** Takes note of what is missing of a read, and reads ahead. */
  #note(offset: number, end: number, first: number, last: number): void {
    let missing = false
    for (let chunk = first; chunk < last; chunk++) {
      if (this.holdings.has(chunk)) continue
      missing = true
      if (this.firstReads.size < mostReads) this.firstReads.add(chunk)
    }
    if (!missing) return
    this.#ahead(this.#readAhead.read(offset, end))
  }

  #reach(start: number, end: number): number {
    const { table } = this.shape
    const [first, last] = table.within(start, end)
    return first < last ? this.fetching.reach(table.start(first), table.end(last - 1)) : end
  }

  /** Has the next stretch fetched for somebody who reads on, who is heard of again in the middle of it. */
  #ahead(stretch: Stretch | undefined): void {
    if (!stretch) return
    const { table } = this.shape
    const { from, to, marker, passed } = stretch
    if (passed !== undefined) this.holdings.unveil(passed)
    const along: number[] = []
    for (let at = table.after(from); at < table.count && table.start(at) < to; at++) {
      if (!this.holdings.has(at) && !this.#keeping.peek(at) && !this.borrow(at)) along.push(at)
    }
    if (marker !== undefined) this.holdings.veil(marker)
    this.fetching.along(along)
  }

  #doubt(): void {
    this.#touched++
    this.holdings.doubt()
  }

  async #refused(error: unknown): Promise<boolean> {
    const reason = error instanceof Error ? error.message : String(error)
    const full = isFull(error)
    this.tell(
      `what was fetched cannot be kept in ${this.folder.dir}: ${reason}${full ? '; free some space there' : ''}`,
    )
    return full && (await this.#around.makeRoom())
  }

  #from(): { client: NodeClient; blob: Blob } {
    if (this.#source) return this.#source
    throw new Failure('unavailable', `nobody has said where ${shortDigest(this.shape.digest)} is to be had`)
  }
}
