/**
 * One HTTP exchange with a registry: redirects followed by hand so that credentials stay with the origin they are for,
 * a deadline on everything up to the headers, another on every chunk of the body. `fetch` does not say when a
 * connection stands, so connecting and waiting for headers share one deadline.
 */
import type { Clock } from '../clock.ts'
import type { Secret } from '../config/secret.ts'
import { Failure } from '../failure.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { Answer } from './answer.ts'
import { Reach, type Way } from './reach.ts'
import { cancelled } from './retry.ts'
import { connectionFailure, unreachable } from './unreachable.ts'
import type { Upstream } from './upstreams.ts'

export interface Timeouts {
  /**
   * To connect and to receive the headers of an answer; for each redirect anew, and where content is sent for each part
   * of it that is taken.
   */
  readonly headersMs: number
  /** Between two chunks of a body. */
  readonly idleMs: number
}

export const defaultTimeouts: Timeouts = { headersMs: 15_000, idleMs: 30_000 }

/** Content that is sent. */
export interface Outgoing {
  readonly size: number
  /** So many bytes; asked for anew with every try. How long they take to come is not the other side's fault. */
  bytes(): Uint8Array | AsyncIterable<Uint8Array>
}

export interface Request {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly url: URL
  readonly headers?: Readonly<Record<string, string>>
  readonly authorization?: Secret
  readonly content?: Outgoing
  /** A form, sent to `url` alone: never after a redirect. */
  readonly form?: URLSearchParams
  /** There is somebody else to ask: the headers of an answer are waited for a third of the time. */
  readonly impatient?: boolean
}

export const maxRedirects = 5
/** Of one name, for one request. */
const mostAddresses = 4
const redirects = new Set([301, 302, 303, 307, 308])
/** RFC 9110: what follows such a redirect is the same request, with the same content. */
const repeating = new Set([307, 308])

export class Exchange {
  readonly #clock: Clock
  readonly #timeouts: Timeouts
  readonly #metrics: Pick<Metrics, 'sourceRequests'>
  readonly #reach: Reach

  constructor(
    clock: Clock,
    timeouts: Timeouts,
    metrics: Pick<Metrics, 'sourceRequests'>,
    reach: Reach = new Reach(clock),
  ) {
    this.#clock = clock
    this.#timeouts = timeouts
    this.#metrics = metrics
    this.#reach = reach
  }

  /**
   * The answer after redirects, whatever its status. The caller reads it or closes it.
   * @throws {Failure} `not-listed` for an address where nobody may send this node, `unavailable` (as `Transient` where another try may help), `cancelled`
   */
  async send(upstream: Upstream, request: Request, signal?: AbortSignal): Promise<Answer> {
    let url = request.url
    for (let hop = 0; hop <= maxRedirects; hop++) {
      const answer = await this.#hop(upstream, request, url, signal)
      const to = redirects.has(answer.status) ? answer.headers.get('location') : null
      if (to === null) return answer
      await answer.discard()
      url = nextUrl(upstream, request, url, to, answer.status)
    }
    throw new Failure(
      'unavailable',
      `registry ${upstream.registry} redirected more than ${maxRedirects} times in a row`,
    )
  }

  /** Where a name has several addresses, a connection that fails is tried with the next of them. */
  async #hop(upstream: Upstream, request: Request, url: URL, signal: AbortSignal | undefined): Promise<Answer> {
    for (let tried = 1; ; tried++) {
      const way = await this.#reach.check(upstream, url)
      if (signal?.aborted) throw cancelled()
      const answer = await this.#ask(upstream, request, url, way, tried < mostAddresses, signal)
      if (answer) return answer
    }
  }

  /** Undefined where it could not be asked, there is another way, and `more`: that one may be tried. */
  async #ask(
    upstream: Upstream,
    request: Request,
    url: URL,
    { address, proxy }: Way,
    more: boolean,
    signal: AbortSignal | undefined,
  ): Promise<Answer | undefined> {
    const headers: Record<string, string> = {
      ...request.headers,
      // Digests are of the bytes as they are stored; nothing on the way may encode them.
      'accept-encoding': 'identity',
      'user-agent': 'shoal',
      ...(address === undefined ? {} : { host: url.host }),
      ...(request.content ? { 'content-length': String(request.content.size) } : {}),
    }
    if (request.authorization && url.origin === request.url.origin) {
      headers.authorization = request.authorization.reveal()
    }
    const controller = new AbortController()
    const give = () => controller.abort()
    signal?.addEventListener('abort', give, { once: true })
    const unlink = () => signal?.removeEventListener('abort', give)
    const patienceMs = this.#timeouts.headersMs / (request.impatient ? 3 : 1)
    const patience = this.#patience(controller, patienceMs)
    const body = outgoing(request, patience)
    const count = (status: string) => this.#metrics.sourceRequests.inc({ source: upstream.registry, status })
    try {
      const response = await fetch(address === undefined ? url : at(address, url), {
        method: request.method,
        headers,
        redirect: 'manual',
        decompress: false,
        proxy: proxy ?? false,
        signal: controller.signal,
        ...(body.is === undefined ? {} : { body: body.is }),
        // Connections to one address under different names are not shared: each was made sure of under its name.
        tls: {
          ...(upstream.tls ? { ca: upstream.tls.ca } : {}),
          ...(address === undefined ? {} : { serverName: url.hostname }),
        },
      })
      count(String(response.status))
      return new Answer(response, {
        upstream,
        url,
        controller,
        clock: this.#clock,
        idleMs: this.#timeouts.idleMs,
        signal,
        unlink,
      })
    } catch (error) {
      unlink()
      if (signal?.aborted) throw cancelled()
      // It is not the other side that failed.
      if (body.failed) throw body.failed.error
      const { late } = patience
      count(late ? 'timeout' : 'error')
      const another = address !== undefined && (await this.#reach.failed(url, address))
      // The next would have to be waited for as long, and whoever asks has waited long enough.
      if (late) throw unreachable(upstream, url, `no answer within ${patienceMs / 1000} s`)
      if (another && more) return undefined
      throw connectionFailure(upstream, url, error)
    } finally {
      patience.end()
    }
  }

  /** For an answer. It is suspended while this node is the one that is waited for. */
  #patience(controller: AbortController, ms: number): Patience {
    let cancel = () => {}
    let over = false
    const patience: Patience = {
      late: false,
      resume: () => {
        cancel()
        if (over) return
        cancel = this.#clock.after(ms, () => {
          patience.late = true
          controller.abort()
        })
      },
      suspend: () => cancel(),
      end: () => {
        over = true
        cancel()
      },
    }
    patience.resume()
    return patience
  }
}

interface Patience {
  late: boolean
  resume(): void
  suspend(): void
  /** An answer is here; what is still being sent, for it may come early, is waited for no more. */
  end(): void
}

interface Body {
  readonly is: Uint8Array<ArrayBuffer> | URLSearchParams | AsyncIterable<Uint8Array> | undefined
  /** What kept the content from coming. */
  failed?: { readonly error: unknown }
}

function outgoing({ form, content }: Request, patience: Patience): Body {
  const bytes = content?.bytes()
  if (bytes === undefined) return { is: form }
  if (bytes instanceof Uint8Array) return { is: new Uint8Array(bytes) }
  const body: Body = { is: timed(bytes) }
  return body

  async function* timed(bytes: AsyncIterable<Uint8Array>) {
    try {
      for await (const chunk of bytes) {
        patience.resume()
        yield chunk
        patience.suspend()
      }
    } catch (error) {
      body.failed = { error }
      throw error
    }
    patience.resume()
  }
}

function at(address: string, url: URL): URL {
  const there = new URL(url)
  there.hostname = address.includes(':') ? `[${address}]` : address
  return there
}

function nextUrl(upstream: Upstream, request: Request, from: URL, location: string, status: number): URL {
  const refuse = (why: string) =>
    new Failure('unavailable', `registry ${upstream.registry} redirected from ${from.host} ${why}`)
  let to: URL
  try {
    to = new URL(location, from)
  } catch {
    throw refuse('to something that is not a URL')
  }
  if (request.form) throw refuse('a request that carries credentials; they are not sent on')
  const reads = request.method === 'GET' || request.method === 'HEAD'
  if (!reads && !repeating.has(status)) throw refuse(`a ${request.method} in a way that would make a GET of it`)
  if (to.protocol !== 'https:' && to.protocol !== 'http:')
    throw refuse(`to a ${to.protocol} URL, which is not followed`)
  if (from.protocol === 'https:' && to.protocol === 'http:') {
    throw refuse(`to unencrypted http at ${to.host}, which is not followed`)
  }
  return to
}
