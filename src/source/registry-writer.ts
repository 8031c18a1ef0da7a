/**
 * A registry as a place to put content: OCI distribution spec, "Push" and "Content Management". What is there already is
 * not sent again. Small blobs go in one request, large ones in runs, so that a connection that breaks costs one run.
 */
import type { Clock, Random } from '../clock.ts'
import { Failure } from '../failure.ts'
import type { Places } from '../first-there.ts'
import { type Digest, isDigest, shortDigest } from '../oci/digest.ts'
import { acceptManifests, maxManifestBytes } from '../oci/media.ts'
import type { Repository, Tag } from '../oci/reference.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Answer } from './answer.ts'
import { askFor } from './ask.ts'
import { Authenticator } from './authenticator.ts'
import { DockerCredentials, noCredentials } from './credentials.ts'
import { Exchange, type Timeouts } from './exchange.ts'
import { Reach } from './reach.ts'
import type { Subject } from './refusals.ts'
import { RegistryClient } from './registry-client.ts'
import { defaultRetry, pauseAfter, type RetryPolicy, type RetryTools, retrying } from './retry.ts'
import type { Location } from './source.ts'
import { endOf, sessionOf, type UploadSession } from './upload-session.ts'
import { type ListedUpstreams, Upstreams } from './upstreams.ts'

export interface RegistryWriterOptions {
  /** No other registry is written to, and each at the endpoint that is preferred. */
  readonly upstreams: ListedUpstreams
  /** PEM file of certificate authorities that are trusted beside the usual ones. */
  readonly caFile?: string
  /** A Docker `config.json`; without one every registry is asked anonymously. */
  readonly credentialsFile?: Places
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: Pick<Metrics, 'sourceRequests'>
  /** Awaited before so many bytes of content are sent. */
  readonly limit?: (bytes: number) => Promise<void>
  readonly timeouts?: Timeouts
  readonly reach?: Reach
  readonly retry?: RetryPolicy
}

/** Content with a digest, that can be read from any place on, more than once. */
export interface Readable {
  readonly digest: Digest
  readonly size: number
  read(start: number): AsyncIterable<Uint8Array>
}

/** What became of a blob that was to be put somewhere. */
export type Put = 'there already' | 'mounted' | 'sent'

/** A registry may take long to put together what it was sent in parts. */
const writerTimeouts: Timeouts = { headersMs: 60_000, idleMs: 30_000 }
/** Above this, a blob is sent in runs of so many bytes. */
const runBytes = 32 * 1024 * 1024

export class RegistryWriter {
  readonly #client: RegistryClient
  readonly #upstreams: Upstreams
  readonly #retry: RetryTools
  readonly #limit: RegistryWriterOptions['limit']
  readonly #runBytes: number

  /** @throws {Error} for an upstream's URL or a CA file that cannot be used */
  constructor(options: RegistryWriterOptions, most = runBytes) {
    const { clock, random, metrics, credentialsFile: file } = options
    const log = options.log.child({ part: 'source' })
    const retry = { policy: options.retry ?? defaultRetry, clock, random, log }
    const upstreams = new Upstreams(options.upstreams, { ...options, onlyListed: true })
    const exchange = new Exchange(clock, options.timeouts ?? writerTimeouts, metrics, options.reach ?? new Reach(clock))
    const credentials = file === undefined ? noCredentials : new DockerCredentials({ file, clock, log })
    // Challenges of its own: who writes is asked for more than who reads.
    const authenticator = new Authenticator(exchange, credentials, clock)
    this.#client = new RegistryClient({ upstreams, exchange, authenticator, retry })
    this.#upstreams = upstreams
    this.#retry = retry
    this.#limit = options.limit
    this.#runBytes = most
  }

  /** Whether it is there; a manifest's digest is in its name, so that it is the right one then. */
  async has(location: Location, signal?: AbortSignal): Promise<boolean> {
    const head = await this.#client.request({ ...askFor(location), method: 'HEAD', also: [404] }, signal)
    await head.discard()
    return head.status !== 404
  }

  /** What a tag leads to there; undefined if there is none. */
  async resolve(repository: Repository, tag: Tag, signal?: AbortSignal): Promise<Digest | undefined> {
    const subject: Subject = { repository, what: `manifest ${tag}`, missing: 'no-manifest' }
    const headers = { accept: acceptManifests }
    const head = await this.#client.request(
      { method: 'HEAD', path: `manifests/${tag}`, headers, subject, also: [404] },
      signal,
    )
    await head.discard()
    if (head.status === 404) return undefined
    const digest = head.headers.get('docker-content-digest') ?? ''
    if (isDigest(digest)) return digest
    throw new Failure('corrupt', `registry ${repository.registry} does not say which digest its tag ${tag} has`)
  }

  /** Undefined if it is not there. */
  async manifest(
    repository: Repository,
    reference: Tag | Digest,
    signal?: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const subject: Subject = { repository, what: `manifest ${reference}`, missing: 'no-manifest' }
    const headers = { accept: acceptManifests }
    const ask = { method: 'GET', path: `manifests/${reference}`, headers, subject, also: [404] } as const
    const answer = await this.#client.request(ask, signal)
    if (answer.status !== 404) return answer.bytes(maxManifestBytes)
    await answer.discard()
    return undefined
  }

  /** `from`: repositories of that registry that have the blob already, as far as one knows. */
  async putBlob(
    repository: Repository,
    blob: Readable,
    options: { readonly from?: readonly Repository[]; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Put> {
    const { from = [], signal } = options
    if (await this.has({ repository, kind: 'blob', digest: blob.digest }, signal)) return 'there already'
    const [other] = from
    const mount = other && `?${new URLSearchParams({ mount: blob.digest, from: this.#nameAt(other) }).toString()}`
    const session = await this.#begin(repository, blob.digest, mount, signal)
    if (session === 'mounted') return 'mounted'
    if (blob.size > this.#runBytes) await this.#sendInRuns(repository, session, blob, signal)
    else await this.#sendWhole(repository, session, blob, signal)
    return 'sent'
  }

  /** `subject`: the registry said that it keeps the list of what refers to the manifest's subject. */
  async putManifest(
    repository: Repository,
    reference: Tag | Digest,
    { bytes, mediaType }: { readonly bytes: Uint8Array; readonly mediaType: string },
    signal?: AbortSignal,
  ): Promise<{ readonly subject: boolean }> {
    const what = `manifest ${isDigest(reference) ? shortDigest(reference) : reference}`
    const subject: Subject = { repository, what, missing: 'no-name', written: true }
    await this.#limit?.(bytes.length)
    const content = { size: bytes.length, bytes: () => bytes }
    const headers = { 'content-type': mediaType }
    const answer = await this.#client.request(
      { method: 'PUT', path: `manifests/${reference}`, headers, content, subject },
      signal,
    )
    await answer.discard()
    return { subject: answer.headers.has('oci-subject') }
  }

  /** What is not there is no error. */
  remove({ repository, kind, digest }: Location, signal?: AbortSignal): Promise<void> {
    return this.#remove(repository, `${kind}s/${digest}`, `${kind} ${shortDigest(digest)}`, signal)
  }

  /** @throws {Failure} `bad-request` for registries that delete manifests alone, as many do */
  removeTag(repository: Repository, tag: Tag, signal?: AbortSignal): Promise<void> {
    return this.#remove(repository, `manifests/${tag}`, `tag ${tag}`, signal)
  }

  async #remove(repository: Repository, path: string, what: string, signal: AbortSignal | undefined): Promise<void> {
    const subject: Subject = { repository, what: `the deletion of ${what}`, missing: 'no-name', written: true }
    await (await this.#client.request({ method: 'DELETE', path, subject, also: [404] }, signal)).discard()
  }

  /** The name that the registry itself has for it: an upstream's URL may begin with some of it. */
  #nameAt({ registry, name }: Repository): string {
    const { base } = this.#upstreams.find(registry)
    const [, prefix = ''] = /\/v2(?:\/(.+))?$/.exec(base) ?? []
    return prefix === '' ? name : `${prefix}/${name}`
  }

  async #begin(
    repository: Repository,
    digest: Digest,
    mount: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<UploadSession | 'mounted'> {
    const subject = subjectOf(repository, digest)
    const ask = { method: 'POST', content: nothing, subject } as const
    let answer: Answer
    try {
      answer = await this.#client.request({ ...ask, path: `blobs/uploads/${mount ?? ''}` }, signal)
    } catch (error) {
      // Who may not read the other repository is to send it.
      if (mount === undefined || Failure.from(error).retry) throw error
      answer = await this.#client.request({ ...ask, path: 'blobs/uploads/' }, signal)
    }
    await answer.discard()
    return answer.status === 201 ? 'mounted' : sessionOf(answer)
  }

  /** In one request; a connection that breaks costs all of it. */
  async #sendWhole(
    repository: Repository,
    begun: UploadSession | undefined,
    blob: Readable,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    let first = begun
    await retrying(this.#retry, signal, async () => {
      const session = first ?? (await this.#begin(repository, blob.digest, undefined, signal))
      first = undefined
      if (session === 'mounted') return
      const content = { size: blob.size, bytes: () => this.#bytes(blob, 0, blob.size) }
      const headers = { 'content-type': octets }
      const subject = subjectOf(repository, blob.digest)
      const path = endOf(session, blob.digest)
      await (await this.#client.once({ method: 'PUT', path, headers, content, subject }, signal)).discard()
    })
  }

  async #sendInRuns(
    repository: Repository,
    begun: UploadSession,
    blob: Readable,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const subject = subjectOf(repository, blob.digest)
    const run = Math.max(begun.leastRun, this.#runBytes)
    let session = begun
    let failed = 0
    for (let at = 0; at < blob.size; ) {
      const end = Math.min(at + run, blob.size)
      const start = at
      const content = { size: end - start, bytes: () => this.#bytes(blob, start, end) }
      const headers = { 'content-type': octets, 'content-range': `${start}-${end - 1}` }
      try {
        const answer = await this.#client.once(
          { method: 'PATCH', path: session.url, headers, content, subject },
          signal,
        )
        await answer.discard()
        session = sessionOf(answer, session)
        at = session.have ?? end
        failed = 0
      } catch (error) {
        // Some registries take a blob whole, or not at all.
        if (at === 0 && failed === 0 && Failure.from(error).code === 'bad-request') {
          return this.#sendWhole(repository, undefined, blob, signal)
        }
        await pauseAfter(++failed, error, this.#retry, signal)
        session = await this.#ask(session, subject, signal).catch(() => {
          // It has forgotten the upload, or is not there: why it broke off says more.
          throw error
        })
        at = session.have ?? 0
      }
    }
    const path = endOf(session, blob.digest)
    await (await this.#client.request({ method: 'PUT', path, content: nothing, subject }, signal)).discard()
  }

  async #ask(session: UploadSession, subject: Subject, signal: AbortSignal | undefined): Promise<UploadSession> {
    const answer = await this.#client.request({ method: 'GET', path: session.url, subject }, signal)
    await answer.discard()
    return sessionOf(answer, session)
  }

  async *#bytes(blob: Readable, start: number, end: number): AsyncGenerator<Uint8Array, void, undefined> {
    let at = start
    if (at === end) return
    for await (const chunk of blob.read(start)) {
      const part = at + chunk.length > end ? chunk.subarray(0, end - at) : chunk
      await this.#limit?.(part.length)
      at += part.length
      yield part
      if (at === end) return
    }
    throw new Failure('corrupt', `${blob.digest} ended after ${at} bytes, and has more`)
  }
}

const octets = 'application/octet-stream'
const nothing = { size: 0, bytes: () => new Uint8Array() }

function subjectOf(repository: Repository, digest: Digest): Subject {
  return { repository, what: `blob ${shortDigest(digest)}`, missing: 'no-name', written: true }
}
