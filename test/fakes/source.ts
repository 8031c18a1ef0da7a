/** A source in memory: gives what it has, in chunks, and counts what it was asked for. */
import { Failure } from '../../src/failure.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { formatReference, type Repository, type Tag } from '../../src/oci/reference.ts'
import type { Location, OpenBody, Passed, Resolved, Source, Stat } from '../../src/source/source.ts'

export interface FakeSourceBlob {
  readonly bytes: Uint8Array
  readonly mediaType: string
}

export class FakeSource implements Source {
  /** `resolve <tag>`, `stat <digest>`, `open <digest> <start>` or `<start>-<end>`, `pass <path>`, in order. */
  readonly calls: string[] = []
  /** Bytes given so far. */
  sent = 0
  /** Streams that were opened and have not ended. */
  streams = 0
  chunk = 100_000
  /** Thrown by every call while set. */
  failure: Failure | undefined
  /** What one place alone answers. */
  refuses: (location: Location) => Failure | undefined = () => undefined
  /** Nobody can tell how long something is before it is read. */
  untold = false
  /** It sends all of a blob, whatever part is asked for. */
  sendsAll = false
  /** Instead of what `open` would give. */
  answer: ((location: Location, start: number) => OpenBody) | undefined
  /** Awaited before every chunk. */
  gate: () => Promise<void> | void = () => {}
  readonly #blobs = new Map<Digest, FakeSourceBlob>()
  readonly #tags = new Map<string, Digest>()

  add(bytes: Uint8Array, mediaType = 'application/octet-stream'): Digest {
    const digest = digestOf(bytes)
    this.#blobs.set(digest, { bytes, mediaType })
    return digest
  }
  tag(repository: Repository, tag: Tag, digest: Digest): void {
    this.#tags.set(formatReference({ ...repository, tag }), digest)
  }

  async resolve(repository: Repository, tag: Tag): Promise<Resolved> {
    this.#called(`resolve ${tag}`)
    const digest = this.#tags.get(formatReference({ ...repository, tag }))
    if (!digest) throw new Failure('no-manifest', `there is no tag ${tag}`)
    return { digest, ...this.#statOf(digest, 'no-manifest') }
  }

  async stat(location: Location, _signal?: AbortSignal, told?: number): Promise<Stat> {
    const { digest, kind } = location
    this.#called(`stat ${digest}`, location)
    if (this.untold && told !== undefined) return { size: told, mediaType: 'application/octet-stream' }
    if (this.untold) throw new Failure('no-blob', 'it says that there is none')
    return this.#statOf(digest, kind === 'blob' ? 'no-blob' : 'no-manifest')
  }

  async open(location: Location, start: number, signal?: AbortSignal, end?: number): Promise<OpenBody> {
    this.#called(`open ${location.digest} ${start}${end === undefined ? '' : `-${end}`}`, location)
    if (this.answer) return this.answer(location, start)
    const stat = this.#statOf(location.digest, 'no-blob')
    const { bytes } = this.#blobs.get(location.digest)!
    if (!this.sendsAll || (start === 0 && end === undefined)) {
      return { ...stat, body: this.#body(bytes.subarray(0, end), start, signal) }
    }
    return { ...stat, body: behind(start, this.#body(bytes, 0, signal)), ranged: false }
  }

  async pass(_repository: Repository, path: string): Promise<Passed> {
    this.#called(`pass ${path}`)
    return { status: 200, headers: new Headers(), body: Buffer.from(path) }
  }

  /** How often content was opened. */
  get opened(): number {
    return this.calls.filter((call) => call.startsWith('open')).length
  }

  #called(call: string, location?: Location): void {
    this.calls.push(call)
    const failure = this.failure ?? (location && this.refuses(location))
    if (failure) throw failure
  }

  #statOf(digest: Digest, missing: 'no-blob' | 'no-manifest'): Stat {
    const blob = this.#blobs.get(digest)
    if (!blob) throw new Failure(missing, `there is no ${digest}`)
    return { size: blob.bytes.length, mediaType: blob.mediaType }
  }

  async *#body(bytes: Uint8Array, start: number, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    this.streams++
    try {
      for (let at = start; at < bytes.length; at += this.chunk) {
        await this.gate()
        if (signal?.aborted) throw new Failure('cancelled', 'nobody wants it any more')
        const part = bytes.subarray(at, at + this.chunk)
        this.sent += part.length
        yield part
      }
    } finally {
      this.streams--
    }
  }
}

/** What comes from byte `start` on, and nothing for what comes before. */
async function* behind(start: number, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let at = 0
  for await (const chunk of body) {
    yield chunk.subarray(Math.min(chunk.length, Math.max(0, start - at)))
    at += chunk.length
  }
}
