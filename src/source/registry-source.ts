/** The registry as a source of content: OCI distribution spec, "Pull". */
import type { Clock, Random } from '../clock.ts'
import { Failure } from '../failure.ts'
import { type Digest, digestOf, isDigest, shortDigest } from '../oci/digest.ts'
import { acceptManifests, maxManifestBytes, mediaTypeOf } from '../oci/media.ts'
import { formatRepository, type Repository, type Tag } from '../oci/reference.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { failureOf, type Subject } from './answers.ts'
import { Authenticator, type Authorization } from './authenticator.ts'
import { parseContentLength, parseContentRange } from './content-range.ts'
import { type Credentials, DockerCredentials, noCredentials } from './credentials.ts'
import { type Answer, defaultTimeouts, Exchange, type Timeouts } from './exchange.ts'
import { relativeLink } from './link.ts'
import { resumedBody } from './resumed-body.ts'
import { defaultRetry, type RetryPolicy, type RetryTools, retrying } from './retry.ts'
import type { Location, OpenBody, Passed, Resolved, Source, Stat } from './source.ts'
import { type Upstream, type UpstreamOptions, Upstreams } from './upstreams.ts'

export interface RegistrySourceOptions {
  /** By registry, as references name it. */
  readonly upstreams: ReadonlyMap<string, UpstreamOptions>
  /** Refuse a registry that `upstreams` does not have; otherwise it is reached at `https://<registry>`. */
  readonly onlyListed: boolean
  /** PEM file of certificate authorities that are trusted for every registry beside the usual ones. */
  readonly caFile?: string
  /** A Docker `config.json`; without one every registry is asked anonymously. */
  readonly credentialsFile?: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: Pick<Metrics, 'sourceBytes' | 'sourceRequests'>
  /** Awaited with the length of every chunk of content that has arrived; what it withholds, the registry keeps. */
  readonly limit?: (bytes: number) => Promise<void>
  readonly timeouts?: Timeouts
  readonly retry?: RetryPolicy
}

interface Ask {
  readonly method: 'GET' | 'HEAD'
  /** Below the repository, percent-encoded: `blobs/sha256:...`. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly subject: Subject
  /** Statuses that are answers beside 2xx. */
  readonly also?: readonly number[]
}

const maxPassedBytes = 16 * 1024 * 1024
/** Headers of a passed answer that mean something to who asked. */
const passedHeaders = ['content-type', 'content-encoding', 'docker-content-digest', 'oci-filters-applied']

export class RegistrySource implements Source {
  readonly #upstreams: Upstreams
  readonly #exchange: Exchange
  readonly #authenticator: Authenticator
  readonly #clock: Clock
  readonly #retry: RetryTools
  readonly #metrics: RegistrySourceOptions['metrics']
  readonly #limit: (bytes: number) => Promise<void> | void

  /** @throws {Error} for an upstream's URL or a CA file that cannot be used */
  constructor(options: RegistrySourceOptions) {
    const { clock, random, log, metrics, credentialsFile: file } = options
    const credentials: Credentials =
      file === undefined ? noCredentials : new DockerCredentials({ file, clock, log: log.child({ part: 'source' }) })
    this.#upstreams = new Upstreams(options.upstreams, options)
    this.#exchange = new Exchange(clock, options.timeouts ?? defaultTimeouts, metrics)
    this.#authenticator = new Authenticator(this.#exchange, credentials, clock)
    this.#clock = clock
    this.#retry = { policy: options.retry ?? defaultRetry, clock, random }
    this.#metrics = metrics
    this.#limit = options.limit ?? (() => {})
  }

  async resolve(repository: Repository, tag: Tag, signal?: AbortSignal): Promise<Resolved> {
    const subject: Subject = { repository, what: `manifest ${tag}`, missing: 'no-manifest' }
    const ask = { path: `manifests/${tag}`, headers: { accept: acceptManifests }, subject }
    const head = await this.#request({ ...ask, method: 'HEAD', also: [404, 405] }, signal)
    await head.discard()
    const resolved = head.status < 300 ? resolvedBy(head) : undefined
    // Some registries know no HEAD, or answer it without the digest: the body always tells.
    return resolved ?? this.#resolveByBody(await this.#request({ ...ask, method: 'GET' }, signal), subject)
  }

  async stat(location: Location, signal?: AbortSignal): Promise<Stat> {
    const ask = askFor(location)
    const head = await this.#request({ ...ask, method: 'HEAD', also: [405] }, signal)
    await head.discard()
    const size = head.status < 300 ? parseContentLength(head.headers.get('content-length')) : undefined
    if (size !== undefined) return { size, mediaType: mediaTypeOfAnswer(head) }
    const get = await this.#request({ ...ask, method: 'GET', headers: { ...ask.headers, range: 'bytes=0-0' } }, signal)
    get.close()
    return {
      size: sizeOf(get) ?? fail(`${aboutOf(ask.subject)}: the registry does not tell its size`),
      mediaType: mediaTypeOfAnswer(get),
    }
  }

  async open(location: Location, start: number, signal?: AbortSignal): Promise<OpenBody> {
    const ask = askFor(location)
    const about = aboutOf(ask.subject)
    const reopen = (from: number) => this.#once(rangedFrom(ask, from), signal)
    const first = await this.#request({ ...rangedFrom(ask, start), also: [416] }, signal)
    if (first.status === 416) {
      await first.discard()
      return this.#emptyRest(location, start, about, signal)
    }
    const mediaType = mediaTypeOfAnswer(first)
    const size = sizeOf(first) ?? (await this.#sizeByHead(location, first, signal))
    const received = (bytes: number) => this.#received(location.repository, bytes)
    const body = resumedBody({ about, size, start, first, reopen, received, retry: this.#retry, signal })
    return { size, mediaType, body }
  }

  async pass(
    repository: Repository,
    path: string,
    search: string,
    accept: string | undefined,
    signal?: AbortSignal,
  ): Promise<Passed> {
    const missing = path.startsWith('referrers/') ? 'no-manifest' : 'no-name'
    const subject: Subject = { repository, what: path, missing }
    const query = search === '' || search.startsWith('?') ? search : `?${search}`
    const headers = accept === undefined ? {} : { accept }
    const answer = await this.#request(
      { method: 'GET', path: path + query, headers, subject, also: [400, 405, 406] },
      signal,
    )
    const body = await answer.bytes(maxPassedBytes)
    await this.#received(repository, body.length)
    const kept = new Headers()
    for (const name of passedHeaders) {
      const value = answer.headers.get(name)
      if (value !== null) kept.set(name, value)
    }
    const upstream = this.#upstreams.find(repository.registry)
    const link = answer.headers.get('link')
    const next = link === null ? undefined : relativeLink(upstream, urlOf(upstream, repository, path), link)
    if (next !== undefined) kept.set('link', next)
    return { status: answer.status, headers: kept, body }
  }

  /** One question, tried again where that may help. */
  #request(ask: Ask, signal: AbortSignal | undefined): Promise<Answer> {
    return retrying(this.#retry, signal, () => this.#once(ask, signal))
  }

  /** One question, asked anew once when the registry wants another authorization. */
  async #once(ask: Ask, signal: AbortSignal | undefined): Promise<Answer> {
    const { method, headers = {}, subject } = ask
    const { repository } = subject
    const upstream = this.#upstreams.find(repository.registry)
    const url = urlOf(upstream, repository, ask.path)
    const send = (authorization: Authorization | undefined) =>
      this.#exchange.send(
        upstream,
        { method, url, headers, ...(authorization ? { authorization: authorization.header } : {}) },
        signal,
      )
    let authorization = await this.#authenticator.present(upstream, repository)
    let answer = await send(authorization)
    if (answer.status === 401 && answer.url.origin === upstream.origin) {
      const challenge = answer.headers.get('www-authenticate')
      const better = await this.#authenticator.answer(upstream, repository, challenge, authorization)
      if (better) {
        await answer.discard()
        authorization = better
        answer = await send(authorization)
      }
    }
    if ((answer.status >= 200 && answer.status < 300) || ask.also?.includes(answer.status)) return answer
    const presented = this.#authenticator.presented(upstream, authorization)
    throw await failureOf(answer, subject, presented, this.#clock.wall())
  }

  /** A length is missing where the server sends in chunks; then HEAD knows it. */
  async #sizeByHead(location: Location, opened: Answer, signal: AbortSignal | undefined): Promise<number> {
    try {
      return (await this.stat(location, signal)).size
    } catch (error) {
      opened.close()
      throw error
    }
  }

  async #resolveByBody(answer: Answer, subject: Subject): Promise<Resolved> {
    const bytes = await answer.bytes(maxManifestBytes)
    await this.#received(subject.repository, bytes.length)
    if ((answer.headers.get('content-encoding') ?? 'identity') !== 'identity') {
      fail(`${aboutOf(subject)} came encoded although it was asked for as it is, so that its digest cannot be told`)
    }
    const digest = digestOf(bytes)
    const stated = answer.headers.get('docker-content-digest')
    if (stated?.startsWith('sha256:') && stated !== digest) {
      fail(`${aboutOf(subject)} has the digest ${digest}, but the registry says ${stated.slice(0, 80)}`)
    }
    const type = mediaTypeOfAnswer(answer)
    return { digest, size: bytes.length, mediaType: type === defaultType ? mediaTypeOf(bytes) : type }
  }

  /** The answer to a start at or past the end: no bytes at the end, and beyond it there is nothing. */
  async #emptyRest(location: Location, start: number, about: string, signal?: AbortSignal): Promise<OpenBody> {
    const stat = await this.stat(location, signal)
    if (start === stat.size) return { ...stat, body: nothing() }
    throw new Failure('bad-range', `${about} has ${stat.size} bytes; there is nothing from byte ${start} on`)
  }

  #received(repository: Repository, bytes: number): Promise<void> | void {
    this.#metrics.sourceBytes.inc({ source: repository.registry }, bytes)
    return this.#limit(bytes)
  }
}

const defaultType = 'application/octet-stream'

function urlOf(upstream: Upstream, repository: Repository, path: string): URL {
  const root = `${upstream.base}/${repository.name}/`
  const url = new URL(root + path)
  if (url.href.startsWith(root)) return url
  throw new Failure('bad-request', `"${path.slice(0, 160)}" is not a path below ${formatRepository(repository)}`)
}

function askFor({ repository, kind, digest }: Location): Ask {
  return kind === 'manifest'
    ? {
        method: 'GET',
        path: `manifests/${digest}`,
        headers: { accept: acceptManifests },
        subject: { repository, what: `manifest ${shortDigest(digest)}`, missing: 'no-manifest' },
      }
    : {
        method: 'GET',
        path: `blobs/${digest}`,
        subject: { repository, what: `blob ${shortDigest(digest)}`, missing: 'no-blob' },
      }
}

function rangedFrom(ask: Ask, start: number): Ask {
  return start === 0 ? ask : { ...ask, headers: { ...ask.headers, range: `bytes=${start}-` } }
}

function aboutOf(subject: Subject): string {
  return `${subject.what} of ${formatRepository(subject.repository)}`
}

function resolvedBy(head: Answer): Resolved | undefined {
  const digest = head.headers.get('docker-content-digest') ?? ''
  const size = parseContentLength(head.headers.get('content-length'))
  return isDigest(digest) && size !== undefined
    ? { digest: digest satisfies Digest, size, mediaType: mediaTypeOfAnswer(head) }
    : undefined
}

/** The size of the whole content, as a full or a partial answer states it. */
function sizeOf(answer: Answer): number | undefined {
  return answer.status === 206
    ? parseContentRange(answer.headers.get('content-range'))?.size
    : parseContentLength(answer.headers.get('content-length'))
}

function mediaTypeOfAnswer(answer: Answer): string {
  return answer.headers.get('content-type')?.split(';')[0]?.trim().slice(0, 255) || defaultType
}

async function* nothing(): AsyncGenerator<Uint8Array, void, undefined> {}

function fail(message: string): never {
  throw new Failure('corrupt', message)
}
