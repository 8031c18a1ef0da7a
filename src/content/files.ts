/**
 * From URL to digest. A swarm needs a name that says which bytes it is about, and a URL says that only as long as its
 * server does not change its mind. So whoever resolves URLs for the cluster (the scheduler that owns the URL, as with
 * tags) asks the server which version there is; the digest of a version that is not known yet is found out by reading
 * it once, into the store, so that the others get it from here. Nobody else's bytes are involved before there is a digest:
 * nodes that a server gives different bytes never mix them.
 *
 * Reading takes as long as it takes, and a question between nodes must not: until it is done the answer is that it is
 * under way, and who wants to know asks again. The server is not: what is read is what counts.
 */
import prettyBytes from 'pretty-bytes'
import { type Clock, pause } from '../clock.ts'
import { Failure } from '../failure.ts'
import { lru } from '../lru.ts'
import { type Digest, digestOf, hexOf, isDigest } from '../oci/digest.ts'
import { urlOfFile } from '../oci/file.ts'
import { formatRepository, parseTag, type Repository, type Tag } from '../oci/reference.ts'
import { mostBlobBytes } from '../piece/layout.ts'
import type { FileSource, OpenFile } from '../source/file-source.ts'
import type { FileVersion } from '../source/file-version.ts'
import type { Resolved } from '../source/source.ts'
import type { BlobStore, Spool } from '../store/blob-store.ts'
import { type Signer, statementsOf } from '../swarm/statements.ts'
import type { Log } from '../telemetry/log.ts'

export interface FilesOptions {
  readonly source: Pick<FileSource, 'version' | 'openNow'>
  readonly store: Pick<BlobStore, 'spool' | 'tag' | 'setTag' | 'usage'>
  readonly signer: Signer
  readonly clock: Clock
  readonly log: Log
  /** Called when a file is here whole, before anybody is told of its digest. */
  readonly stored: (repository: Repository, digest: Digest) => void
}

interface Reading {
  done: number
  size: number
  failure: Failure | undefined
  /** What was read: for all who ask soon after, where the server names no versions; else for the first of them. */
  result: { readonly resolved: Resolved; readonly once: boolean } | undefined
}

/** Files that are read at the same time. */
const atOnce = 2
const mostWaiting = 64
const failureKeptMs = 5_000
/** For who asked while it was read: what they are told counts as long as a tag does. */
const resultKeptMs = 10_000
/** For schedulers to hear that the file is here before others are told its name: else one would read it again. */
const spreadMs = 500

export class Files {
  readonly #o: FilesOptions
  /** By repository. */
  readonly #readings = new Map<string, Reading>()
  /** Repositories of which nothing is known but that they have to be read. */
  readonly #waiting = lru<string, true>(mostWaiting)
  readonly #stop = new AbortController()
  #running = 0

  constructor(options: FilesOptions) {
    this.#o = options
  }

  /** @throws {Failure} `reading` while it is being found out; what the server says */
  async resolve(repository: Repository, signal?: AbortSignal): Promise<Resolved> {
    const key = formatRepository(repository)
    const read = this.#progress(repository, key)
    if (read) return read
    if (this.#full && this.#waiting.has(key)) throw waitingFailure(repository)
    const version = await this.#o.source.version(repository, signal)
    const { digest, size } = version
    const known =
      digest !== undefined && size !== undefined ? { digest, size, mediaType } : this.#known(repository, version)
    if (known) {
      this.#waiting.delete(key)
      return known
    }
    return this.#progress(repository, key) ?? this.#begin(repository, key, size)
  }

  close(): void {
    this.#stop.abort()
  }

  #known(repository: Repository, { validator }: FileVersion): Resolved | undefined {
    return validator === undefined ? undefined : this.#o.store.tag(repository, tagOf(validator))
  }

  /** Undefined where it is not being read. @throws {Failure} how far that is, or why it cannot be */
  #progress(repository: Repository, key: string): Resolved | undefined {
    const reading = this.#readings.get(key)
    if (!reading) return undefined
    const { result, failure } = reading
    if (!result) throw failure ?? readingFailure(repository, reading)
    if (result.once) this.#readings.delete(key)
    return result.resolved
  }

  get #full(): boolean {
    return this.#readings.size >= mostWaiting || this.#running >= atOnce
  }

  /** @throws {Failure} `reading` */
  #begin(repository: Repository, key: string, size: number | undefined): never {
    if (this.#full) {
      this.#waiting.set(key, true)
      throw waitingFailure(repository)
    }
    this.#waiting.delete(key)
    const reading: Reading = { done: 0, size: size ?? 0, failure: undefined, result: undefined }
    this.#readings.set(key, reading)
    this.#running++
    this.#read(repository, reading)
      .then(
        () => this.#forget(key, reading, resultKeptMs),
        (error: unknown) => {
          reading.failure = Failure.from(error)
          this.#forget(key, reading, failureKeptMs)
        },
      )
      .finally(() => {
        this.#running--
      })
    throw readingFailure(repository, reading)
  }

  /** Another reading may have its place by then. */
  #forget(key: string, reading: Reading, ms: number): void {
    this.#o.clock.after(ms, () => {
      if (this.#readings.get(key) === reading) this.#readings.delete(key)
    })
  }

  async #read(repository: Repository, reading: Reading): Promise<void> {
    const { source, store, signer, clock, log, stored } = this.#o
    const file = await source.openNow(repository, this.#stop.signal)
    reading.size = file.size
    const { validator } = file.version
    const most = Math.min(store.usage().limit ?? mostBlobBytes, mostBlobBytes)
    if (file.size > most) throw new Failure('no-space', `there is no room to read a file of ${inBytes(file.size)}`)
    const spool = store.spool('file')
    try {
      const digest = await this.#spool(file, spool, reading)
      await spool.keep({ digest, kind: 'blob', mediaType }, await statementsOf(spool, digest, signer))
      stored(repository, digest)
      await pause(clock, spreadMs, this.#stop.signal)
      const record = { digest, size: file.size, mediaType, resolvedAt: clock.wall() }
      if (validator !== undefined) store.setTag(repository, tagOf(validator), record)
      reading.result = { resolved: record, once: validator !== undefined }
      log.info('a file was read for its digest', { url: formatRepository(repository), digest, bytes: file.size })
    } finally {
      await spool.discard()
    }
  }

  async #spool(file: OpenFile, spool: Spool, reading: Reading): Promise<Digest> {
    const hasher = new Bun.CryptoHasher('sha256')
    for await (const chunk of file.body) {
      hasher.update(chunk)
      await spool.append(chunk)
      reading.done = spool.length
    }
    const digest = `sha256:${hasher.digest('hex')}`
    if (!isDigest(digest)) throw new Failure('internal', `${digest} is no digest`)
    return digest
  }
}

const mediaType = 'application/octet-stream'

/** What is known of a version is kept as a tag of the file's repository. */
function tagOf(validator: string): Tag {
  return parseTag(`version-${hexOf(digestOf(Buffer.from(validator))).slice(0, 40)}`)
}

function waitingFailure(repository: Repository): Failure {
  return new Failure('reading', `${urlOfFile(repository)} waits until other files are read`)
}

function readingFailure(repository: Repository, { done, size }: Reading): Failure {
  return new Failure('reading', `${urlOfFile(repository)} is read for its digest: ${inBytes(done)} of ${inBytes(size)}`)
}

function inBytes(bytes: number): string {
  return prettyBytes(bytes, { binary: true })
}
