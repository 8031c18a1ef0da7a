/**
 * The store of a node: sparse files and a catalog of them. This class owns the list of blobs and the count of
 * their bytes; `open-store.ts` finds out at start what is really there, `room.ts` sees to it that it does not grow too big.
 *
 * Longer than most files, for it is the whole of the `BlobStore` contract; most of it hands on to the parts beside it.
 */
import { rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import pLimit from 'p-limit'
import { every } from '../clock.ts'
import { Failure } from '../failure.ts'
import { lru } from '../lru.ts'
import { algorithmOf, type Digest, digestOf, shortDigest } from '../oci/digest.ts'
import type { Repository, Tag } from '../oci/reference.ts'
import { pieceBytes, pieceStart } from '../piece/layout.ts'
import type { Metainfo, Segment } from '../piece/metainfo.ts'
import type { Log } from '../telemetry/log.ts'
import { Seldom } from '../telemetry/seldom.ts'
import { Beside, besideBlobs } from './beside.ts'
import type {
  Ban,
  Blob,
  BlobSpec,
  BlobStore,
  DamageListener,
  GrantHolder,
  Spool,
  StoreUsage,
  TagRecord,
} from './blob-store.ts'
import type { BlobTree } from './blob-tree.ts'
import { type BorrowedFile, type Borrower, copyTo } from './borrowed.ts'
import type { Catalog } from './catalog.ts'
import { DiskBlob } from './disk-blob.ts'
import type { Idle, Plan } from './eviction.ts'
import { diskAt, FreeSpace } from './free-space.ts'
import type { Keeper } from './keeper.ts'
import { OpenFiles, readAt } from './open-files.ts'
import { type DiskStoreOptions, openStore, type Parts } from './open-store.ts'
import { type Pin, Pins } from './pins.ts'
import { type Claim, Room } from './room.ts'
import type { Spare } from './spare.ts'
import { FileSpool, type Spooling } from './spool.ts'

export type { DiskStoreOptions } from './open-store.ts'

/**
 * Of so many whole blobs it is kept in memory what their pieces are: some 10 to 100 KB each. The scrubber asks that of every
 * one, and an upload of one again and again.
 */
const mostMetainfos = 256
/** How often the store looks after its limits and its pins although nothing was written, in ms. */
const tendMs = 10_000
/** What is too old to mean anything is taken out of the catalog so often, in ms. */
const pruneEvery = 24 * 3600_000

export class DiskStore implements BlobStore, Borrower, Keeper, Spooling {
  readonly files: OpenFiles
  readonly metainfos = lru<DiskBlob, Metainfo>(mostMetainfos)
  readonly #options: DiskStoreOptions
  readonly #log: Log
  readonly #tree: BlobTree
  readonly #catalog: Catalog
  readonly #spare: Spare
  readonly #room: Room
  readonly #release: () => void
  readonly #blobs = new Map<Digest, DiskBlob>()
  /** Asked to go, but in use. */
  readonly #doomed = new Set<DiskBlob>()
  readonly #listeners: ((blob: Blob) => void)[] = []
  readonly #damageListeners: DamageListener[] = []
  readonly #recordingListeners: ((blob: Blob) => void)[] = []
  readonly #deletions = new Set<Promise<void>>()
  /** One at a time: they wait for the disk on threads that reads and writes of pieces need. */
  readonly #syncs = pLimit(1)
  /** Complete, but not on the disk for sure: it is tried again. */
  readonly #unbrought = new Set<DiskBlob>()
  readonly #seldom: Seldom
  readonly #stopTending: () => void
  readonly #pins: Pins
  /** What rules say of the blobs: whoever makes room asks of every one, and it changes only with where they were seen. */
  readonly #idle = new Map<Digest, Idle | undefined>()
  readonly #beside: Beside
  #bytes = 0
  #disk = 0
  /** Bytes that are no blob yet. */
  #spooled = 0
  #complete = 0
  /** The catalog, of what is too old. It was when it was opened. */
  #prunedAt: number
  #answers: Promise<boolean> | undefined
  #closed = false
  #closing: Promise<void> | undefined

  /**
   * Opens the store in `dir`, making it if there is none.
   * @throws {Failure} `internal` when the directory cannot be used or another process uses it
   */
  static async open(options: DiskStoreOptions): Promise<DiskStore> {
    return new DiskStore(options, await openStore(options))
  }

  private constructor(options: DiskStoreOptions, parts: Parts) {
    this.#options = options
    this.files = new OpenFiles(undefined, options.read)
    this.#log = options.log
    this.#seldom = new Seldom(options.clock)
    this.#tree = parts.tree
    this.#catalog = parts.catalog
    this.#spare = parts.spare
    this.#release = parts.release
    this.#pins = new Pins(parts.catalog.pins(), () => this.wall())
    const { keepFree, disk = diskAt(options.dir), beside = () => besideBlobs(options.dir) } = options
    this.#beside = new Beside(options.clock, beside)
    const space = keepFree && new FreeSpace(keepFree, options.clock, disk)
    const { idle } = options
    this.#room = new Room(
      { ...options, space, idleOf: idle && ((digest) => this.#idleOf(digest, idle)) },
      {
        blobs: this.#blobs,
        disk: () => this.#disk,
        beside: () => this.#beside.bytes,
        uploads: () => this.#spooled,
        drop: (blobs, reason) => this.#drop(blobs, reason),
      },
    )
    for (const blob of parts.blobs(this)) this.#add(blob)
    this.#report()
    const { ttlMs = Number.POSITIVE_INFINITY, clock } = options
    this.#prunedAt = clock.now()
    this.#stopTending = every(clock, Math.min(tendMs, ttlMs / 4), () => this.#tend())
    this.#room.tend()
  }

  // ---- BlobStore ----

  find(digest: Digest): DiskBlob | undefined {
    return this.#blobs.get(digest)
  }

  create(spec: BlobSpec): DiskBlob {
    this.checkOpen()
    const known = this.#blobs.get(spec.digest)
    if (known && (known.complete || known.size === spec.size)) {
      known.adopt(spec)
      return known
    }
    if (known) this.#drop([known], `the source says it has ${spec.size} bytes, not ${known.size}`)
    if (this.#catalog.owes(spec.digest)) {
      throw new Failure(
        'no-space',
        `no room to note that an older ${shortDigest(spec.digest)} is gone; free some space`,
      )
    }
    const now = this.wall()
    const { digest, size, kind, mediaType = null } = spec
    const row = { digest, size, kind, mediaType, state: 'partial', bitmap: null, mtime: null } as const
    const blob = new DiskBlob(this, this.#tree.pathOf(digest), { ...row, usedAt: now, addedAt: now })
    this.#add(blob)
    this.changed(blob)
    this.#report()
    return blob
  }

  async put(spec: Omit<BlobSpec, 'size'>, bytes: Uint8Array): Promise<Blob> {
    if (digestOf(bytes, algorithmOf(spec.digest)) !== spec.digest) {
      throw new Failure('corrupt', `${bytes.length} bytes do not have the digest ${spec.digest}`)
    }
    const blob = this.create({ ...spec, size: bytes.length })
    const letGo = blob.hold()
    try {
      for (let piece = 0; piece < blob.layout.count && !blob.complete; piece++) {
        const start = pieceStart(blob.layout, piece)
        await blob.write(piece, bytes.subarray(start, start + pieceBytes(blob.layout, piece)))
      }
      await blob.finish()
    } finally {
      letGo()
    }
    return blob
  }

  spool(what?: string): Spool {
    this.checkOpen()
    return new FileSpool(this.#tree.spools, this, what)
  }

  all(): Iterable<DiskBlob> {
    return this.#blobs.values()
  }

  async settled(digest: Digest): Promise<boolean> {
    this.checkOpen()
    const blob = this.#blobs.get(digest)
    if (!blob?.complete) return false
    await blob.sync()
    await this.#catalog.settle()
    return blob.durable && !blob.gone
  }

  async remove(digest: Digest): Promise<boolean> {
    this.checkOpen()
    const blob = this.#blobs.get(digest)
    if (!blob) return false
    if (blob.held) this.#doomed.add(blob)
    else await this.#drop([blob], 'removal was asked for')
    return true
  }

  usage(): StoreUsage {
    const { limitBytes: limit } = this.#options
    const { trouble } = this.#room
    const borrowed = [...this.#blobs.values()].filter((blob) => blob.borrowed)
    return {
      bytes: this.#bytes,
      disk: this.#disk + this.#aside,
      complete: this.#complete,
      partial: this.#blobs.size - this.#complete,
      ...(borrowed.length > 0 && {
        borrowed: { blobs: borrowed.length, bytes: borrowed.reduce((sum, { size }) => sum + size, 0) },
      }),
      ...(limit === undefined ? {} : { limit }),
      ...(trouble && { trouble: trouble.message, ...(trouble.code === 'no-disk' && { broken: true }) }),
    }
  }

  plan(bytes?: number): Plan {
    return this.#room.plan(bytes)
  }

  async evict(bytes?: number): Promise<Plan> {
    this.checkOpen()
    const plan = this.plan(bytes)
    await this.#room.carryOut(plan)
    return plan
  }

  pin(pin: Pin): void {
    this.checkOpen()
    this.#pins.add(pin)
    this.#catalog.pin(pin)
    // The file of another program may go at any moment.
    if (!this.#blobs.get(pin.digest)?.borrowed) return
    this.takeBack(pin.digest).catch((error: Error) =>
      this.#log.warn('a pinned blob lies in a file of another program only, and could not be copied', {
        digest: pin.digest,
        error: error.message,
      }),
    )
  }

  unpin(digest: Digest, reason: string): boolean {
    this.checkOpen()
    this.#catalog.unpin(digest, reason)
    return this.#pins.remove(digest, reason)
  }

  pins(digest?: Digest): Pin[] {
    return digest === undefined ? this.#pins.all() : this.#pins.of(digest)
  }

  onGone(listener: (blob: Blob) => void): void {
    this.#listeners.push(listener)
  }

  onDamaged(listener: DamageListener): void {
    this.#damageListeners.push(listener)
  }

  onRecording(listener: (blob: Blob) => void): void {
    this.#recordingListeners.push(listener)
  }

  seenIn(digest: Digest, repository: Repository): void {
    this.checkOpen()
    this.#catalog.seenIn(digest, repository)
    this.#idle.delete(digest)
  }

  repositoriesOf(digest: Digest): Repository[] {
    this.checkOpen()
    return this.#catalog.repositoriesOf(digest)
  }

  seenWhere(text: string): ReadonlySet<Digest> {
    this.checkOpen()
    return this.#catalog.seenWhere(text)
  }

  wasSeenIn(digest: Digest, repository: Repository): boolean {
    this.checkOpen()
    return this.#catalog.wasSeenIn(digest, repository)
  }

  granted(repository: Repository, holder: GrantHolder): number | undefined {
    this.checkOpen()
    return this.#catalog.granted(repository, holder)
  }

  setGranted(repository: Repository, holder: GrantHolder, at: number | undefined): void {
    this.checkOpen()
    this.#catalog.setGranted(repository, holder, at)
  }

  tag(repository: Repository, tag: Tag): TagRecord | undefined {
    this.checkOpen()
    return this.#catalog.tag(repository, tag)
  }

  setTag(repository: Repository, tag: Tag, record: TagRecord): void {
    this.checkOpen()
    this.#catalog.setTag(repository, tag, record)
  }

  bans(): Ban[] {
    this.checkOpen()
    return this.#catalog.bans()
  }

  ban(node: string, reason: string, until: number): void {
    this.checkOpen()
    this.#catalog.ban(node, reason, until)
  }

  unban(node: string): void {
    this.checkOpen()
    this.#catalog.unban(node)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#closed = true
    this.#stopTending()
    if (this.#doomed.size > 0) this.#drop([...this.#doomed], 'removal was asked for')
    // So that the next start need not read incomplete blobs again, whatever becomes of the machine.
    const synced = await Promise.allSettled([...this.#blobs.values()].map((blob) => this.#syncs(() => blob.sync())))
    this.#catalog.close(synced.every((result) => result.status === 'fulfilled'))
    await this.files.dropAll()
    await Promise.allSettled(this.#deletions)
    this.#release()
  }

  // ---- Borrower ----

  borrow(spec: BlobSpec, file: BorrowedFile): DiskBlob | undefined {
    this.checkOpen()
    const { digest, size } = spec
    // What is to stay cannot lie where another program may take it away.
    if (this.#pins.of(digest).length > 0) return undefined
    const known = this.#blobs.get(digest)
    if (!known) return this.#borrowUnknown(spec, file)
    if (known.held || !known.durable || known.size !== size) return undefined
    const { path } = known
    known.borrow(file)
    // Before the file goes that the catalog speaks of.
    this.#catalog.commit()
    this.#delete(known, path)
    return known
  }

  async takeBack(digest: Digest): Promise<boolean> {
    this.checkOpen()
    const blob = this.#blobs.get(digest)
    if (!blob?.borrowed) return false
    const { path, name, size } = blob
    // For the copy, which has nothing yet: the blob itself has all of its pieces, elsewhere.
    const written = this.#room.reserve({ name, size, bytes: 0, leftover: 0 }, size)
    const letGo = blob.hold()
    const aside = this.#tree.aside()
    try {
      const mtime = await copyTo(aside, blob)
      if (blob.gone || this.#closed || blob.path !== path) return false
      this.#tree.place(aside, digest)
      blob.takeBack(mtime)
      void this.files.drop(path)
      return true
    } finally {
      rmSync(aside, { force: true })
      written()
      letGo()
    }
  }

  giveBack(digest: Digest, reason: string): boolean {
    const blob = this.#blobs.get(digest)
    if (!blob?.borrowed || this.#closed) return false
    this.#drop([blob], reason)
    return true
  }

  #borrowUnknown({ digest, size, kind, mediaType }: BlobSpec, file: BorrowedFile): DiskBlob | undefined {
    if (this.#catalog.owes(digest)) return undefined
    const now = this.wall()
    const whole = { state: 'complete', bitmap: null, mtime: file.mtime } as const
    const row = { digest, size, kind, mediaType: mediaType ?? null, ...whole }
    const blob = new DiskBlob(this, this.#tree.pathOf(digest), { ...row, usedAt: now, addedAt: now })
    blob.borrow(file)
    this.#add(blob)
    this.#report()
    return blob
  }

  // ---- Keeper ----

  wall(): number {
    return this.#options.clock.wall()
  }

  checkOpen(): void {
    if (this.#closed) throw new Failure('unavailable', 'this node is stopping')
  }

  reserve(claim: Claim, bytes: number): () => void {
    return this.#room.reserve(claim, bytes)
  }

  relieve(blob: DiskBlob, bytes: number): Promise<void> {
    return this.#room.relieve(blob, bytes)
  }

  troubled(message: string): void {
    this.#room.troubled(message, 'no-disk')
  }

  answers(): Promise<boolean> {
    this.#answers ??= this.#ask().finally(() => {
      this.#answers = undefined
    })
    return this.#answers
  }

  grew(_blob: DiskBlob, bytes: number, disk: number): void {
    this.#bytes += bytes
    this.#disk += disk
    this.#report()
  }

  pinnedUntil(blob: DiskBlob): number | undefined {
    return this.#pins.until(blob.digest)
  }

  recording(blob: DiskBlob): void {
    if (blob.gone || this.#closed) return
    for (const listener of this.#recordingListeners) this.#tell(listener, blob)
  }

  changed(blob: DiskBlob): void {
    this.#catalog.mark(blob)
  }

  completed(blob: DiskBlob): void {
    this.#complete++
    this.#report()
    this.#bring(blob)
  }

  learned(blob: DiskBlob, segment: Segment): void {
    this.#catalog.addSegment(blob.digest, segment)
  }

  segments(digest: Digest): readonly Segment[] {
    return this.#closed ? [] : this.#catalog.segments(digest)
  }

  damaged(blob: DiskBlob, reason: string): void {
    if (blob.gone || this.#closed) return
    this.#log.error('dropped a damaged blob; it will be fetched again', { digest: blob.digest, reason })
    this.#drop([blob], reason)
  }

  left({ digest }: DiskBlob): void {
    this.giveBack(digest, 'the file of another program that it was read from is away')
  }

  lost(blob: DiskBlob, pieces: readonly number[], whole: boolean): void {
    if (blob.gone || this.#closed) return
    for (const piece of pieces) this.#bytes -= pieceBytes(blob.layout, piece)
    if (whole) this.#complete--
    this.#report()
    this.#log.error('pieces on the disk are not what they were; they will be fetched again', {
      digest: blob.digest,
      pieces: pieces.length,
      first: pieces[0],
    })
    for (const listener of this.#damageListeners) this.#tell((blob) => listener(blob, pieces, whole), blob)
  }

  idle(blob: DiskBlob): void {
    if (this.#doomed.has(blob) && !this.#closed) this.#drop([blob], 'removal was asked for')
  }

  // ---- Spooling ----

  took(bytes: number): void {
    this.#spooled += bytes
    this.#report()
  }

  freed(bytes: number): void {
    this.#room.freed(bytes)
  }

  async adopt(spec: BlobSpec, path: string, segments: Iterable<Segment>): Promise<DiskBlob> {
    const borrowed = this.#blobs.get(spec.digest)
    // It shall stay, and that file may go.
    if (borrowed?.borrowed) this.#drop([borrowed], 'it has a file of its own from now on')
    const known = this.#blobs.get(spec.digest)
    const blob = this.create(spec)
    const letGo = blob.hold()
    try {
      for (const segment of segments) blob.learn(segment)
      if (!blob.complete) {
        // Of what comes from elsewhere at this moment pieces are on their way to its file: those are completed instead.
        if (known === blob) await fill(blob, path)
        else await blob.take(path)
      }
      // Another upload of the same may have made it whole a moment ago, and wait for the disk itself.
      await blob.sync()
      await this.#catalog.settle()
    } finally {
      letGo()
    }
    return blob
  }

  // ---- inside ----

  async #ask(): Promise<boolean> {
    const { dir, answers = () => this.#tree.answers() } = this.#options
    const so = await answers()
    if (!so) this.troubled(`the disk of ${dir} gives nothing and takes nothing; check that disk`)
    return so
  }

  /** Bytes of the disk that are not of blobs. */
  get #aside(): number {
    return this.#beside.bytes + this.#spooled
  }

  /** What the rules say of it. Where the catalog cannot be asked of whom it is, it stays unless there is no room for it. */
  #idleOf(digest: Digest, rule: NonNullable<DiskStoreOptions['idle']>): Idle | undefined {
    try {
      if (!this.#idle.has(digest)) this.#idle.set(digest, rule(this.#catalog.repositoriesOf(digest)))
      return this.#idle.get(digest)
    } catch (error) {
      this.#seldom.tell('unasked', (others) =>
        this.#log.error('the catalog cannot be read; what is unused stays until there is no room for it', {
          error: error instanceof Error ? error.message : String(error),
          ...others,
        }),
      )
      return { ms: Number.POSITIVE_INFINITY, rule: 'unknown' }
    }
  }

  #tend(): void {
    for (const blob of this.#unbrought) {
      this.#unbrought.delete(blob)
      this.#bring(blob)
    }
    if (this.#pins.prune()) this.#catalog.prunePins()
    const now = this.#options.clock.now()
    if (now - this.#prunedAt > pruneEvery) {
      this.#prunedAt = now
      this.#catalog.prune()
    }
    this.#room.tend()
  }

  /** Has a complete blob brought to the disk. */
  #bring(blob: DiskBlob): void {
    this.#syncs(() => blob.sync()).catch((error: NodeJS.ErrnoException) => {
      if (error.syscall !== 'open') {
        // What the kernel failed to write it may forget at any moment, and another fsync would not say so again.
        return this.damaged(blob, `it could not be brought to the disk: ${error.message}`)
      }
      // Of the bytes that says nothing: no descriptor was free.
      this.#unbrought.add(blob)
      this.#seldom.tell('unbrought', (others) =>
        this.#log.warn('a blob is not safe from a power cut yet, for its file could not be opened; trying again', {
          digest: blob.digest,
          error: error.message,
          ...others,
        }),
      )
    })
  }

  #add(blob: DiskBlob): void {
    this.#blobs.set(blob.digest, blob)
    this.#bytes += blob.bytes
    this.#disk += blob.disk
    if (blob.complete) this.#complete++
  }

  /** Forgets blobs, then deletes their files; everything but the deletion has happened on return. */
  #drop(blobs: readonly DiskBlob[], reason: string): Promise<void> {
    this.#catalog.forget(blobs.map((blob) => blob.digest))
    const deletions = blobs.map((blob) => {
      this.#bytes -= blob.bytes
      this.#disk -= blob.disk
      if (blob.complete) this.#complete--
      this.#blobs.delete(blob.digest)
      this.#doomed.delete(blob)
      this.metainfos.delete(blob)
      this.#idle.delete(blob.digest)
      blob.gone = true
      this.#log.debug('blob removed', { digest: blob.digest, bytes: blob.bytes, reason })
      return this.#delete(blob, blob.path)
    })
    this.#report()
    for (const blob of blobs) for (const listener of this.#listeners) this.#tell(listener, blob)
    return Promise.all(deletions).then(() => {})
  }

  /** Closes the file at `path`, and deletes the one that is the store's own, if there is one. */
  #delete({ digest }: DiskBlob, path: string): Promise<void> {
    const done: Promise<void> = Promise.all([this.files.drop(path), this.#tree.discard(digest)])
      .then(() => this.#spare.keep())
      .catch((error: Error) => this.#log.warn('could not delete a file; the next start will', { error: error.message }))
      .finally(() => this.#deletions.delete(done))
    this.#deletions.add(done)
    return done
  }

  #tell(listener: (blob: Blob) => void, blob: Blob): void {
    try {
      listener(blob)
    } catch (error) {
      this.#log.error('a listener failed on a blob', { digest: blob.digest, error: String(error) })
    }
  }

  #report(): void {
    const { metrics } = this.#options
    metrics?.storeBytes.set(this.#bytes)
    metrics?.storeDiskBytes.set(this.#disk + this.#aside)
    metrics?.blobs.set({ state: 'complete' }, this.#complete)
    metrics?.blobs.set({ state: 'partial' }, this.#blobs.size - this.#complete)
  }
}

/** Brings a blob what it lacks from a file that has all of it. */
async function fill(blob: DiskBlob, path: string): Promise<void> {
  const file = await open(path)
  try {
    for (let piece = 0; piece < blob.layout.count && !blob.complete; piece++) {
      if (blob.have.has(piece)) continue
      const bytes = new Uint8Array(pieceBytes(blob.layout, piece))
      await readAt(file.fd, bytes, pieceStart(blob.layout, piece))
      await blob.write(piece, bytes)
    }
    await blob.finish()
    await blob.sync()
  } finally {
    await file.close()
  }
}
