/**
 * Bytes that arrive before anybody can say which blob they are: what a client pushes, or a file at a URL. They lie where files of blobs lie,
 * count for the limits of the store, and become a blob by a rename. Nothing of them outlives the process.
 */
import { mkdirSync, openSync, readdirSync, rmSync } from 'node:fs'
import { unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import type { Segment } from '../piece/metainfo.ts'
import type { Blob, BlobKind, Spool } from './blob-store.ts'
import { isDiskFull } from './data-dir.ts'
import { closeOff, readAt, writeAt } from './open-files.ts'
import type { Claim } from './room.ts'

/** The store that it is in. */
export interface Spooling {
  /** @throws {Failure} `unavailable` once the store is closing */
  checkOpen(): void
  /** @throws {Failure} `no-space` */
  reserve(claim: Claim, bytes: number): () => void
  /** So many more bytes of the disk are taken, which may be less than none. */
  took(bytes: number): void
  /** So much of the disk is about to be free again. */
  freed(bytes: number): void
  /** Makes the file at `path` the file of a blob that has `size` bytes, if it is not there already. */
  adopt(
    spec: { readonly digest: Digest; readonly size: number; readonly kind: BlobKind; readonly mediaType?: string },
    path: string,
    segments: Iterable<Segment>,
  ): Promise<Blob>
}

export class FileSpool implements Spool, Claim {
  readonly name: string
  readonly leftover = 0
  readonly #what: string
  readonly #path: string
  readonly #fd: number
  readonly #store: Spooling
  #size = 0
  #expected = 0
  #busy = false
  #over = false
  /** What is being done with the file. */
  #work: Promise<unknown> = Promise.resolve()
  #ended: Promise<void> | undefined

  constructor(dir: string, store: Spooling, what = 'upload') {
    const id = crypto.randomUUID()
    this.name = `${what} ${id}`
    this.#what = what
    this.#path = join(dir, id)
    this.#store = store
    this.#fd = openSync(this.#path, 'wx+', 0o600)
  }

  /** With what is about to come. */
  get size(): number {
    return this.#size + this.#expected
  }
  get bytes(): number {
    return this.#size
  }
  get length(): number {
    return this.#size
  }

  async append(bytes: Uint8Array): Promise<void> {
    await this.#alone(async () => {
      this.#expected = bytes.length
      const written = this.#store.reserve(this, bytes.length)
      try {
        await writeAt(this.#fd, bytes, this.#size)
      } catch (error) {
        const full = isDiskFull(error)
        const message = `cannot write the ${this.#what} to ${this.#path}: ${(error as Error).message}`
        throw new Failure(full ? 'no-space' : 'no-disk', message, { cause: error })
      } finally {
        written()
      }
      this.#size += bytes.length
      this.#expected = 0
      this.#store.took(bytes.length)
    })
  }

  read(start: number, into: Uint8Array): Promise<Uint8Array> {
    return this.#alone(async () => {
      const read = await readAt(this.#fd, into, start)
      if (read < into.length)
        throw new Failure('internal', `the ${this.#what} ended at byte ${start + read} of ${this.#size}`)
      return into
    })
  }

  async keep(
    spec: { readonly digest: Digest; readonly kind: BlobKind; readonly mediaType?: string },
    segments: Iterable<Segment>,
  ): Promise<Blob> {
    return this.#alone(async () => {
      const blob = await this.#store.adopt({ ...spec, size: this.#size }, this.#path, segments)
      await this.#end()
      return blob
    })
  }

  /** What is being done with it ends first: a descriptor that is closed may be another file's in that moment. */
  async discard(): Promise<void> {
    this.#over = true
    await this.#work.catch(() => {})
    // What has become a blob has taken its bytes along.
    if (!this.#ended) this.#store.freed(this.#size)
    await this.#end()
  }

  #end(): Promise<void> {
    this.#over = true
    this.#ended ??= this.#close()
    return this.#ended
  }

  async #close(): Promise<void> {
    this.#store.took(-this.#size)
    await closeOff(this.#fd)
    // It is not there any more where it has become a blob.
    await unlink(this.#path).catch(() => {})
  }

  async #alone<T>(work: () => Promise<T>): Promise<T> {
    this.#store.checkOpen()
    if (this.#over) throw new Failure('unavailable', `the ${this.#what} has ended`)
    if (this.#busy) throw new Failure('internal', `two parts of the ${this.#what} are handled at once`)
    this.#busy = true
    try {
      const working = work()
      this.#work = working
      return await working
    } finally {
      this.#busy = false
    }
  }
}

/** Makes the folder, without what an earlier process left there. */
export function emptySpools(dir: string): number {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const left = readdirSync(dir)
  for (const name of left) rmSync(join(dir, name), { force: true })
  return left.length
}
