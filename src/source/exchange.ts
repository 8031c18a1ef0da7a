/**
 * One HTTP exchange with a registry: redirects followed by hand so that credentials stay with the origin they are for,
 * a deadline on everything up to the headers, another on every chunk of the body. `fetch` does not say when a
 * connection stands, so connecting and waiting for headers share one deadline.
 */
import type { Clock } from '../clock.ts'
import { Failure } from '../failure.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { cancelled, Transient } from './retry.ts'
import type { Secret } from './secret.ts'
import type { Upstream } from './upstreams.ts'

export interface Timeouts {
  /** To connect and to receive the headers of an answer; for each redirect anew. */
  readonly headersMs: number
  /** Between two chunks of a body. */
  readonly idleMs: number
}

export const defaultTimeouts: Timeouts = { headersMs: 15_000, idleMs: 30_000 }

export interface Request {
  readonly method: 'GET' | 'HEAD' | 'POST'
  readonly url: URL
  readonly headers?: Readonly<Record<string, string>>
  readonly authorization?: Secret
  /** A form, sent to `url` alone: never after a redirect. */
  readonly form?: URLSearchParams
}

const maxRedirects = 5
const redirects = new Set([301, 302, 303, 307, 308])

export class Exchange {
  readonly #clock: Clock
  readonly #timeouts: Timeouts
  readonly #metrics: Pick<Metrics, 'sourceRequests'>

  constructor(clock: Clock, timeouts: Timeouts, metrics: Pick<Metrics, 'sourceRequests'>) {
    this.#clock = clock
    this.#timeouts = timeouts
    this.#metrics = metrics
  }

  /**
   * The answer after redirects, whatever its status. The caller reads it or closes it.
   * @throws {Failure} `unavailable` (as {@link Transient} where another try may help), `cancelled`
   */
  async send(upstream: Upstream, request: Request, signal?: AbortSignal): Promise<Answer> {
    let url = request.url
    for (let hop = 0; hop <= maxRedirects; hop++) {
      const answer = await this.#hop(upstream, request, url, signal)
      const to = redirects.has(answer.status) ? answer.headers.get('location') : null
      if (to === null) return answer
      await answer.discard()
      url = nextUrl(upstream, request, url, to)
    }
    throw new Failure(
      'unavailable',
      `registry ${upstream.registry} redirected more than ${maxRedirects} times in a row`,
    )
  }

  async #hop(upstream: Upstream, request: Request, url: URL, signal: AbortSignal | undefined): Promise<Answer> {
    if (signal?.aborted) throw cancelled()
    const headers: Record<string, string> = {
      ...request.headers,
      // Digests are of the bytes as they are stored; nothing on the way may encode them.
      'accept-encoding': 'identity',
      'user-agent': 'shoal',
    }
    if (request.authorization && url.origin === request.url.origin) {
      headers.authorization = request.authorization.reveal()
    }
    const controller = new AbortController()
    const give = () => controller.abort()
    signal?.addEventListener('abort', give, { once: true })
    const unlink = () => signal?.removeEventListener('abort', give)
    let late = false
    const cancel = this.#clock.after(this.#timeouts.headersMs, () => {
      late = true
      controller.abort()
    })
    const count = (status: string) => this.#metrics.sourceRequests.inc({ source: upstream.registry, status })
    try {
      const response = await fetch(url, {
        method: request.method,
        headers,
        redirect: 'manual',
        decompress: false,
        signal: controller.signal,
        ...(request.form ? { body: request.form } : {}),
        ...(upstream.tls ? { tls: { ca: [...upstream.tls.ca] } } : {}),
      })
      count(String(response.status))
      return new Answer(upstream, url, response, controller, this.#clock, this.#timeouts.idleMs, signal, unlink)
    } catch (error) {
      unlink()
      if (signal?.aborted) throw cancelled()
      count(late ? 'timeout' : 'error')
      if (late) throw unreachable(upstream, url, `no answer within ${this.#timeouts.headersMs / 1000} s`)
      throw connectionFailure(upstream, url, error)
    } finally {
      cancel()
    }
  }
}

/** An answer whose body has not been read. Its connection is busy until `chunks` ends or `close` is called. */
export class Answer {
  readonly status: number
  readonly headers: Headers
  /** Where the answer came from, after redirects. */
  readonly url: URL
  readonly upstream: Upstream
  readonly #response: Response
  readonly #controller: AbortController
  readonly #clock: Clock
  readonly #idleMs: number
  readonly #signal: AbortSignal | undefined
  readonly #unlink: () => void
  #over = false

  constructor(
    upstream: Upstream,
    url: URL,
    response: Response,
    controller: AbortController,
    clock: Clock,
    idleMs: number,
    signal: AbortSignal | undefined,
    unlink: () => void,
  ) {
    this.status = response.status
    this.headers = response.headers
    this.url = url
    this.upstream = upstream
    this.#response = response
    this.#controller = controller
    this.#clock = clock
    this.#idleMs = idleMs
    this.#signal = signal
    this.#unlink = unlink
  }

  /** The body as it is on the wire. @throws {Failure} `cancelled`; {@link Transient} when it breaks off or stalls */
  async *chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    const reader = this.#response.body?.getReader()
    let stalled = false
    try {
      while (reader) {
        const cancel = this.#clock.after(this.#idleMs, () => {
          stalled = true
          this.#controller.abort()
        })
        const { done, value } = await reader.read().finally(cancel)
        if (done) break
        yield value
      }
      this.#over = true
    } catch (error) {
      if (this.#signal?.aborted) throw cancelled()
      if (stalled) throw unreachable(this.upstream, this.url, `it sent nothing for ${this.#idleMs / 1000} s`)
      throw connectionFailure(this.upstream, this.url, error)
    } finally {
      this.close()
    }
  }

  /** The whole body. @throws {Failure} `corrupt` when it is longer than `cap` bytes; as {@link chunks} */
  async bytes(cap: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = []
    let length = 0
    for await (const chunk of this.chunks()) {
      length += chunk.length
      if (length > cap) {
        throw new Failure('corrupt', `registry ${this.upstream.registry} answered with more than ${cap} bytes`)
      }
      parts.push(chunk)
    }
    return Buffer.concat(parts)
  }

  /** Reads a short body to its end, which keeps the connection usable for the next request; drops a longer one. */
  async discard(): Promise<void> {
    const length = Number(this.headers.get('content-length') ?? Number.NaN)
    if (length <= 16 * 1024) await this.bytes(16 * 1024).catch(() => undefined)
    this.close()
  }

  /** Drops the connection unless the body has been read to its end. */
  close(): void {
    this.#unlink()
    if (this.#over) return
    this.#over = true
    this.#controller.abort()
  }
}

function nextUrl(upstream: Upstream, request: Request, from: URL, location: string): URL {
  const refuse = (why: string) =>
    new Failure('unavailable', `registry ${upstream.registry} redirected from ${from.host} ${why}`)
  let to: URL
  try {
    to = new URL(location, from)
  } catch {
    throw refuse('to something that is not a URL')
  }
  if (request.form) throw refuse('a request that carries credentials; they are not sent on')
  if (to.protocol !== 'https:' && to.protocol !== 'http:')
    throw refuse(`to a ${to.protocol} URL, which is not followed`)
  if (from.protocol === 'https:' && to.protocol === 'http:') {
    throw refuse(`to unencrypted http at ${to.host}, which is not followed`)
  }
  return to
}

function unreachable(upstream: Upstream, url: URL, why: string): Transient {
  const at = upstream.registry === url.host ? '' : ` at ${url.host}`
  return new Transient('unavailable', `registry ${upstream.registry}${at} cannot be used now: ${why}`)
}

/** The error itself is not kept as a cause: it holds the URL, and a redirected one carries a signature. */
function connectionFailure(upstream: Upstream, url: URL, error: unknown): Failure {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
  if (!/CERT|ALTNAME|SELF_SIGNED|ISSUER|VERIFY|TLS|SSL/.test(code)) {
    return unreachable(upstream, url, `${describe(code)} (${code})`)
  }
  return new Failure(
    'unavailable',
    `registry ${upstream.registry} at ${url.host} has a certificate that is not trusted (${code}); ` +
      'if it is yours, give its CA file to this upstream, and check the clock of this host',
  )
}

function describe(code: string): string {
  switch (code) {
    case 'ECONNREFUSED':
      return 'nothing listens there'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'its name cannot be resolved; check DNS'
    case 'ECONNRESET':
      return 'the connection broke'
    default:
      return 'the connection failed'
  }
}
