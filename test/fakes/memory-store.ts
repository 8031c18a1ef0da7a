/**
 * The store's contract in memory, for tests and the simulation. It keeps the arrays it is given, not copies: a hundred
 * nodes that hold the same piece cost one piece. Eviction by size works; nothing expires.
 */
import type { Clock } from '../../src/clock.ts'
import { Failure } from '../../src/failure.ts'
import { algorithmOf, type Digest, digestOf, hexOf } from '../../src/oci/digest.ts'
import { formatRepository, type Repository, type Tag } from '../../src/oci/reference.ts'
import { Bitmap } from '../../src/piece/bitmap.ts'
import { type Layout, layoutOf, pieceAt, pieceBytes, pieceStart } from '../../src/piece/layout.ts'
import { Metainfo, type Segment } from '../../src/piece/metainfo.ts'
import type {
  Blob,
  BlobKind,
  BlobSpec,
  BlobStore,
  DamageListener,
  GrantHolder,
  Span,
  Spool,
  StoreUsage,
  TagRecord,
} from '../../src/store/blob-store.ts'
import { type Plan, planEviction } from '../../src/store/eviction.ts'
import { type Pin, Pins } from '../../src/store/pins.ts'
import { Soundness } from '../../src/store/soundness.ts'

export interface MemoryStoreOptions {
  readonly clock: Clock
  readonly limitBytes?: number
  /** False: `finish` believes the pieces. For simulations, where hashing each node's copy would take all the time. */
  readonly checkWhole?: boolean
}

export class MemoryStore implements BlobStore {
  readonly #options: MemoryStoreOptions
  readonly #blobs = new Map<Digest, MemoryBlob>()
  readonly #listeners: ((blob: Blob) => void)[] = []
  readonly #damageListeners: DamageListener[] = []
  readonly #recordingListeners: ((blob: Blob) => void)[] = []
  readonly #seen = new Map<Digest, Map<string, Repository>>()
  readonly #grants = new Map<string, number>()
  readonly #tags = new Map<string, TagRecord>()
  readonly #pins: Pins
  readonly #bans = new Map<string, { node: string; reason: string; until: number }>()
  #bytes = 0
  /** Of these, what is no blob yet. */
  #spooled = 0

  constructor(options: MemoryStoreOptions) {
    this.#options = options
    this.#pins = new Pins([], () => options.clock.wall())
  }

  find(digest: Digest): MemoryBlob | undefined {
    return this.#blobs.get(digest)
  }

  create(spec: BlobSpec): MemoryBlob {
    const known = this.#blobs.get(spec.digest)
    if (known && (known.complete || known.size === spec.size)) {
      known.adopt(spec)
      return known
    }
    if (known) this.#drop(known)
    const { clock, checkWhole = true } = this.#options
    const blob: MemoryBlob = new MemoryBlob(spec, {
      wall: () => clock.wall(),
      pinnedUntil: () => this.#pins.until(spec.digest),
      checkWhole,
      grow: (bytes) => this.#grow(blob, bytes),
      drop: () => this.#drop(blob),
      lost: (bytes, pieces, whole) => {
        this.#bytes -= bytes
        for (const listener of this.#damageListeners) listener(blob, pieces, whole)
      },
    })
    this.#blobs.set(spec.digest, blob)
    return blob
  }

  async put(spec: Omit<BlobSpec, 'size'>, bytes: Uint8Array): Promise<Blob> {
    if (digestOf(bytes, algorithmOf(spec.digest)) !== spec.digest) {
      throw new Failure('corrupt', `${bytes.length} bytes do not have the digest ${spec.digest}`)
    }
    const blob = this.create({ ...spec, size: bytes.length })
    const letGo = blob.hold()
    try {
      for (let piece = 0; piece < blob.layout.count; piece++) {
        const start = pieceStart(blob.layout, piece)
        await blob.write(piece, bytes.subarray(start, start + pieceBytes(blob.layout, piece)))
      }
      await blob.finish()
    } finally {
      letGo()
    }
    return blob
  }

  spool(): Spool {
    return new MemorySpool(this, (bytes) => this.#spool(bytes))
  }

  all(): Iterable<MemoryBlob> {
    return this.#blobs.values()
  }

  async settled(digest: Digest): Promise<boolean> {
    return this.#blobs.get(digest)?.complete === true
  }

  async remove(digest: Digest): Promise<boolean> {
    const blob = this.#blobs.get(digest)
    if (!blob) return false
    if (blob.held) blob.doomed = true
    else this.#drop(blob)
    return true
  }

  plan(bytes = this.#options.limitBytes): Plan {
    const limits = { now: this.#options.clock.wall(), ...(bytes === undefined ? {} : { bytes }) }
    return planEviction(this.#blobs.values(), limits)
  }

  async evict(bytes?: number): Promise<Plan> {
    const plan = this.plan(bytes)
    for (const { digest } of plan.remove) this.#drop(this.#blobs.get(digest)!)
    return plan
  }

  usage(): StoreUsage {
    const complete = [...this.#blobs.values()].filter((blob) => blob.complete).length
    const counts = { bytes: this.#bytes, disk: this.#bytes, complete, partial: this.#blobs.size - complete }
    const { limitBytes: limit } = this.#options
    return limit === undefined ? counts : { ...counts, limit }
  }

  pin(pin: Pin): void {
    this.#pins.add(pin)
  }

  unpin(digest: Digest, reason: string): boolean {
    return this.#pins.remove(digest, reason)
  }

  pins(digest?: Digest): Pin[] {
    return digest === undefined ? this.#pins.all() : this.#pins.of(digest)
  }

  onDamaged(listener: DamageListener): void {
    this.#damageListeners.push(listener)
  }

  onRecording(listener: (blob: Blob) => void): void {
    this.#recordingListeners.push(listener)
  }

  /** What a store on a disk does now and then. */
  record(): void {
    for (const blob of this.#blobs.values()) {
      if (!blob.complete) for (const listener of this.#recordingListeners) listener(blob)
    }
  }

  onGone(listener: (blob: Blob) => void): void {
    this.#listeners.push(listener)
  }

  seenIn(digest: Digest, repository: Repository): void {
    const seen = this.#seen.get(digest) ?? new Map<string, Repository>()
    this.#seen.set(digest, seen.set(formatRepository(repository), repository))
  }

  repositoriesOf(digest: Digest): Repository[] {
    return [...(this.#seen.get(digest)?.values() ?? [])].map(({ registry, name }) => ({ registry, name }))
  }

  seenWhere(text: string): ReadonlySet<Digest> {
    const has = (names: ReadonlyMap<string, Repository>) =>
      [...names.keys()].some((name) => name.toLowerCase().includes(text))
    return new Set([...this.#seen].filter(([, names]) => has(names)).map(([digest]) => digest))
  }

  wasSeenIn(digest: Digest, repository: Repository): boolean {
    return this.#seen.get(digest)?.has(formatRepository(repository)) ?? false
  }

  granted(repository: Repository, holder: GrantHolder): number | undefined {
    return this.#grants.get(`${holder} ${formatRepository(repository)}`)
  }

  setGranted(repository: Repository, holder: GrantHolder, at: number | undefined): void {
    const key = `${holder} ${formatRepository(repository)}`
    if (at === undefined) this.#grants.delete(key)
    else this.#grants.set(key, at)
  }

  tag(repository: Repository, tag: Tag): TagRecord | undefined {
    return this.#tags.get(`${formatRepository(repository)}:${tag}`)
  }

  setTag(repository: Repository, tag: Tag, record: TagRecord): void {
    this.#tags.set(`${formatRepository(repository)}:${tag}`, record)
  }

  bans() {
    return [...this.#bans.values()].filter((ban) => ban.until > this.#options.clock.wall())
  }

  ban(node: string, reason: string, until: number): void {
    this.#bans.set(node, { node, reason, until })
  }

  unban(node: string): void {
    this.#bans.delete(node)
  }

  async close(): Promise<void> {}

  #grow(blob: MemoryBlob, bytes: number): void {
    const { limitBytes } = this.#options
    if (limitBytes !== undefined && this.#bytes + bytes > limitBytes) {
      const limits = { now: this.#options.clock.wall(), bytes: limitBytes, wanted: bytes }
      const plan = planEviction(this.#blobs.values(), limits)
      const whole = planEviction(this.#blobs.values(), { ...limits, wanted: blob.size - blob.bytes })
      if (whole.missing > 0 || blob.size > limitBytes) {
        throw new Failure('no-space', `no room for ${blob.digest}: the store may hold ${limitBytes} bytes`)
      }
      for (const { digest } of plan.remove) this.#drop(this.#blobs.get(digest)!)
    }
    this.#bytes += bytes
  }

  #spool(bytes: number): void {
    const { limitBytes } = this.#options
    if (limitBytes !== undefined && this.#bytes + bytes > limitBytes) {
      const limits = { now: this.#options.clock.wall(), bytes: limitBytes - this.#spooled, wanted: bytes }
      const plan = planEviction(this.#blobs.values(), limits)
      if (plan.missing > 0) throw new Failure('no-space', `no room: the store may hold ${limitBytes} bytes`)
      for (const { digest } of plan.remove) this.#drop(this.#blobs.get(digest)!)
    }
    this.#bytes += bytes
    this.#spooled += bytes
  }

  #drop(blob: MemoryBlob): void {
    if (blob.gone) return
    this.#bytes -= blob.bytes
    this.#blobs.delete(blob.digest)
    blob.gone = true
    for (const listener of this.#listeners) listener(blob)
  }
}

class MemorySpool implements Spool {
  readonly #store: MemoryStore
  readonly #took: (bytes: number) => void
  #bytes = Buffer.alloc(0)
  #over = false

  constructor(store: MemoryStore, took: (bytes: number) => void) {
    this.#store = store
    this.#took = took
  }

  get length(): number {
    return this.#bytes.length
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.#check()
    this.#took(bytes.length)
    this.#bytes = Buffer.concat([this.#bytes, bytes])
  }

  async read(start: number, into: Uint8Array): Promise<Uint8Array> {
    this.#check()
    into.set(this.#bytes.subarray(start, start + into.length))
    return into
  }

  async keep(spec: Omit<BlobSpec, 'size'>, segments: Iterable<Segment>): Promise<Blob> {
    this.#check()
    const bytes = this.#bytes
    await this.discard()
    const blob = this.#store.create({ ...spec, size: bytes.length })
    for (const segment of segments) blob.learn(segment)
    return this.#store.put(spec, bytes)
  }

  async discard(): Promise<void> {
    if (this.#over) return
    this.#over = true
    this.#took(-this.#bytes.length)
  }

  #check(): void {
    if (this.#over) throw new Failure('unavailable', 'the upload has ended')
  }
}

interface Keeper {
  readonly checkWhole: boolean
  wall(): number
  pinnedUntil(): number | undefined
  /** @throws {Failure} `no-space` */
  grow(bytes: number): void
  drop(): void
  lost(bytes: number, pieces: readonly number[], whole: boolean): void
}

export class MemoryBlob implements Blob {
  readonly digest: Digest
  readonly size: number
  readonly layout: Layout
  readonly metainfo: Metainfo
  readonly have: Bitmap
  readonly path: string
  kind: BlobKind
  mediaType?: string
  complete = false
  gone = false
  doomed = false
  readonly borrowed = false
  usedAt: number
  bytes = 0
  verifiedAt = 0
  #users = 0
  readonly #seen: Soundness
  readonly #keeper: Keeper
  readonly #pieces: (Uint8Array | undefined)[] = []

  constructor(spec: BlobSpec, keeper: Keeper) {
    this.digest = spec.digest
    this.size = spec.size
    this.kind = spec.kind
    if (spec.mediaType !== undefined) this.mediaType = spec.mediaType
    this.layout = layoutOf(spec.size)
    this.metainfo = new Metainfo(spec.digest, this.layout)
    this.have = new Bitmap(this.layout.count)
    this.path = `/memory/${spec.digest}`
    this.usedAt = keeper.wall()
    this.#keeper = keeper
    this.#seen = new Soundness(this.layout.count, () => keeper.wall())
  }

  /** There are no blocks in memory. */
  get disk(): number {
    return this.bytes
  }

  get pinnedUntil(): number | undefined {
    return this.#keeper.pinnedUntil()
  }

  get held(): boolean {
    return this.#users > 0
  }

  adopt(spec: Pick<BlobSpec, 'kind' | 'mediaType'>): void {
    const manifest = spec.kind === 'manifest' && this.kind === 'blob'
    if (spec.mediaType === undefined || (this.mediaType !== undefined && !manifest)) return
    this.kind = spec.kind
    this.mediaType = spec.mediaType
  }

  async write(piece: number, bytes: Uint8Array): Promise<void> {
    this.#check()
    const expected = piece >= 0 && piece < this.layout.count ? pieceBytes(this.layout, piece) : -1
    if (bytes.length !== expected) {
      throw new Failure('internal', `piece ${piece} of ${this.digest} was given with ${bytes.length} bytes`)
    }
    if (this.have.has(piece)) return
    const letGo = this.hold()
    try {
      this.#keeper.grow(bytes.length)
      this.#pieces[piece] = bytes.slice()
      this.have.set(piece)
      this.#seen.saw(piece)
      this.bytes += bytes.length
    } finally {
      letGo()
    }
  }

  learn(segment: Segment): ReturnType<Metainfo['add']> {
    return this.metainfo.add(segment)
  }

  async read({ start, end }: Span, memory?: Uint8Array): Promise<Uint8Array> {
    if (start < 0 || end < start || end > this.size) {
      throw new Failure('bad-range', `bytes ${start} to ${end} of ${this.digest}, which has ${this.size}`)
    }
    this.#check()
    const into = memory?.subarray(0, end - start) ?? new Uint8Array(end - start)
    for (let piece = pieceAt(this.layout, start); piece < this.layout.count; piece++) {
      const from = pieceStart(this.layout, piece)
      if (from >= end) break
      const bytes = this.#pieces[piece]
      if (!bytes) throw new Failure('internal', `bytes ${start} to ${end} of ${this.digest} are not all here`)
      into.set(bytes.subarray(Math.max(0, start - from), end - from), Math.max(0, from - start))
    }
    return into
  }

  /** What a disk does to a piece in time. */
  rot(piece: number): void {
    this.#pieces[piece]![0]! ^= 1
    this.#seen.lost(piece)
  }

  sound(piece?: number): boolean {
    return piece === undefined ? this.#seen.whole : this.#seen.has(piece)
  }

  async check(piece: number, into?: Uint8Array): Promise<boolean> {
    if (!this.have.has(piece)) return false
    const right = (piece: number) =>
      this.metainfo.digestOf(piece) === undefined
        ? this.complete || this.#seen.has(piece)
        : this.metainfo.verify(piece, this.#pieces[piece]!)
    if (right(piece)) {
      into?.set(this.#pieces[piece]!)
      this.#seen.saw(piece)
      return true
    }
    const { complete } = this
    const lost = [...this.have.indexes()].filter(
      (other) => other === piece || (complete && !this.#seen.has(other) && !right(other)),
    )
    const before = this.bytes
    for (const other of lost) {
      this.have.clear(other)
      this.#seen.lost(other)
      this.bytes -= this.#pieces[other]!.length
      this.#pieces[other] = undefined
    }
    this.complete = false
    this.#keeper.lost(before - this.bytes, lost, complete)
    return false
  }

  verified(): void {
    this.verifiedAt = this.#keeper.wall()
  }

  async finish(): Promise<void> {
    if (this.complete && !this.gone) return
    this.#check()
    if (!this.have.complete) {
      throw new Failure(
        'internal',
        `${this.digest} cannot be finished: ${this.have.count} of ${this.layout.count} pieces`,
      )
    }
    if (this.#keeper.checkWhole) {
      const hasher = new Bun.CryptoHasher(algorithmOf(this.digest))
      for (const piece of this.#pieces) hasher.update(piece!)
      const hex = hasher.digest('hex')
      if (hex !== hexOf(this.digest)) {
        this.#keeper.drop()
        throw new Failure('corrupt', `${this.digest} is damaged: its bytes have another digest, ${hex}`)
      }
    }
    this.complete = true
    this.verifiedAt = this.#keeper.wall()
  }

  hold(): () => void {
    this.#users++
    this.usedAt = this.#keeper.wall()
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#users--
      this.usedAt = this.#keeper.wall()
      if (this.doomed && this.#users === 0) this.#keeper.drop()
    }
  }

  #check(): void {
    if (this.gone) throw new Failure('unavailable', `${this.digest} was removed from this node meanwhile`)
  }
}
