/**
 * One blob in a sparse file. The store it belongs to decides about room, records and removal. Longer than most files:
 * writing, looking again, finishing and syncing all guard the same few fields of one blob against each other.
 */
import { mkdirSync, renameSync, type Stats, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { Failure } from '../failure.ts'
import { algorithmOf, type Digest, shortDigest } from '../oci/digest.ts'
import { Bitmap } from '../piece/bitmap.ts'
import { type Layout, layoutOf, pieceAt, pieceBytes, pieceStart } from '../piece/layout.ts'
import { Metainfo, type Segment } from '../piece/metainfo.ts'
import { onDisk } from './beside.ts'
import type { Blob, BlobKind, BlobSpec, Span } from './blob-store.ts'
import { type BorrowedFile, isAway } from './borrowed.ts'
import type { BlobRow, Recorded } from './catalog.ts'
import { codeOf, isDiskFull } from './data-dir.ts'
import type { Keeper } from './keeper.ts'
import { cutAt, syncAll, syncData, syncDir, writeAt } from './open-files.ts'
import { Soundness } from './soundness.ts'
import { isUnreadable, unreadable } from './unreadable.ts'
import { WholeHash } from './whole-hash.ts'

/** What file systems give a file at a time, as a rule; what they really gave is asked now and then. */
const blockBytes = 4096

export class DiskBlob implements Blob, Recorded {
  readonly digest: Digest
  readonly size: number
  readonly layout: Layout
  readonly have: Bitmap
  /** Where the store has its own file of it, or would have. */
  readonly own: string
  kind: BlobKind
  mediaType?: string
  complete: boolean
  gone = false
  usedAt: number
  readonly #keeper: Keeper
  readonly #addedAt: number
  #mtime: number | null
  readonly #soundness: Soundness
  /** When the file of the complete blob had last changed, as {@link changeTime} says. */
  #changedAt: number | undefined
  #verifiedAt: number
  /** While it is not durable; else the store has it, for as long as it is asked for. */
  #metainfo: Metainfo | undefined
  #hash: WholeHash | undefined
  #finishing: Promise<void> | undefined
  /** The file of another program that it is read from. */
  #borrowed: string | null
  readonly #writing = new Map<number, Promise<void>>()
  #syncing: Promise<void> | undefined
  #users = 0
  #disk: number
  /** Bytes may have been written, perhaps by an earlier process, that are not on the disk. */
  #unsynced: boolean
  /** Its file was moved to its place, which the disk may not know. */
  #unnamed = false

  /** `disk`: bytes of the disk that its file takes already. */
  constructor(keeper: Keeper, path: string, row: BlobRow, disk = 0) {
    this.digest = row.digest
    this.size = row.size
    this.layout = layoutOf(row.size)
    this.complete = row.state === 'complete'
    this.have = this.complete ? Bitmap.full(this.layout.count) : new Bitmap(this.layout.count, row.bitmap ?? undefined)
    this.own = path
    this.#borrowed = row.borrowed ?? null
    this.kind = row.kind
    this.usedAt = row.usedAt
    this.#keeper = keeper
    this.#disk = disk
    this.#addedAt = row.addedAt
    if (row.mediaType !== null) this.mediaType = row.mediaType
    this.#mtime = row.mtime
    this.#verifiedAt = row.verifiedAt ?? 0
    this.#soundness = new Soundness(this.layout.count, () => keeper.wall())
    this.#unsynced = this.have.count > 0 && !this.complete
  }

  /**
   * Read from the catalog when asked for. Of a durable blob it is forgotten again when it was not asked for lately, and is
   * another object the next time, of the same segments in the same order.
   */
  get metainfo(): Metainfo {
    return this.#shelve(this.#metainfo ?? this.#keeper.metainfos.get(this) ?? this.#recorded())
  }

  #recorded(): Metainfo {
    const metainfo = new Metainfo(this.digest, this.layout)
    for (const segment of this.#keeper.segments(this.digest)) metainfo.add(segment)
    return metainfo
  }

  #shelve(metainfo: Metainfo): Metainfo {
    const { durable } = this
    if (durable) this.#keeper.metainfos.set(this, metainfo)
    this.#metainfo = durable ? undefined : metainfo
    return metainfo
  }

  get path(): string {
    return this.#borrowed ?? this.own
  }

  get borrowed(): boolean {
    return this.#borrowed !== null
  }

  get name(): string {
    return shortDigest(this.digest)
  }

  /** Bytes of pieces that are there. */
  get bytes(): number {
    return bytesOf(this.layout, this.have)
  }

  /** Bytes of the disk that its file takes: right when it was opened or completed, and piece by piece between. */
  get disk(): number {
    return this.#disk
  }

  /** Of these, what no piece that is here accounts for: a wrong one lies there, or one that was not recorded. */
  get leftover(): number {
    return Math.max(0, this.#disk - blocks(this.bytes))
  }

  get pinnedUntil(): number | undefined {
    return this.#keeper.pinnedUntil(this)
  }

  get verifiedAt(): number {
    return this.#verifiedAt
  }

  get held(): boolean {
    return this.#users > 0
  }

  /** Complete, and would be after a power cut. */
  get durable(): boolean {
    return this.complete && this.#mtime !== null
  }

  recording(): void {
    if (!this.complete) this.#keeper.recording(this)
  }

  row(): BlobRow {
    return {
      digest: this.digest,
      size: this.size,
      kind: this.kind,
      mediaType: this.mediaType ?? null,
      state: this.durable ? 'complete' : 'partial',
      bitmap: this.durable ? null : this.have.bytes,
      mtime: this.#mtime,
      usedAt: this.usedAt,
      addedAt: this.#addedAt,
      verifiedAt: this.#verifiedAt,
      borrowed: this.#borrowed,
    }
  }

  /** From now on it is read from its own file, which was written meanwhile. */
  takeBack(mtime: number): void {
    this.#borrowed = null
    this.#mtime = mtime
    this.#changedAt = changeTime(this.own)
    this.#measure()
    this.#keeper.changed(this)
  }

  /** From now on it is read from `file`, all of which has just been seen to be right. For a durable blob that nobody uses. */
  borrow({ path, mtime, changedAt }: BorrowedFile): void {
    this.#borrowed = path
    this.#mtime = mtime
    this.#changedAt = changedAt
    this.#verifiedAt = this.#keeper.wall()
    for (let piece = 0; piece < this.layout.count; piece++) this.#soundness.saw(piece)
    const own = this.#disk
    this.#disk = 0
    this.#keeper.grew(this, 0, -own)
    this.#keeper.changed(this)
  }

  /** Somebody knows more about it than whoever made it did. */
  adopt(spec: Pick<BlobSpec, 'kind' | 'mediaType'>): void {
    const manifest = spec.kind === 'manifest' && this.kind === 'blob'
    if (spec.mediaType === undefined || (this.mediaType !== undefined && !manifest)) return
    this.kind = spec.kind
    this.mediaType = spec.mediaType
    this.#keeper.changed(this)
  }

  async write(piece: number, bytes: Uint8Array): Promise<void> {
    this.#check()
    const expected = piece >= 0 && piece < this.layout.count ? pieceBytes(this.layout, piece) : -1
    if (bytes.length !== expected) {
      throw new Failure('internal', `piece ${piece} of ${this.digest} was given with ${bytes.length} bytes`)
    }
    if (this.have.has(piece)) return
    // From two sides at once: the bytes that are hashed are then the ones in the file.
    const writing = this.#writing.get(piece) ?? this.#write(piece, bytes).finally(() => this.#writing.delete(piece))
    this.#writing.set(piece, writing)
    await writing
  }

  async #write(piece: number, bytes: Uint8Array): Promise<void> {
    const letGo = this.hold()
    try {
      this.#hashing().writing(piece, bytes)
      await this.#store(pieceStart(this.layout, piece), bytes)
      this.#check()
      // It may have come to lie where a wrong one lay.
      const known = this.leftover === 0
      const disk = known ? blocks(bytes.length) : 0
      this.have.set(piece)
      this.#soundness.saw(piece)
      this.#unsynced = true
      this.#disk += disk
      this.#keeper.grew(this, bytes.length, disk)
      if (!known) this.#measure()
      this.#hashing().wrote(piece, bytes)
      this.#keeper.changed(this)
    } catch (error) {
      this.#hash = undefined
      // A disk that becomes full takes a part of what it is given.
      this.#measure()
      throw error
    } finally {
      letGo()
    }
  }

  learn(segment: Segment): ReturnType<Metainfo['add']> {
    this.#keeper.checkOpen()
    const verdict = this.metainfo.add(segment)
    if (verdict === 'new' && !this.gone) this.#keeper.learned(this, segment)
    return verdict
  }

  async read({ start, end }: Span, into?: Uint8Array): Promise<Uint8Array> {
    if (start < 0 || end < start || end > this.size) {
      throw new Failure('bad-range', `bytes ${start} to ${end} of ${this.digest}, which has ${this.size}`)
    }
    const first = pieceAt(this.layout, start)
    if (end > start && this.have.nextMissing(first) <= pieceAt(this.layout, end - 1)) {
      throw new Failure('internal', `bytes ${start} to ${end} of ${this.digest} are not all here`)
    }
    // Not zeroed, and not a Buffer, whose slices would share memory.
    const bytes = into?.subarray(0, end - start) ?? new Uint8Array(Buffer.allocUnsafeSlow(end - start).buffer)
    try {
      await this.readInto(start, bytes)
    } catch (error) {
      if (!isUnreadable(error)) throw error
      // Which of its pieces it is: that one is lost from now on.
      for (let piece = first; piece <= pieceAt(this.layout, end - 1); piece++) {
        if (!(await this.check(piece))) throw new Failure('corrupt', this.#unreadable(piece))
      }
      await this.readInto(start, bytes)
    }
    return bytes
  }

  /** @throws {Failure} `corrupt` when the file does not reach that far */
  async readInto(start: number, into: Uint8Array): Promise<void> {
    this.#check()
    if (into.length === 0) return
    const letGo = this.#hold()
    try {
      const n = await this.#use((fd) => this.#keeper.files.read(fd, into, start))
      this.#check()
      if (n < into.length) this.#damaged(`its file ends at byte ${start + n}`)
    } finally {
      letGo()
    }
  }

  sound(piece?: number): boolean {
    if (this.complete) this.#watch()
    return piece === undefined ? this.#soundness.whole : this.#soundness.has(piece)
  }

  /** Nothing writes to the file of a complete blob: if it has changed all the same, it is not what was seen. */
  #watch(): void {
    const changedAt = changeTime(this.path)
    if (changedAt === this.#changedAt) return
    this.#soundness.forget()
    this.#changedAt = changedAt
  }

  async check(piece: number, into?: Uint8Array): Promise<boolean> {
    if (!this.have.has(piece)) return false
    const length = pieceBytes(this.layout, piece)
    if (await this.#right(piece, into?.subarray(0, length) ?? Buffer.allocUnsafeSlow(length))) return true
    this.#soundness.lost(piece)
    // Of what is being hashed as a whole, that decides.
    if (!this.#finishing) await this.#lose(piece)
    return false
  }

  /** Reads a piece. Where nobody has stated its digest, that of the whole is all there is. */
  async #right(piece: number, bytes: Uint8Array): Promise<boolean> {
    if (!(await this.#load(piece, bytes))) return false
    if (this.metainfo.digestOf(piece) === undefined) return this.complete || this.#soundness.has(piece)
    const right = this.metainfo.verify(piece, bytes)
    if (right) this.#soundness.saw(piece)
    return right
  }

  /** False if the disk cannot give the piece, which is then as good as wrong. @throws {Failure} `no-disk` */
  async #load(piece: number, bytes: Uint8Array): Promise<boolean> {
    const read = () => this.readInto(pieceStart(this.layout, piece), bytes)
    // On another program's disk nothing is to be written, and nothing but a claim can be lost.
    const answers = async () => this.borrowed || this.#keeper.answers()
    const said = await unreadable(read, answers)
    // Then nothing can be written to it either.
    if (said && 'syscall' in said && said.syscall === 'open') this.#damaged(`it cannot be opened: ${said.message}`)
    return said === undefined
  }

  #unreadable(piece: number): string {
    return `the disk cannot read piece ${piece} of ${this.digest} any more; it has to be fetched again`
  }

  /**
   * A wrong piece of a complete blob is rarely alone: all are looked at, so that what has to be fetched again is known at
   * once. What is left counts as recorded; the whole is hashed again before it is called complete.
   */
  async #lose(piece: number): Promise<void> {
    const wrong = [piece]
    if (this.complete) {
      const memory = Buffer.allocUnsafeSlow(this.layout.pieceLength)
      for (const other of [...this.have.indexes()]) {
        if (other === piece || this.#soundness.has(other)) continue
        if (!(await this.#right(other, memory.subarray(0, pieceBytes(this.layout, other))))) wrong.push(other)
      }
    }
    if (this.gone || this.#finishing) return
    // It is nobody's here to mend.
    if (this.borrowed) this.#damaged(`${wrong.length} pieces of ${this.path} are not what they should be`)
    // Somebody else found the same meanwhile, and it may have been mended: it was seen to be right since.
    const lost = wrong.filter((each) => this.have.has(each) && !this.#soundness.has(each))
    if (lost.length > 0) this.#disclaim(lost)
  }

  #disclaim(lost: readonly number[]): void {
    for (const each of lost) this.have.clear(each)
    const { complete } = this
    this.complete = false
    this.#mtime = null
    this.#hash = undefined
    this.#keeper.lost(this, lost, complete)
    this.#keeper.changed(this)
  }

  verified(): void {
    this.#verifiedAt = this.#keeper.wall()
    this.#measure()
    this.#keeper.changed(this)
  }

  finish(): Promise<void> {
    if (this.complete && !this.gone) return Promise.resolve()
    this.#finishing ??= this.#finish().finally(() => {
      this.#finishing = undefined
    })
    return this.#finishing
  }

  async #finish(): Promise<void> {
    this.#check()
    if (!this.have.complete) {
      throw new Failure(
        'internal',
        `${this.digest} cannot be finished: ${this.have.count} of ${this.layout.count} pieces`,
      )
    }
    const letGo = this.hold()
    try {
      // Before the file is read for it: what changes from now on was not seen.
      this.#changedAt = changeTime(this.path)
      const hex = await this.#hashing().hex()
      this.#hash = undefined
      this.#check()
      const digest = `${algorithmOf(this.digest)}:${hex}`
      if (digest !== this.digest) this.#damaged(`its bytes have the digest ${digest}`, { digest })
      this.complete = true
      this.#verifiedAt = this.#keeper.wall()
      this.#keeper.completed(this)
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error
      this.#soundness.lost(error.piece)
      this.#disclaim([error.piece])
      // No digest was wrong, and nobody has lied.
      throw new Failure('unavailable', this.#unreadable(error.piece))
    } finally {
      letGo()
    }
  }

  /**
   * A file of the same disk that has all of it, as the caller has seen, becomes its own. Resolves when that is so also after
   * a power cut.
   */
  async take(file: string): Promise<void> {
    this.#check()
    mkdirSync(dirname(this.path), { recursive: true })
    renameSync(file, this.path)
    // Nothing may have been read from a file that was there before.
    void this.#keeper.files.drop(this.path)
    this.#unnamed = true
    const before = this.bytes
    for (let piece = 0; piece < this.layout.count; piece++) {
      this.have.set(piece)
      this.#soundness.saw(piece)
    }
    this.#hash = undefined
    this.#changedAt = changeTime(this.path)
    this.#keeper.grew(this, this.size - before, 0)
    this.#measure()
    this.#unsynced = true
    this.complete = true
    this.#verifiedAt = this.#keeper.wall()
    this.#keeper.completed(this)
    this.#keeper.changed(this)
    await this.sync()
  }

  hold(): () => void {
    this.#touch()
    return this.#hold(() => this.#touch())
  }

  /** By itself no use: the node looks at its bytes now and then, whether anybody wants the blob or not. */
  #hold(done = () => {}): () => void {
    this.#users++
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#users--
      done()
      if (this.#users === 0) this.#keeper.idle(this)
    }
  }

  /** Brings what was written to the disk; a complete blob is recorded as such only then. Nobody has to wait for it. */
  sync(): Promise<void> {
    this.#syncing ??= this.#sync().finally(() => {
      this.#syncing = undefined
    })
    return this.#syncing
  }

  async #sync(): Promise<void> {
    // Writes that come meanwhile, and completion, take another round.
    while (!this.gone && !this.durable && (this.#unsynced || this.complete)) {
      const complete = this.complete
      this.#unsynced = false
      try {
        // With its times: a record of completeness is believed as long as the file's time is the one noted in it.
        const mtime = await this.#use<number | null>(complete ? syncAll : syncData, complete)
        if (this.#unnamed) await syncDir(dirname(this.own))
        this.#unnamed = false
        if (this.gone) return
        this.#mtime = mtime
        if (this.#metainfo) this.#shelve(this.#metainfo)
        this.#measure()
        this.#keeper.changed(this)
      } catch (error) {
        this.#unsynced = true
        throw error
      }
    }
  }

  /** Asks the file system what the file takes. */
  #measure(): void {
    if (this.gone || this.borrowed) return
    let stat: Stats | undefined
    try {
      stat = statSync(this.path, { throwIfNoEntry: false })
    } catch {
      // What went wrong before is what matters.
      return
    }
    const disk = stat ? onDisk(stat.blocks) : 0
    const grown = disk - this.#disk
    this.#disk = disk
    if (grown !== 0) this.#keeper.grew(this, 0, grown)
  }

  #touch(): void {
    const now = this.#keeper.wall()
    // The catalog need not know to the second when a blob was used.
    if (!this.gone && now - this.usedAt > 10_000) this.#keeper.changed(this)
    this.usedAt = now
  }

  async #store(position: number, bytes: Uint8Array): Promise<void> {
    const written = this.#keeper.reserve(this, Math.max(0, bytes.length - this.leftover))
    try {
      try {
        await this.#use((fd) => writeAt(fd, bytes, position), true)
      } catch (error) {
        // The kernel reads the last block of a file to write a part of it: one that it cannot read has to go before.
        if (isUnreadable(error) && position + bytes.length === this.size) {
          await this.#use((fd) => cutAt(fd, position), true)
        } else if (isDiskFull(error)) await this.#keeper.relieve(this, bytes.length)
        else throw error
        this.#check()
        await this.#use((fd) => writeAt(fd, bytes, position), true)
      }
    } catch (error) {
      if (error instanceof Failure) throw error
      const message = `cannot write ${shortDigest(this.digest)} to ${this.path}: ${(error as Error).message}`
      if (!isDiskFull(error)) {
        this.#keeper.troubled(`${message}; check that disk`)
        throw new Failure('no-disk', `${message}; check that disk`, { cause: error })
      }
      throw new Failure('no-space', `${message}; free some space there or lower --cache-size`, { cause: error })
    } finally {
      written()
    }
  }

  async #use<T>(task: (fd: number) => Promise<T>, writing = false): Promise<T> {
    // A file that should have bytes is never made anew: its holes would pass for them.
    const create = writing && this.bytes === 0
    if (create) mkdirSync(dirname(this.path), { recursive: true })
    try {
      return await this.#keeper.files.use(this.path, create, task, this.borrowed)
    } catch (error) {
      if (this.borrowed && isAway(error)) {
        this.#keeper.left(this)
        this.#check()
      }
      if (codeOf(error) === 'ENOENT' && !create) this.#damaged('its file is missing')
      throw error
    }
  }

  #hashing(): WholeHash {
    this.#hash ??= new WholeHash(algorithmOf(this.digest), this.layout, this.have, {
      readPiece: async (piece, into) => {
        if (!(await this.#load(piece, into))) throw new Unreadable(piece)
      },
    })
    return this.#hash
  }

  #check(): void {
    this.#keeper.checkOpen()
    if (this.gone) throw new Failure('unavailable', `${shortDigest(this.digest)} was removed from this node meanwhile`)
  }

  /** @param detail `digest`: the one that its bytes have */
  #damaged(reason: string, detail: { digest?: string } = {}): never {
    this.#keeper.damaged(this, reason)
    throw new Failure('corrupt', `${this.digest} is damaged: ${reason}; it was dropped and has to be fetched again`, {
      detail,
    })
  }
}

class Unreadable extends Error {
  readonly piece: number

  constructor(piece: number) {
    super(`piece ${piece} cannot be read`)
    this.piece = piece
  }
}

function blocks(bytes: number): number {
  return Math.ceil(bytes / blockBytes) * blockBytes
}

/** In ms. Nobody can set it back, as one can the time of modification. NaN, which equals nothing, where no file can be seen. */
function changeTime(path: string): number {
  try {
    return statSync(path).ctimeMs
  } catch {
    return Number.NaN
  }
}

export function bytesOf(layout: Layout, have: Bitmap): number {
  const last = layout.count - 1
  const full = have.count - (have.has(last) ? 1 : 0)
  return full * layout.pieceLength + (have.has(last) ? pieceBytes(layout, last) : 0)
}
