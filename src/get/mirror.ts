/** The node's registry port, as a client of it sees it. */
import { z } from 'zod'
import { type Clock, pause } from '../clock.ts'
import { Failure, type FailureCode } from '../failure.ts'
import { parseJson } from '../json.ts'
import { type Digest, digestOf, isDigest, shortDigest } from '../oci/digest.ts'
import { isOrigin } from '../oci/file.ts'
import { acceptManifests, maxManifestBytes, mediaTypeOf } from '../oci/media.ts'
import { formatRepository, type Repository } from '../oci/reference.ts'
import { digestSchema } from '../oci/schemas.ts'
import type { Manifest } from './image.ts'

export interface MirrorOptions {
  /** `http://127.0.0.1:4880` */
  readonly base: string
  readonly clock: Clock
  readonly signal?: AbortSignal
  /** Names all that is asked for: the node then knows what came from where, see {@link Mirror.shares}. */
  readonly id?: string
  /** Tries in a row that bring nothing. */
  readonly attempts?: number
}

/** A try that brought nothing is followed by another after this, twice as long each time, up to the second. */
const firstPauseMs = 250
const longestPauseMs = 4000
/** For a node that is started anew while somebody downloads. */
const usualAttempts = 7

/** Between two questions for the digest of a file that is being read. */
const readingMs = 500

const bytes = z.number().int().min(0)
const sharesSchema = z.object({ store: bytes, swarm: bytes, source: bytes })
/** Bytes by where they came from; `store`: what was on the node's host already. */
export type Shares = z.infer<typeof sharesSchema>

export interface FileFacts {
  readonly digest: Digest
  readonly size: number
}

const fileSchema = z.object({
  digest: digestSchema,
  size: z.number().int().min(0),
})

/** A connection that could not be made, or broke: the next may be better. */
class Broken extends Error {}

export class Mirror {
  readonly #o: MirrorOptions

  constructor(options: MirrorOptions) {
    this.#o = options
  }

  /** By tag or digest. @throws {Failure} */
  async manifest(repository: Repository, reference: string): Promise<Manifest> {
    const url = this.#url(repository, `manifests/${reference}`)
    const answer = await this.#again(() => this.#ask(url, { accept: acceptManifests }))
    const bytes = await wholeOf(answer, maxManifestBytes)
    const digest = isDigest(reference)
      ? reference
      : (answer.headers.get('docker-content-digest') ?? digestOf(bytes, 'sha256'))
    if (!isDigest(digest) || digestOf(bytes, digest.startsWith('sha512:') ? 'sha512' : 'sha256') !== digest) {
      throw new Failure('corrupt', `the manifest ${reference} of ${formatRepository(repository)} has another digest`)
    }
    return { bytes, digest, mediaType: answer.headers.get('content-type') || mediaTypeOf(bytes) }
  }

  /** From `start` to the end, over as many connections as it takes. @throws {Failure} */
  async *blob(repository: Repository, digest: Digest, size: number, start: number): AsyncGenerator<Uint8Array> {
    const url = this.#url(repository, `blobs/${digest}`)
    let at = start
    for (let failed = 0; at < size || size === 0; ) {
      const before = at
      try {
        const answer = await this.#ask(url, at === 0 ? {} : { range: `bytes=${at}-` })
        if (at > 0 && answer.status !== 206)
          throw new Failure('corrupt', `${shortDigest(digest)} came from its beginning`)
        for await (const chunk of chunksOf(answer)) {
          at += chunk.length
          if (at > size)
            throw new Failure('corrupt', `${shortDigest(digest)} is longer than the ${size} bytes it should have`)
          yield chunk
        }
        if (at < size) throw new Broken(`the node broke off after ${at} of ${size} bytes of ${shortDigest(digest)}`)
        return
      } catch (error) {
        failed = at > before ? 1 : failed + 1
        await this.#pause(failed, error)
      }
    }
  }

  async #again<T>(work: () => Promise<T>): Promise<T> {
    for (let failed = 1; ; failed++) {
      try {
        return await work()
      } catch (error) {
        await this.#pause(failed, error)
      }
    }
  }

  /** @throws what the try failed with where another one does not help */
  async #pause(failed: number, error: unknown): Promise<void> {
    const { clock, signal, attempts = usualAttempts } = this.#o
    if (!(error instanceof Broken)) throw error
    if (failed >= attempts) throw new Failure('unavailable', error.message)
    await pause(clock, Math.min(longestPauseMs, firstPauseMs * 2 ** (failed - 1)), signal)
  }

  /**
   * Digest and size of a file; `digest` where that is known. `waiting` is told what the node says while it finds out.
   * @throws {Failure}
   */
  async file(repository: Repository, digest: Digest | undefined, waiting: (why: string) => void): Promise<FileFacts> {
    if (digest) return { digest, size: await this.#sizeOf(repository, digest) }
    const url = `${this.#o.base}/shoal/file?url=${encodeURIComponent(formatRepository(repository))}`
    for (;;) {
      try {
        const answer = await this.#again(() => this.#ask(url, {}))
        const text = new TextDecoder().decode(await wholeOf(answer, 4096))
        return fileSchema.parse(parseJson(text))
      } catch (error) {
        if (!(error instanceof Failure) || error.code !== 'reading') throw error
        waiting(error.message)
        await pause(this.#o.clock, readingMs, this.#o.signal)
      }
    }
  }

  /** Where what came so far came from; undefined if the node does not say. */
  async shares(): Promise<Shares | undefined> {
    try {
      const answer = await this.#ask(`${this.#o.base}/shoal/download?id=${this.#o.id ?? ''}`, {})
      return sharesSchema.parse(parseJson(new TextDecoder().decode(await wholeOf(answer, 4096))))
    } catch {
      return undefined
    }
  }

  async #sizeOf(repository: Repository, digest: Digest): Promise<number> {
    const url = this.#url(repository, `blobs/${digest}`)
    const head = await this.#again(() => this.#ask(url, {}, 'HEAD'))
    const said = head.headers.get('content-length')
    if (head.ok && said && /^\d{1,15}$/.test(said)) return Number(said)
    // Why it cannot be had is in a body.
    const answer = await this.#ask(url, {})
    await answer.body?.cancel()
    throw new Failure('corrupt', `the node does not tell the size of ${shortDigest(digest)}`)
  }

  #url({ registry, name }: Repository, path: string): string {
    if (isOrigin(registry)) {
      const query = new URLSearchParams({ url: `${registry}/${name}`, digest: path.replace('blobs/', '') })
      return `${this.#o.base}/shoal/file?${query}`
    }
    return `${this.#o.base}/v2/${name}/${path}?ns=${encodeURIComponent(registry)}`
  }

  /** @throws {Failure} what the node says; {Broken} when it says nothing */
  async #ask(url: string, headers: Record<string, string>, method: 'GET' | 'HEAD' = 'GET'): Promise<Response> {
    const { base, signal, id } = this.#o
    const answer = await fetch(url, {
      method,
      headers: {
        ...headers,
        ...(id ? { 'shoal-download': id } : {}),
        'accept-encoding': 'identity',
        'user-agent': 'shoal-get',
      },
      redirect: 'error',
      decompress: false,
      // HTTP_PROXY is meant for what lies outside; Bun would use it for 127.0.0.1 too.
      proxy: false,
      ...(signal ? { signal } : {}),
    }).catch((error: unknown) => {
      throw signal?.aborted ? error : new Broken(`no node answers at ${base}`)
    })
    if (answer.ok || method === 'HEAD') return answer
    const { code, message } = await said(answer)
    if (code === 'READING') throw new Failure('reading', message)
    const wrong = meanings.get(code) ?? 'no-blob'
    throw new Failure(answer.status === 404 ? wrong : 'unavailable', `the node could not get it: ${message}`)
  }
}

/** Of codes that come with 404 like all that a node does not give. */
const meanings: ReadonlyMap<string, FailureCode> = new Map([
  ['DIGEST_INVALID', 'corrupt'],
  ['TOOMANYREQUESTS', 'unavailable'],
])

const errorSchema = z.object({ errors: z.array(z.object({ code: z.string(), message: z.string() })).min(1) })

/** The last of several is the node's own: what comes before it is for engines. */
async function said(answer: Response): Promise<{ code: string; message: string }> {
  const text = new TextDecoder().decode(await wholeOf(answer, 64 * 1024).catch(() => new Uint8Array()))
  try {
    return errorSchema.parse(parseJson(text)).errors.at(-1)!
  } catch {
    return { code: '', message: `status ${answer.status}` }
  }
}

/** Bun's reader gives all chunks that are there at once, which its types keep from fetch's streams. */
interface ManyReader {
  readMany(): Promise<{ done: boolean; value: Uint8Array[] }> | { done: boolean; value: Uint8Array[] }
}

/** @throws {Broken} */
async function* chunksOf(answer: Response): AsyncGenerator<Uint8Array> {
  const reader = attempt(() => answer.body?.getReader()) as (ManyReader & { cancel(): Promise<void> }) | undefined
  let over = reader === undefined
  try {
    while (reader && !over) {
      over = true
      const { done, value } = await attempt(() => reader.readMany())
      over = done
      yield* value
    }
  } finally {
    // Whoever does not read to the end does not want the rest.
    if (!over) await reader?.cancel().catch(() => {})
  }
}

/** A body whose connection broke says so when it is touched, at once or later. @throws {Broken} */
function attempt<T>(read: () => T): T {
  const broken = (error: unknown) => {
    throw new Broken(`the node broke off: ${error instanceof Error ? error.message : error}`)
  }
  try {
    const result = read()
    return result instanceof Promise ? (result.catch(broken) as T) : result
  } catch (error) {
    return broken(error)
  }
}

async function wholeOf(answer: Response, most: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of chunksOf(answer)) {
    length += chunk.length
    if (length > most) throw new Failure('corrupt', `the node answered with more than ${most} bytes`)
    chunks.push(chunk)
  }
  return new Uint8Array(Buffer.concat(chunks))
}
