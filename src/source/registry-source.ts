/**
 * The registry as a source of content: OCI distribution spec, "Pull". Longer than most files, for every call of it is
 * here, each a few lines over one way to ask.
 */
import type { Clock, Random } from '../clock.ts'
import { Failure } from '../failure.ts'
import type { Places } from '../first-there.ts'
import { type Digest, digestOf, isDigest } from '../oci/digest.ts'
import { acceptManifests, looksLikeManifest, maxManifestBytes, mediaTypeOf } from '../oci/media.ts'
import type { Repository, Tag } from '../oci/reference.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Answer } from './answer.ts'
import { aboutOf, askFor, rangedFrom, rangeHeader, urlOf } from './ask.ts'
import { Authenticator, newChallenges } from './authenticator.ts'
import { parseContentLength, parseContentRange } from './content-range.ts'
import { type Credentials, DockerCredentials, noCredentials, only } from './credentials.ts'
import type { Credential } from './docker-config.ts'
import type { Asker, Door, Login, Named } from './door.ts'
import { type EndpointFacts, Endpoints } from './endpoints.ts'
import { defaultTimeouts, Exchange, type Timeouts } from './exchange.ts'
import { isGenuine } from './genuine.ts'
import { LendingClient } from './lent.ts'
import { relativeLink } from './link.ts'
import { Reach } from './reach.ts'
import type { Subject } from './refusals.ts'
import { RegistryClient } from './registry-client.ts'
import { resumedBody } from './resumed-body.ts'
import { defaultRetry, type RetryPolicy, type RetryTools } from './retry.ts'
import { sameBytes } from './same-bytes.ts'
import type { Location, OpenBody, Passed, Resolved, Source, Stat } from './source.ts'
import { type ListedUpstreams, type Upstream, Upstreams } from './upstreams.ts'

export type SourceLimit = (bytes: number, digest: Digest | undefined) => Promise<void>

export interface RegistrySourceOptions {
  readonly upstreams: ListedUpstreams
  /** Refuse a registry that `upstreams` does not have; otherwise it is reached at `https://<registry>`. */
  readonly onlyListed: boolean
  /** PEM file of certificate authorities that are trusted for every registry beside the usual ones. */
  readonly caFile?: string
  /** A Docker `config.json`; without one every registry is asked anonymously. */
  readonly credentialsFile?: Places
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** The last three are for registries at several places. */
  readonly metrics: Pick<Metrics, 'sourceBytes' | 'sourceRequests'> &
    Partial<Pick<Metrics, 'endpointUp' | 'endpointFailures' | 'endpointBytes'>>
  /**
   * Awaited with the length of every chunk of content that has arrived, and with the digest of the content where that
   * is known; what it withholds, the registry keeps.
   */
  readonly limit?: SourceLimit
  /** Told when a registry gave something of a repository: to anyone, or to this node because of its login. */
  readonly admitted?: (repository: Repository, asker: 'anyone' | 'node') => void
  readonly timeouts?: Timeouts
  readonly reach?: Reach
  readonly retry?: RetryPolicy
}

export const maxPassedBytes = 16 * 1024 * 1024
/** For a question whose answer a client waits for, and that need not be answered. */
const doorTimeouts: Timeouts = { headersMs: 5_000, idleMs: 5_000 }
/** To see whether an endpoint that was down answers again. */
const checkTimeouts: Timeouts = { headersMs: 5_000, idleMs: 5_000 }
/** Headers of a passed answer that mean something to who asked. */
const passedHeaders = ['content-type', 'content-encoding', 'docker-content-digest', 'oci-filters-applied']

export class RegistrySource implements Source, Door {
  /** In this node's name alone. */
  readonly #own: RegistryClient
  readonly #client: LendingClient
  /** A client that knows no token from before, with other credentials than this node's where they are given. */
  readonly #clientFor: (
    credentials: Credentials,
    timeouts?: Timeouts,
    told?: RegistrySourceOptions['admitted'],
  ) => RegistryClient
  readonly #credentials: Credentials
  readonly #upstreams: Upstreams
  readonly #endpoints: Endpoints
  readonly #retry: RetryTools
  readonly #doorTimeouts: Timeouts
  readonly #metrics: RegistrySourceOptions['metrics']
  readonly #limit: SourceLimit | undefined

  /** @throws {Error} for an upstream's URL or a CA file that cannot be used */
  constructor(options: RegistrySourceOptions) {
    const { clock, random, metrics, admitted, credentialsFile: file } = options
    const log = options.log.child({ part: 'source' })
    const retry = { policy: options.retry ?? defaultRetry, clock, random, log }
    const upstreams = new Upstreams(options.upstreams, options)
    const challenges = newChallenges()
    const reach = options.reach ?? new Reach(clock)
    this.#retry = retry
    this.#doorTimeouts = options.timeouts ?? doorTimeouts
    this.#upstreams = upstreams
    this.#credentials = file === undefined ? noCredentials : new DockerCredentials({ file, clock, log })
    const usual = options.timeouts ?? defaultTimeouts
    const knock = new Exchange(clock, options.timeouts ?? checkTimeouts, metrics, reach)
    const endpoints = new Endpoints({ clock, log, metrics, check: (upstream) => saysRegistry(knock, upstream) })
    endpoints.keep(upstreams.several())
    this.#endpoints = endpoints
    this.#clientFor = (credentials, timeouts = usual, told = undefined) => {
      const exchange = new Exchange(clock, timeouts, metrics, reach)
      const authenticator = new Authenticator(exchange, credentials, clock, challenges)
      const admitted = told ? { admitted: told } : {}
      return new RegistryClient({ upstreams, endpoints, exchange, authenticator, retry, ...admitted })
    }
    this.#own = this.#clientFor(this.#credentials, usual, admitted)
    const clientOf = (credential: Credential, { registry }: Repository) =>
      this.#clientFor(only(credential, accountsOf(upstreams.all(registry))))
    this.#client = new LendingClient(this.#own, clientOf, clock)
    this.#metrics = metrics
    this.#limit = options.limit
  }

  async resolve(repository: Repository, tag: Tag, signal?: AbortSignal): Promise<Resolved> {
    const subject: Subject = { repository, what: `manifest ${tag}`, missing: 'no-manifest' }
    const ask = { path: `manifests/${tag}`, headers: { accept: acceptManifests }, subject }
    const head = await this.#client.request({ ...ask, method: 'HEAD', also: [404, 405] }, signal)
    await head.discard()
    const resolved = head.status < 300 ? resolvedBy(head) : undefined
    // Some registries know no HEAD, or answer it without the digest: the body always tells.
    return resolved ?? this.#resolveByBody(await this.#client.request({ ...ask, method: 'GET' }, signal), subject)
  }

  async stat(location: Location, signal?: AbortSignal, told?: number): Promise<Stat> {
    const ask = askFor(location)
    const head = await unlessHidden(
      location.kind,
      this.#client.request({ ...ask, method: 'HEAD', also: [405] }, signal),
    )
    await head?.discard()
    const size = head && head.status < 300 ? parseContentLength(head.headers.get('content-length')) : undefined
    if (head && size !== undefined) return { size, mediaType: mediaTypeOfAnswer(head) }
    // A cache begins to read all of it for any GET: once is enough.
    if (location.kind === 'blob' && told !== undefined) return { size: told, mediaType: defaultType }
    const get = await this.#client.request(
      { ...ask, method: 'GET', headers: { ...ask.headers, range: 'bytes=0-0' } },
      signal,
    )
    get.close()
    return {
      size: sizeOf(get) ?? fail(`${aboutOf(ask.subject)}: the registry does not tell its size`),
      mediaType: mediaTypeOfAnswer(get),
    }
  }

  async open(location: Location, start: number, signal?: AbortSignal, end?: number): Promise<OpenBody> {
    const ask = askFor(location)
    const about = aboutOf(ask.subject)
    const { avoid, elsewhere } = this.#elsewhere(location.repository)
    const first = await this.#client.request({ ...rangedFrom(ask, start, end), also: [416] }, signal)
    if (first.status === 416) {
      await first.discard()
      const stat = await this.stat(location, signal)
      if (start === stat.size) return { ...stat, body: nothing() }
      throw beyondEnd(about, start, stat.size)
    }
    const mediaType = mediaTypeOfAnswer(first)
    const size = sizeOf(first) ?? (await this.#sizeByHead(location, first, signal))
    if (start > size) {
      first.close()
      throw beyondEnd(about, start, size)
    }
    const received = (bytes: number, { upstream }: Answer) => {
      this.#endpoints.received(upstream, bytes)
      return this.#received(location.repository, bytes, location.digest)
    }
    // Of one that sends all in any case nobody wants less: to be sent the rest it would have to begin again.
    const all = first.status !== 206 && rangeHeader(start, end) !== undefined
    const until = all ? undefined : end
    const reopen = (from: number) => this.#client.once({ ...rangedFrom(ask, from, until), avoid }, signal)
    const plan = { about, size, start, first, reopen, received, elsewhere, retry: this.#retry, signal }
    const body = resumedBody({ ...plan, ...(until === undefined ? {} : { end: until }) })
    return { size, mediaType, body, ...(all ? { ranged: false } : {}) }
  }

  /** For one body: which endpoints it broke off at, until it did at all of them. */
  #elsewhere({ registry }: Repository) {
    const avoid = new Set<string>()
    const elsewhere = ({ upstream }: Answer, failure: Failure) => {
      const all = this.#upstreams.all(registry)
      if (all.length === 1) return false
      this.#endpoints.broke(upstream, failure)
      // Again at the same: the others are out of use, and it is asked for want of a better one.
      const again = avoid.has(upstream.base)
      avoid.add(upstream.base)
      if (!again && all.some(({ base }) => !avoid.has(base))) return true
      avoid.clear()
      return false
    }
    return { avoid, elsewhere }
  }

  async admits({ repository, kind, reference }: Named, asker: Asker): Promise<void> {
    const client = this.#clientFor(this.#credentialsOf(asker, repository), this.#doorTimeouts)
    const missing = kind === 'manifest' ? 'no-manifest' : 'no-blob'
    const subject: Subject = { repository, what: `${kind} ${reference}`, missing }
    const headers = kind === 'manifest' ? { accept: acceptManifests } : {}
    const ask = { method: 'GET', path: `${kind}s/${reference}`, headers, subject } as const
    const head = await unlessHidden(kind, client.once({ ...ask, method: 'HEAD', also: [405] }, undefined))
    await head?.discard()
    if (head && head.status !== 405 && isGenuine(ask, head.headers)) return
    const get = await client.once(kind === 'blob' ? rangedFrom(ask, 0, 1) : ask, undefined)
    if (isGenuine(ask, get.headers)) return get.close()
    await this.#resolveByBody(get, subject)
  }

  async shows({ repository, kind, reference }: Named, asker: Asker, start: number, bytes: Uint8Array): Promise<void> {
    const client = this.#clientFor(this.#credentialsOf(asker, repository), this.#doorTimeouts)
    const missing = kind === 'manifest' ? 'no-manifest' : 'no-blob'
    const subject: Subject = { repository, what: `${kind} ${reference}`, missing }
    const range = `bytes=${start}-${start + bytes.length - 1}`
    const headers = kind === 'manifest' ? { accept: acceptManifests, range } : { range }
    const answer = await client.once({ method: 'GET', path: `${kind}s/${reference}`, headers, subject }, undefined)
    // Who does not do ranges sends all of it.
    const skip = answer.status === 206 ? 0 : start
    if (await sameBytes(answer, skip, bytes)) return
    throw new Failure(missing, `registry ${repository.registry} does not have the bytes of ${aboutOf(subject)}`)
  }

  /** Where registries are, from now on. @throws {Error} for a URL that cannot be used; all stay then */
  reroute(upstreams: ListedUpstreams, onlyListed: boolean): void {
    this.#upstreams.replace(upstreams, onlyListed)
    this.#endpoints.keep(this.#upstreams.several())
  }

  /** Registries that are at several places, and what is thought of each. */
  endpoints(): { readonly registry: string; readonly endpoints: readonly EndpointFacts[] }[] {
    const several = this.#upstreams.several()
    return several.map((all) => ({ registry: all[0]!.registry, endpoints: this.#endpoints.facts(all) }))
  }

  /** As {@link Upstreams.leadingTo}. */
  leadingTo(url: URL) {
    return this.#upstreams.leadingTo(url)
  }

  close(): void {
    this.#endpoints.close()
  }

  async hasLogin(registry: string): Promise<boolean> {
    const accounts = accountsOf(this.#upstreams.all(registry))
    return (await Promise.all(accounts.map((each) => this.#credentials.find(each)))).some((each) => each !== undefined)
  }

  async loginAt(registry: string): Promise<Login | undefined> {
    for (const account of accountsOf(this.#upstreams.all(registry))) {
      const found = await this.#credentials.find(account)
      const from = `from ${this.#credentials.file}`
      if (found) return { account, who: found.kind === 'basic' ? `${found.username}, ${from}` : `a token ${from}` }
    }
    return undefined
  }

  lend(repository: Repository, credential: Credential): void {
    // It may have been taken off the list while the registry was asked.
    if (this.takesLogins(repository.registry)) this.#client.lend(repository, credential)
  }

  borrows(repository: Repository): boolean {
    return this.#client.has(repository)
  }

  lender(repository: Repository): number {
    return this.#client.lender(repository)
  }

  takesLogins(registry: string): boolean {
    return this.#upstreams.lists(registry)
  }

  pass(
    repository: Repository,
    path: string,
    search: string,
    accept: string | undefined,
    signal?: AbortSignal,
  ): Promise<Passed> {
    return this.passFor('node', repository, path, search, accept, signal)
  }

  async passFor(
    asker: Asker,
    repository: Repository,
    path: string,
    search: string,
    accept: string | undefined,
    signal?: AbortSignal,
  ): Promise<Passed> {
    const client = asker === 'node' ? this.#own : this.#clientFor(this.#credentialsOf(asker, repository))
    const missing = path.startsWith('referrers/') ? 'no-manifest' : 'no-name'
    const subject: Subject = { repository, what: path, missing }
    const query = search === '' || search.startsWith('?') ? search : `?${search}`
    const headers = accept === undefined ? {} : { accept }
    const answer = await client.request(
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
    const link = answer.headers.get('link')
    const asked = urlOf(answer.upstream, repository, path)
    const next = link === null ? undefined : relativeLink(answer.upstream, asked, link)
    if (next !== undefined) kept.set('link', next)
    return { status: answer.status, headers: kept, body }
  }

  #credentialsOf(asker: Asker, { registry }: Repository): Credentials {
    if (asker === 'anyone') return noCredentials
    return asker === 'node' ? this.#credentials : only(asker, accountsOf(this.#upstreams.all(registry)))
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
    if (!looksLikeManifest(bytes)) {
      fail(`${aboutOf(subject)} is no manifest but ${mediaTypeOfAnswer(answer)}: something before the registry answers`)
    }
    const digest = digestOf(bytes)
    const stated = answer.headers.get('docker-content-digest')
    if (stated?.startsWith('sha256:') && stated !== digest) {
      fail(`${aboutOf(subject)} has the digest ${digest}, but the registry says ${stated.slice(0, 80)}`)
    }
    const type = mediaTypeOfAnswer(answer)
    return { digest, size: bytes.length, mediaType: type === defaultType ? mediaTypeOf(bytes) : type }
  }

  async #received(repository: Repository, bytes: number, digest?: Digest): Promise<void> {
    this.#metrics.sourceBytes.inc({ source: repository.registry }, bytes)
    await this.#limit?.(bytes, digest)
  }
}

const defaultType = 'application/octet-stream'

/**
 * What a HEAD brought; undefined where a GET has to tell. Harbor's proxy cache says of a blob that it has not cached yet
 * that there is none, and gives it to who asks for its bytes (goharbor/harbor#22609).
 */
async function unlessHidden(kind: Location['kind'], head: Promise<Answer>): Promise<Answer | undefined> {
  try {
    return await head
  } catch (error) {
    if (kind === 'blob' && Failure.from(error).detail.status === 404) return undefined
    throw error
  }
}

function accountsOf(upstreams: readonly Upstream[]): string[] {
  return upstreams.map(({ account }) => account)
}

/** In nobody's name: that it wants a login is an answer too. */
async function saysRegistry(exchange: Exchange, upstream: Upstream): Promise<boolean> {
  try {
    const answer = await exchange.send(upstream, { method: 'GET', url: new URL(upstream.root) })
    await answer.discard()
    return answer.status < 400 || answer.status === 401 || answer.status === 403
  } catch {
    return false
  }
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

function beyondEnd(about: string, start: number, size: number): Failure {
  return new Failure('bad-range', `${about} has ${size} bytes; there is nothing from byte ${start} on`)
}
