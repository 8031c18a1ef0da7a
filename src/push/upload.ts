/**
 * One upload: bytes that a client sends, in one request or in several, hashed and written as they come. What was said of it
 * is what is on the disk: whoever breaks off goes on where the last byte was taken.
 */
import type { Clock } from '../clock.ts'
import { Failure } from '../failure.ts'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'
import { mostBlobBytes } from '../piece/layout.ts'
import type { Spool } from '../store/blob-store.ts'

/** Written at a time: what comes from a socket is shorter, and each write costs a turn of the thread pool. */
const writeBytes = 256 * 1024
/** A client that sends nothing for so long has gone, ms. */
const silentMs = 60_000

export interface UploadInit {
  readonly repository: Repository
  /** Who began it, and alone goes on. */
  readonly by: string
  readonly spool: Spool
  readonly clock: Clock
  /** The others, which may have to make room for it. */
  readonly uploads: { withRoom<T>(work: () => Promise<T>): Promise<T> }
}

export class Upload {
  readonly id: string = crypto.randomUUID()
  readonly repository: Repository
  readonly by: string
  readonly spool: Spool
  readonly #clock: Clock
  readonly #uploads: UploadInit['uploads']
  readonly #hasher = new Bun.CryptoHasher('sha256')
  #usedAt: number
  #busy = false

  constructor({ repository, by, spool, clock, uploads }: UploadInit) {
    this.repository = repository
    this.by = by
    this.spool = spool
    this.#clock = clock
    this.#uploads = uploads
    this.#usedAt = clock.now()
  }

  get length(): number {
    return this.spool.length
  }
  /** How long nobody has done anything with it, in ms. */
  get idleMs(): number {
    return this.#busy ? 0 : this.#clock.now() - this.#usedAt
  }

  /** Takes all of `body`. @throws {Failure} `bad-upload` when it breaks off, `no-space`, `no-disk`, `too-large` */
  async append(body: AsyncIterable<Uint8Array>): Promise<void> {
    await this.alone(async () => {
      const chunks: Uint8Array[] = []
      let waiting = 0
      const write = async () => {
        if (waiting === 0) return
        const bytes = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
        chunks.length = 0
        waiting = 0
        await this.#uploads.withRoom(() => this.spool.append(bytes))
        this.#hasher.update(bytes)
      }
      try {
        for await (const chunk of timely(body, this.#clock)) {
          if (this.length + waiting + chunk.length > mostBlobBytes) {
            throw new Failure('too-large', `a blob may have ${mostBlobBytes} bytes`)
          }
          // The runtime may use its memory again.
          chunks.push(new Uint8Array(chunk))
          waiting += chunk.length
          if (waiting >= writeBytes) await write()
        }
      } catch (error) {
        if (error instanceof Failure && error.code !== 'cancelled') throw error
        await write()
        throw new Failure('bad-upload', `the body broke off after ${this.length} bytes of the upload`, { cause: error })
      }
      await write()
    })
  }

  /** @throws {Failure} `bad-digest` when the bytes have another digest */
  async verify(digest: Digest): Promise<void> {
    const algorithm = algorithmOf(digest)
    const hex = algorithm === 'sha256' ? this.#hasher.copy().digest('hex') : await this.#hash(algorithm)
    if (hex === hexOf(digest)) return
    throw new Failure(
      'bad-digest',
      `the ${this.length} bytes that came have the digest ${algorithm}:${hex}, not ${digest}`,
    )
  }

  /** Nothing else is done with it meanwhile. @throws {Failure} `bad-upload` when something is */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    if (this.#busy) throw new Failure('bad-upload', 'another request is writing to this upload')
    this.#busy = true
    try {
      return await work()
    } finally {
      this.#busy = false
      this.#usedAt = this.#clock.now()
    }
  }

  async #hash(algorithm: 'sha512'): Promise<string> {
    const hasher = new Bun.CryptoHasher(algorithm)
    const memory = Buffer.allocUnsafe(1024 * 1024)
    for (let at = 0; at < this.length; at += memory.length) {
      hasher.update(await this.spool.read(at, memory.subarray(0, Math.min(memory.length, this.length - at))))
    }
    return hasher.digest('hex')
  }
}

/** @throws {Failure} `cancelled` when nothing comes for long */
export async function* timely(body: AsyncIterable<Uint8Array>, clock: Clock): AsyncGenerator<Uint8Array> {
  const iterator = body[Symbol.asyncIterator]()
  try {
    for (;;) {
      const late = Promise.withResolvers<never>()
      const cancel = clock.after(silentMs, () =>
        late.reject(new Failure('cancelled', `the client sent nothing for ${silentMs / 1000} s`)),
      )
      const next = await Promise.race([iterator.next(), late.promise]).finally(cancel)
      if (next.done) return
      yield next.value
    }
  } finally {
    // Not waited for: a body that gives nothing does not end either.
    void iterator.return?.()
  }
}
