/**
 * Asks a server of files or objects: refusals become failures, what may be gone at the next try is tried again, and a
 * body that breaks off is resumed where it ended, as long as it is the same version. How a request is signed is the
 * caller's.
 */
import type { Clock, Random } from '../../clock.ts'
import type { Secret } from '../../config/secret.ts'
import { Failure } from '../../failure.ts'
import type { Answer } from '../../source/answer.ts'
import { rangeHeader } from '../../source/ask.ts'
import { parseContentLength, parseContentRange } from '../../source/content-range.ts'
import { defaultTimeouts, Exchange, type Outgoing, type Request, type Timeouts } from '../../source/exchange.ts'
import { Reach } from '../../source/reach.ts'
import { resumedBody } from '../../source/resumed-body.ts'
import {
  defaultRetry,
  parseRetryAfter,
  type RetryPolicy,
  type RetryTools,
  retrying,
  Transient,
} from '../../source/retry.ts'
import { type Upstream, Upstreams } from '../../source/upstreams.ts'
import type { Log } from '../../telemetry/log.ts'
import type { Metrics } from '../../telemetry/metrics.ts'
import type { OpenObject } from './objects.ts'

export interface WebOptions {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: Pick<Metrics, 'sourceBytes' | 'sourceRequests'>
  /** PEM file of certificate authorities that are trusted beside the usual ones. */
  readonly caFile?: string
  /** Awaited with the length of every run of bytes that has been read. */
  readonly limit?: (bytes: number) => Promise<void>
  readonly timeouts?: Timeouts
  readonly retry?: RetryPolicy
}

/** A request that is made anew with every try: signatures go stale. */
export interface Question {
  readonly method: Request['method']
  readonly url: URL
  readonly headers?: Readonly<Record<string, string>>
  readonly content?: Outgoing
}

export type Sign = (question: Question) => Promise<Question & { readonly authorization?: Secret }>

export class WebClient {
  readonly name: string
  readonly #o: WebOptions
  readonly #upstream: Upstream
  readonly #exchange: Exchange
  readonly #retry: RetryTools
  readonly #sign: Sign

  /** @throws {Error} for a CA file that cannot be used */
  constructor(name: string, at: URL, options: WebOptions, sign: Sign = async (question) => question) {
    const { clock, random, log, metrics, caFile } = options
    const upstreams = new Map([[name, [{ url: new URL(at.origin) }]]])
    this.name = name
    this.#o = options
    this.#upstream = new Upstreams(upstreams, { onlyListed: true, ...(caFile ? { caFile } : {}) }).find(name)
    this.#exchange = new Exchange(clock, options.timeouts ?? defaultTimeouts, metrics, new Reach(clock))
    this.#retry = { policy: options.retry ?? defaultRetry, clock, random, log: log.child({ part: 'home' }) }
    this.#sign = sign
  }

  /** An answer of 2xx, or of a status among `also`, to be read or closed. @throws {Failure} */
  ask(question: Question, about: string, also: readonly number[], signal: AbortSignal | undefined): Promise<Answer> {
    return retrying(this.#retry, signal, () => this.#once(question, about, also, signal))
  }

  /** The size of what is there; undefined where nothing is. @throws {Failure} */
  async size(url: URL, about: string, signal: AbortSignal | undefined): Promise<number | undefined> {
    const head = await this.ask({ method: 'HEAD', url }, about, [404], signal)
    await head.discard()
    if (head.status === 404) return undefined
    return parseContentLength(head.headers.get('content-length')) ?? noSize(about)
  }

  /** What is there from `start` on; undefined where nothing is. @throws {Failure} */
  async open(
    url: URL,
    start: number,
    about: string,
    signal: AbortSignal | undefined,
    end?: number,
  ): Promise<OpenObject | undefined> {
    const from = (at: number): Question => {
      const range = rangeHeader(at, end)
      return { method: 'GET', url, ...(range === undefined ? {} : { headers: { range } }) }
    }
    const first = await this.ask(from(start), about, [404], signal)
    if (first.status === 404) {
      const code = await codeOf(first)
      if (code !== 'NoSuchBucket') return undefined
      throw refusalFor(first, code, about, this.#o.clock.wall())
    }
    const size = sizeOf(first)
    if (size === undefined) {
      first.close()
      return noSize(about)
    }
    const version = first.headers.get('etag')
    const reopen = async (at: number) => {
      const answer = await this.#once(from(at), about, [], signal)
      if (answer.headers.get('etag') === version) return answer
      answer.close()
      throw new Failure('corrupt', `${about} was replaced while it was read`)
    }
    const received = async (bytes: number) => {
      this.#o.metrics.sourceBytes.inc({ source: this.name }, bytes)
      await this.#o.limit?.(bytes)
    }
    const plan = { about, size, start, first, reopen, received, retry: this.#retry, signal }
    return { size, body: resumedBody({ ...plan, ...(end === undefined ? {} : { end }) }) }
  }

  async #once(
    question: Question,
    about: string,
    also: readonly number[],
    signal: AbortSignal | undefined,
  ): Promise<Answer> {
    const answer = await this.#exchange.send(this.#upstream, await this.#sign(question), signal)
    if ((answer.status >= 200 && answer.status < 300) || also.includes(answer.status)) return answer
    throw refusalFor(answer, await codeOf(answer), about, this.#o.clock.wall())
  }
}

const transient = new Set([408, 500, 502, 503, 504])

/** What S3 says beside the status, and web servers do not: `<Code>SlowDown</Code>`. */
async function codeOf(answer: Answer): Promise<string> {
  const text = await answer.bytes(64 * 1024).then(
    (bytes) => new TextDecoder().decode(bytes),
    () => '',
  )
  answer.close()
  return /<Code>([A-Za-z0-9]{1,64})<\/Code>/.exec(text)?.[1] ?? ''
}

function refusalFor(answer: Answer, code: string, about: string, wallNow: number): Failure {
  const { status } = answer
  const heading = `${about}: HTTP ${status}${code === '' ? '' : ` (${code})`}`
  const detail = { status }
  const wait = parseRetryAfter(answer.headers.get('retry-after'), wallNow)
  if (status === 401 || status === 403) {
    return new Failure('denied', `${heading}; ${remedies[code] ?? 'the credentials do not allow it'}`, { detail })
  }
  if (status === 404)
    return new Failure('unavailable', `${heading}; ${remedies[code] ?? 'it is not there'}`, { detail })
  if (status === 429 || code === 'SlowDown') return new Transient('too-many', heading, detail, wait)
  if (status === 507 || code === 'QuotaExceeded') return new Failure('no-space', `${heading}; it is full`, { detail })
  if (status === 301 || status === 307) {
    return new Failure('unavailable', `${heading}; ${remedies.PermanentRedirect}`, { detail })
  }
  if (transient.has(status)) return new Transient('unavailable', heading, detail, wait)
  return new Failure(status >= 500 ? 'unavailable' : 'corrupt', heading, { detail })
}

const remedies: Record<string, string | undefined> = {
  SignatureDoesNotMatch: 'the secret access key is not right, or the region is not that of the bucket',
  InvalidAccessKeyId: 'there is no such access key',
  ExpiredToken: 'the session token has expired; give credentials that last, or renew them',
  RequestTimeTooSkewed: 'the clock of this host is wrong',
  AuthorizationHeaderMalformed: 'give the region of the bucket: ?region=...',
  NoSuchBucket: 'make the bucket first: it is not made here',
  PermanentRedirect: 'the bucket is elsewhere; give its region and endpoint: ?region=...&endpoint=...',
}

function sizeOf(answer: Answer): number | undefined {
  return answer.status === 206
    ? parseContentRange(answer.headers.get('content-range'))?.size
    : parseContentLength(answer.headers.get('content-length'))
}

function noSize(about: string): never {
  throw new Failure('corrupt', `${about}: the server does not tell its size`)
}
