/**
 * The node on this host, as the mounter asks it: exact ranges of layers, their indexes, and what starts read first. Every
 * method tries once; who waits decides whether it is tried again.
 */
import { z } from 'zod'
import type { Clock } from '../../clock.ts'
import { Failure } from '../../failure.ts'
import { Mirror } from '../../get/mirror.ts'
import { parseJson } from '../../json.ts'
import { refuseStranger } from '../../local/stranger.ts'
import { type Digest, digestOf, isDigest, shortDigest } from '../../oci/digest.ts'
import type { Repository } from '../../oci/reference.ts'
import { parseContentRange } from '../../source/content-range.ts'
import type { NodeAddress } from '../unpacked-layer.ts'

/** A blob in a repository: what its node is asked for. */
export interface Blob {
  readonly repository: Repository
  readonly digest: Digest
}

export interface RangeOptions {
  /** What the node had was wrong: it is to look elsewhere. */
  readonly fresh: boolean
  /** Nobody waits for it: the node brings first what somebody waits for. */
  readonly patient?: boolean
  readonly signal: AbortSignal
}

export type IndexAnswer =
  | { readonly state: 'here'; readonly bytes: Uint8Array; readonly signer: string | undefined }
  | { readonly state: 'making'; readonly retryMs: number; readonly done: number; readonly total: number }
  | { readonly state: 'cannot'; readonly reason: string }

/** A node that says nothing for so long is asked anew, ms. */
const silenceMs = 15_000
/** Of an index: a million files have fewer. */
export const mostIndexBytes = 1024 * 1024 * 1024
/** Chunk numbers that are kept of what starts read first. */
export const mostReads = 4096
const mostReadsBytes = 64 * 1024
const usualRetryMs = 1000

const readsSchema = z.array(z.number().int().min(0)).max(mostReads)
const makingSchema = z.object({ done: z.number().min(0).default(0), total: z.number().min(0).default(0) })
const errorSchema = z.object({
  errors: z.array(z.object({ code: z.string().max(100), message: z.string() })).min(1),
})
/** Of nodes that have no index of a layer and will have none: it has no points, or nobody makes indexes. */
const lasting = ['UNSUPPORTED', 'NAME_UNKNOWN', 'SIZE_INVALID']

export class NodeClient {
  readonly #base: string
  readonly #clock: Clock

  constructor(node: NodeAddress, clock: Clock) {
    this.#base = node.registry.replace(/\/+$/, '')
    this.#clock = clock
  }

  /** For manifests and what is read whole; tries again by itself. */
  mirror(signal: AbortSignal): Mirror {
    return new Mirror({ base: this.#base, clock: this.#clock, signal })
  }

  /**
   * Compressed bytes from `from` to before `to` of a blob of `size` bytes, no more and no fewer.
   * @throws {Failure} `unavailable` where trying again may help, `corrupt` where the answer is not what was asked for
   */
  async *range(
    blob: Blob,
    { from, to, size }: { readonly from: number; readonly to: number; readonly size: number },
    { fresh, patient = false, signal }: RangeOptions,
  ): AsyncGenerator<Uint8Array> {
    const name = shortDigest(blob.digest)
    const headers = {
      range: `bytes=${from}-${to - 1}`,
      // What is to come beside it is asked for by itself, when nobody waits for anything else.
      'shoal-prefetch': 'none',
      ...(fresh ? { 'cache-control': 'no-cache' } : {}),
      // RFC 9218, section 4.1: background.
      ...(patient ? { priority: 'u=7' } : {}),
    }
    const patience = new Patience(this.#clock, signal)
    try {
      const answer = await this.#ask(blob, `blobs/${blob.digest}`, { headers, signal: patience.signal })
      if (answer.status !== 206) throw await this.#unexpected(answer, `bytes ${from} to ${to} of ${name}`)
      const said = parseContentRange(answer.headers.get('content-range'))
      if (said?.start !== from || said.end !== to || (said.size !== undefined && said.size !== size)) {
        throw new Failure('corrupt', `the node answered with other bytes of ${name} than it was asked for`)
      }
      let at = from
      for await (const bytes of bodyOf(answer, name)) {
        at += bytes.length
        if (at > to) throw new Failure('corrupt', `the node answered with more bytes of ${name} than were asked for`)
        patience.rest()
        yield bytes
        patience.renew()
      }
      if (at < to) throw new Failure('unavailable', `the node broke off after ${at - from} bytes of ${name}`)
    } finally {
      patience.end()
    }
  }

  /**
   * What it says is believed until the whole layer is here; pieces of the layer are compared with it.
   * @param fresh what came was wrong: the node is to look at all of what it has
   * @throws {Failure} `unavailable`, `corrupt`; `forbidden` where a stranger listens in the node's place
   */
  async index(blob: Blob, fresh: boolean, signal: AbortSignal): Promise<IndexAnswer> {
    await refuseStranger(this.#base)
    const patience = new Patience(this.#clock, signal)
    try {
      const answer = await this.#ask(blob, lazyPath(blob, 'index'), {
        headers: fresh ? { 'cache-control': 'no-cache' } : {},
        signal: patience.signal,
      })
      if (answer.status === 202) return making(answer.headers.get('retry-after'), await textOf(answer, 4096))
      if (answer.status !== 200)
        return cannotOr(await this.#unexpected(answer, `the index of ${shortDigest(blob.digest)}`))
      const digest = answer.headers.get('shoal-index-digest')
      const bytes = await wholeOf(answer, mostIndexBytes, shortDigest(blob.digest), () => patience.renew())
      if (digest === null || !isDigest(digest) || digestOf(bytes) !== digest) {
        throw new Failure('corrupt', `the index of ${shortDigest(blob.digest)} came with another digest`)
      }
      return { state: 'here', bytes, signer: answer.headers.get('shoal-index-signer') ?? undefined }
    } finally {
      patience.end()
    }
  }

  /** Numbers of the chunks that starts read first, in their order. None when nobody knows. */
  async reads(blob: Blob, signal: AbortSignal): Promise<readonly number[]> {
    const answer = await this.#ask(blob, lazyPath(blob, 'reads'), { headers: {}, signal })
    if (answer.status !== 200) {
      await answer.body?.cancel()
      return []
    }
    const parsed = readsSchema.safeParse(parseJson(await textOf(answer, mostReadsBytes)))
    return parsed.success ? parsed.data : []
  }

  /** @throws {Failure} */
  async tellReads(blob: Blob, chunks: readonly number[], signal: AbortSignal): Promise<void> {
    const answer = await this.#ask(blob, lazyPath(blob, 'reads'), {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(chunks.slice(0, mostReads)),
      signal,
    })
    if (!answer.ok) throw await this.#unexpected(answer, 'what this start read')
    await answer.body?.cancel()
  }

  async #ask(blob: Blob, path: string, init: BunFetchRequestInit & { headers: Record<string, string> }) {
    const { registry, name } = blob.repository
    try {
      return await fetch(`${this.#base}/v2/${name}/${path}?ns=${encodeURIComponent(registry)}`, {
        ...init,
        headers: { ...init.headers, 'accept-encoding': 'identity', 'user-agent': 'shoal-mounter' },
        redirect: 'error',
        decompress: false,
        // HTTP_PROXY is meant for what lies outside; Bun would use it for 127.0.0.1 too.
        proxy: false,
      })
    } catch (error) {
      throw asUnavailable(error, `no node answers at ${this.#base}; see that one runs on this host: shoal status`)
    }
  }

  async #unexpected(answer: Response, what: string): Promise<Failure> {
    const { status } = answer
    if (status === 200) {
      // Reading on would bring the whole layer.
      await answer.body?.cancel()
      return new Failure('corrupt', `${this.#base} answers requests for a range with the whole: it is no node`)
    }
    const { code, message: reason } = errorIn(await textOf(answer, 64 * 1024).catch(() => ''))
    const message = `the node has no answer to a request for ${what}: status ${status}${reason && `, ${reason}`}`
    // All but a range outside of the layer may be otherwise soon: a registry that is back, a node that has started.
    return new Failure(status === 416 ? 'corrupt' : 'unavailable', message, { detail: { status, code, reason } })
  }
}

/** Ends a request when its owner does, or when nothing has come for too long. */
class Patience {
  readonly signal: AbortSignal
  readonly #clock: Clock
  readonly #silence = new AbortController()
  #last: number
  #resting = false
  #cancel: () => void

  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock
    this.signal = AbortSignal.any([signal, this.#silence.signal])
    this.#last = clock.now()
    this.#cancel = clock.after(silenceMs, () => this.#check())
  }

  renew(): void {
    this.#resting = false
    this.#last = this.#clock.now()
  }

  /** It is not the node that is waited for. */
  rest(): void {
    this.#resting = true
  }

  end(): void {
    this.#cancel()
    // What is under way and was not read to its end is not wanted.
    this.#silence.abort()
  }

  #check(): void {
    const left = this.#resting ? silenceMs : this.#last + silenceMs - this.#clock.now()
    if (left <= 0) this.#silence.abort(new Failure('unavailable', `the node said nothing for ${silenceMs / 1000} s`))
    else this.#cancel = this.#clock.after(left, () => this.#check())
  }
}

function lazyPath(blob: Blob, what: 'index' | 'reads'): string {
  return `_shoal/lazy/${blob.digest}/${what}`
}

function making(retryAfter: string | null, text: string): IndexAnswer {
  const retryMs = retryAfter !== null && /^\d{1,4}$/.test(retryAfter) ? Number(retryAfter) * 1000 : usualRetryMs
  try {
    return { state: 'making', retryMs, ...makingSchema.parse(parseJson(text)) }
  } catch {
    return { state: 'making', retryMs, done: 0, total: 0 }
  }
}

/** @throws {Failure} what may be otherwise soon */
function cannotOr(failure: Failure): IndexAnswer {
  const { code, reason } = failure.detail
  if (!lasting.includes(String(code))) throw failure
  return { state: 'cannot', reason: String(reason) }
}

/** The last of several is the node's own: what comes before it is for engines. */
function errorIn(text: string): { code: string; message: string } {
  try {
    const { code, message } = errorSchema.parse(parseJson(text)).errors.at(-1)!
    return { code, message: message.slice(0, 1000) }
  } catch {
    return { code: '', message: '' }
  }
}

async function* bodyOf(answer: Response, name: string): AsyncGenerator<Uint8Array> {
  if (answer.body === null) return
  try {
    yield* answer.body as ReadableStream<Uint8Array> & AsyncIterable<Uint8Array>
  } catch (error) {
    throw asUnavailable(error, `the node broke off in the middle of ${name}`)
  }
}

async function wholeOf(answer: Response, most: number, name: string, came: () => void): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const bytes of bodyOf(answer, name)) {
    came()
    length += bytes.length
    if (length > most) throw new Failure('corrupt', `the node answered with more than ${most} bytes`)
    parts.push(bytes)
  }
  return new Uint8Array(Buffer.concat(parts))
}

async function textOf(answer: Response, most: number): Promise<string> {
  return new TextDecoder().decode(await wholeOf(answer, most, 'its answer', () => {}))
}

/** Of whatever a broken connection throws; what somebody aborted with stays what it is. */
function asUnavailable(error: unknown, message: string): unknown {
  if (error instanceof Failure) return error
  if (error instanceof DOMException && error.name === 'AbortError') return error
  return new Failure('unavailable', message, { cause: error })
}
