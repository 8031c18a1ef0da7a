/**
 * What a seed knows of the repositories that it keeps: tags and contents from the cluster's state, and what the backend has
 * beside that.
 */
import { Failure } from '../failure.ts'
import { parseDigest } from '../oci/digest.ts'
import { formatReference, formatRepository, type Repository, type Tag } from '../oci/reference.ts'
import type { Location, OpenBody, Resolved, Stat } from '../source/source.ts'
import type { State } from '../state/state.ts'
import type { Backend } from './backends/backend.ts'
import { Beside } from './beside.ts'
import type { ListReply } from './calls.ts'
import type { Homes } from './homes.ts'
import { referrersOf, tagsOf } from './lists.ts'

export interface OwnHomeOptions {
  readonly homes: Homes
  readonly state: State
}

interface Place {
  readonly repository: Repository
  readonly backend: Backend
}

/** Repositories with the same content that are looked in: thousands may share a base layer. */
const mostOthers = 8

export class OwnHome {
  readonly #o: OwnHomeOptions

  constructor(options: OwnHomeOptions) {
    this.#o = options
  }

  /** Whether it is among those that this seed keeps. */
  has(repository: Repository): boolean {
    return this.#o.homes.of(repository) !== undefined
  }

  /** @throws {Failure} `no-manifest`, `unavailable` */
  async resolve(repository: Repository, tag: Tag, signal?: AbortSignal): Promise<Resolved> {
    this.#check(repository)
    const entry = await this.#o.state.tags.get(repository, tag)
    if (entry?.digest) return { digest: entry.digest, mediaType: entry.mediaType, size: entry.size }
    const backend = this.#o.homes.of(repository)?.backend
    // What was deleted here is gone, whatever the backend still says.
    if (!entry && backend) return backend.resolve(repository, tag, signal)
    throw new Failure('no-manifest', `there is no ${formatReference({ ...repository, tag })}`)
  }

  /** @throws {Failure} `no-manifest`, `no-blob`, `unavailable` */
  async stat(location: Location, signal?: AbortSignal): Promise<Stat> {
    const { repository, kind, digest } = location
    this.#check(repository)
    const content = await this.#o.state.contents.find(repository, digest)
    if (content && (kind === 'blob' || content.kind === 'manifest')) {
      return { size: content.size, mediaType: content.mediaType }
    }
    await this.#notDeleted(location)
    const backend = this.#o.homes.of(repository)?.backend
    if (!content && backend) return backend.stat(location, signal)
    throw notThere(location)
  }

  /**
   * An image that was deleted here is gone, whatever the backend still says. Its blobs may be those of others, which the
   * backend alone tells of. @throws {Failure} `no-manifest`
   */
  async #notDeleted(location: Location): Promise<void> {
    const { repository, kind, digest } = location
    if (kind === 'manifest' && (await this.#o.state.contents.removed(repository, digest))) throw notThere(location)
  }

  /**
   * What no store has any more. A repository may have got it from another one, whose backend has it, and its own not yet.
   * @throws {Failure} `no-manifest`, `no-blob`, `unavailable`
   */
  async open(location: Location, ...rest: [number, AbortSignal?, number?]): Promise<OpenBody> {
    this.#check(location.repository)
    await this.#notDeleted(location)
    let failure: Failure | undefined
    for await (const { repository, backend } of this.#placesOf(location)) {
      try {
        return await backend.open({ ...location, repository }, ...rest)
      } catch (error) {
        const { code } = Failure.from(error)
        if (code !== 'no-blob' && code !== 'no-manifest' && code !== 'no-name') throw error
        failure ??= Failure.from(error)
      }
    }
    const what = formatReference({ ...location.repository, digest: location.digest })
    throw failure ?? new Failure('unavailable', `no seed that answers has ${what} any more, and it has no backend`)
  }

  /** Its own backend first; others only of what the state says that it has. */
  async *#placesOf({ repository, digest }: Location): AsyncGenerator<Place, void, undefined> {
    const { homes, state } = this.#o
    const backend = homes.of(repository)?.backend
    if (backend) yield { repository, backend }
    if (!(await state.contents.find(repository, digest))) return
    const others = (await state.contents.repositoriesOf(digest)).flatMap((other) => {
      const theirs = homes.of(other)?.backend
      return theirs && formatRepository(other) !== formatRepository(repository)
        ? [{ repository: other, backend: theirs }]
        : []
    })
    yield* others.slice(0, mostOthers)
  }

  /** `tags/list` and `referrers/<digest>`. @throws {Failure} `no-name`, `unsupported` */
  async list(repository: Repository, path: string, search: string): Promise<ListReply> {
    this.#check(repository)
    const { state } = this.#o
    const backend = this.#o.homes.of(repository)?.backend
    const beside = backend && new Beside(backend, state)
    if (path === 'tags/list') return tagsOf(state, repository, search, beside)
    const [word, subject] = path.split('/')
    if (word === 'referrers' && subject) return referrersOf(state, repository, parseDigest(subject), search, beside)
    throw new Failure('unsupported', `there is no ${path} of a repository`)
  }

  #check(repository: Repository): void {
    if (!this.has(repository)) {
      throw new Failure('no-name', `this node does not keep ${formatRepository(repository)}`)
    }
  }
}

function notThere({ repository, kind, digest }: Location): Failure {
  const what = formatReference({ ...repository, digest })
  return new Failure(kind === 'manifest' ? 'no-manifest' : 'no-blob', `${what} was not pushed, or was deleted`)
}
