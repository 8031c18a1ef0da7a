/**
 * Files on web servers as a source of content. A file is asked for in nobody's name: there are no logins for them.
 *
 * Whoever can ask a node for a URL has it connect to places; what is on private networks trusts those that are there. So
 * unlike registries, which clients name too but which say nothing unless spoken to in their own way, servers on private
 * networks have to be listed.
 */
import { Failure } from '../failure.ts'
import { urlOfFile } from '../oci/file.ts'
import type { Repository } from '../oci/reference.ts'
import type { Answer } from './answer.ts'
import { rangeHeader } from './ask.ts'
import { parseContentLength, parseContentRange } from './content-range.ts'
import type { Asker, Door, Named } from './door.ts'
import { defaultTimeouts, Exchange } from './exchange.ts'
import { fileFailure } from './file-refusals.ts'
import { type FileVersion, sameVersion, versionOf } from './file-version.ts'
import { outsidePlaceOf } from './places.ts'
import { Reach } from './reach.ts'
import type { RegistrySourceOptions } from './registry-source.ts'
import { resumedBody } from './resumed-body.ts'
import { defaultRetry, type RetryTools, retrying } from './retry.ts'
import { sameBytes } from './same-bytes.ts'
import type { Location, OpenBody, Passed, Resolved, Source, Stat } from './source.ts'
import { type ListedUpstreams, Upstreams } from './upstreams.ts'

/** To HEAD: some servers know no such method, and a signed URL is good for the one that it was signed for. GET decides. */
const undecided = [401, 403, 405, 501]

export type FileSourceOptions = Omit<RegistrySourceOptions, 'credentialsFile'>

/** The file as it is now, from its beginning. */
export interface OpenFile extends OpenBody {
  readonly version: FileVersion
}

export class FileSource implements Source, Door {
  readonly #o: FileSourceOptions
  readonly #upstreams: Upstreams
  readonly #exchange: Exchange
  readonly #retry: RetryTools

  /** @throws {Error} for an upstream's URL or a CA file that cannot be used */
  constructor(options: FileSourceOptions) {
    const { clock, random, metrics } = options
    this.#o = options
    this.#upstreams = new Upstreams(options.upstreams, options)
    const reach = options.reach ?? new Reach(clock, { placeOf: outsidePlaceOf })
    this.#exchange = new Exchange(clock, options.timeouts ?? defaultTimeouts, metrics, reach)
    this.#retry = { policy: options.retry ?? defaultRetry, clock, random, log: options.log.child({ part: 'source' }) }
  }

  /** Where servers are, from now on. @throws {Error} for a URL that cannot be used; all stay then */
  reroute(upstreams: ListedUpstreams, onlyListed: boolean): void {
    this.#upstreams.replace(upstreams, onlyListed)
  }

  /** Which version of the file is there now. @throws {Failure} */
  async version(repository: Repository, signal?: AbortSignal): Promise<FileVersion & { readonly size?: number }> {
    const head = await this.#head(repository, signal)
    const size = sizeOf(head)
    return { ...versionOf(head.headers), ...(size === undefined ? {} : { size }) }
  }

  async stat({ repository }: Pick<Location, 'repository'>, signal?: AbortSignal): Promise<Stat> {
    const head = await this.#head(repository, signal)
    const size = sizeOf(head)
    if (size === undefined) throw new Failure('corrupt', `${urlOfFile(repository)}: the server does not tell its size`)
    return { size, mediaType: mediaTypeOf(head) }
  }

  async open(location: Location, start: number, signal?: AbortSignal, end?: number): Promise<OpenBody> {
    const { repository, digest } = location
    const first = await retrying(this.#retry, signal, () => this.#get(repository, start, signal, [416], end))
    if (first.status === 416) {
      await first.discard()
      const stat = await this.stat(location, signal)
      if (start === stat.size) return { ...stat, body: nothing() }
      throw new Failure(
        'bad-range',
        `${urlOfFile(repository)} has ${stat.size} bytes; there is nothing from ${start} on`,
      )
    }
    return this.#body(repository, first, start, (bytes) => this.#received(repository, bytes, digest), signal, end)
  }

  /** All of it, whatever it is now. @throws {Failure} */
  async openNow(repository: Repository, signal?: AbortSignal): Promise<OpenFile> {
    const first = await retrying(this.#retry, signal, () => this.#get(repository, 0, signal))
    const body = await this.#body(repository, first, 0, (bytes) => this.#received(repository, bytes), signal)
    return { ...body, version: versionOf(first.headers) }
  }

  /** What a URL leads to is found out by reading it, see `content/files.ts`. */
  resolve(repository: Repository): Promise<Resolved> {
    return Promise.reject(new Failure('no-manifest', `${urlOfFile(repository)} is no image`))
  }

  pass(repository: Repository): Promise<Passed> {
    return Promise.reject(new Failure('no-name', `${urlOfFile(repository)} is no registry`))
  }

  async admits({ repository }: Named, asker: Asker): Promise<void> {
    mustBeNobody(asker, repository)
    const head = await this.#send(repository, 'HEAD', {}, undefined, undecided)
    head.close()
    if (head.status >= 300) await this.#begun(repository, undefined)
  }

  async shows({ repository }: Named, asker: Asker, start: number, bytes: Uint8Array): Promise<void> {
    mustBeNobody(asker, repository)
    const range = `bytes=${start}-${start + bytes.length - 1}`
    const answer = await this.#send(repository, 'GET', { range }, undefined)
    if (await sameBytes(answer, answer.status === 206 ? 0 : start, bytes)) return
    throw new Failure('no-blob', `${urlOfFile(repository)} does not have these bytes`)
  }

  passFor(_: Asker, repository: Repository): Promise<Passed> {
    return this.pass(repository)
  }

  hasLogin(): Promise<boolean> {
    return Promise.resolve(false)
  }

  async loginAt(): Promise<undefined> {}
  lender(): number {
    return 0
  }
  lend(): void {}
  borrows(): boolean {
    return false
  }
  takesLogins(): boolean {
    return false
  }

  async #head(repository: Repository, signal: AbortSignal | undefined): Promise<Answer> {
    return retrying(this.#retry, signal, async () => {
      const head = await this.#send(repository, 'HEAD', {}, signal, undecided)
      await head.discard()
      // Some do not say there how long it is.
      return head.status < 300 && sizeOf(head) !== undefined ? head : this.#begun(repository, signal)
    })
  }

  /** What a GET says that is read no further. @throws {Failure} */
  async #begun(repository: Repository, signal: AbortSignal | undefined): Promise<Answer> {
    const first = await this.#send(repository, 'GET', { range: 'bytes=0-0' }, signal, [416])
    first.close()
    if (first.status !== 416) return first
    // An empty file has no first byte.
    const all = await this.#send(repository, 'GET', {}, signal)
    all.close()
    return all
  }

  #get(
    repository: Repository,
    start: number,
    signal: AbortSignal | undefined,
    also: readonly number[] = [],
    end?: number,
  ) {
    const range = rangeHeader(start, end)
    return this.#send(repository, 'GET', range === undefined ? {} : { range }, signal, also)
  }

  /** The rest of `first`, over other connections if need be, as long as it is the same version of the file. */
  async #body(
    repository: Repository,
    first: Answer,
    start: number,
    received: (bytes: number) => Promise<void>,
    signal: AbortSignal | undefined,
    end?: number,
  ): Promise<OpenBody> {
    const about = String(urlOfFile(repository))
    const size = sizeOf(first)
    if (size === undefined || start > size) {
      first.close()
      const why = size === undefined ? 'the server does not tell its size' : `it has only ${size} bytes`
      throw new Failure('corrupt', `${about}: ${why}`)
    }
    const all = first.status !== 206 && rangeHeader(start, end) !== undefined
    const until = all ? undefined : end
    const reopen = async (from: number) => {
      const answer = await this.#get(repository, from, signal, [], until)
      if (sameVersion(first.headers, answer.headers)) return answer
      answer.close()
      throw new Failure('corrupt', `${about} changed while it was read`)
    }
    const plan = { about, size, start, first, reopen, received, retry: this.#retry, signal }
    const body = resumedBody({ ...plan, ...(until === undefined ? {} : { end: until }) })
    return { size, mediaType: mediaTypeOf(first), body, ...(all ? { ranged: false } : {}) }
  }

  /** @throws {Failure} for a status that is neither 2xx nor among `also` */
  async #send(
    repository: Repository,
    method: 'GET' | 'HEAD',
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
    also: readonly number[] = [],
  ): Promise<Answer> {
    const url = urlOfFile(repository)
    if (!url) throw new Failure('internal', `${repository.registry} is a registry`)
    const answer = await this.#exchange.send(this.#upstreams.at(url), { method, url, headers }, signal)
    if (answer.status >= 200 && answer.status < 300) {
      this.#o.admitted?.(repository, 'anyone')
      return answer
    }
    if (also.includes(answer.status)) return answer
    await answer.discard()
    throw fileFailure(answer, url, this.#o.clock.wall())
  }

  async #received(repository: Repository, bytes: number, digest?: Location['digest']): Promise<void> {
    this.#o.metrics.sourceBytes.inc({ source: new URL(repository.registry).host }, bytes)
    await this.#o.limit?.(bytes, digest)
  }
}

/** Nobody has a login for a file. @throws {Failure} `denied` */
function mustBeNobody(asker: Asker, repository: Repository): void {
  if (asker === 'anyone') return
  throw new Failure('denied', `${urlOfFile(repository)} is read in nobody's name`)
}

function sizeOf(answer: Answer): number | undefined {
  return answer.status === 206
    ? parseContentRange(answer.headers.get('content-range'))?.size
    : parseContentLength(answer.headers.get('content-length'))
}

function mediaTypeOf(answer: Answer): string {
  return answer.headers.get('content-type')?.split(';')[0]?.trim().slice(0, 255) || 'application/octet-stream'
}

async function* nothing(): AsyncGenerator<Uint8Array, void, undefined> {}
