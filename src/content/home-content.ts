/**
 * {@link Content} of repositories of the cluster's own. Whether they have something is asked of those that keep them, each
 * time: what was pushed a moment ago is found, and what was deleted is not. While none of them answers, what this node knew
 * last counts; of what it knows nothing, the client waits a while for one of them to come up.
 */
import { type Clock, pause } from '../clock.ts'
import { Failure } from '../failure.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { contentsOf, isLookedFor } from '../oci/media.ts'
import type { Repository, Tag } from '../oci/reference.ts'
import { unlessAborted } from '../source/retry.ts'
import type { Location, Passed, Resolved, Source, Stat } from '../source/source.ts'
import type { BlobStore } from '../store/blob-store.ts'
import type { BlobReader, BlobStat, Content, Manifest, Wanted } from './content.ts'

export interface HomeContentOptions {
  readonly content: Content
  readonly home: Pick<Source, 'resolve' | 'stat' | 'pass'>
  readonly store: Pick<BlobStore, 'find' | 'tag' | 'setTag' | 'seenIn' | 'wasSeenIn'>
  /** Anybody may read the repository. */
  readonly open: (repository: Repository) => void
  /** Somebody is about to be told that it is there, and may rely on it. @throws {Failure} if nobody should */
  readonly relied?: (location: Location) => Promise<void>
  /** Absent on a node that keeps them itself: it waits for nobody. */
  readonly waiting?: Clock
  /** Wall time in ms. */
  readonly wall: () => number
}

/** A seed that comes up late does so within seconds; of what nobody will have, the client should hear soon. */
const patienceMs = 15_000
const againMs = 500

export class HomeContent implements Content {
  readonly #o: HomeContentOptions

  constructor(options: HomeContentOptions) {
    this.#o = options
  }

  async manifest(repository: Repository, reference: Tag | Digest, signal?: AbortSignal): Promise<Manifest> {
    const { content, store, open } = this.#o
    const { digest, mediaType } = await unlessAborted(this.#resolved(repository, reference, signal), signal)
    open(repository)
    const { bytes } = await content.manifest(repository, digest, signal)
    const { manifests, blobs } = contentsOf(bytes)
    store.seenIn(digest, repository)
    for (const part of [...manifests, ...blobs]) if (isLookedFor(part)) store.seenIn(part.digest, repository)
    return { digest, mediaType, bytes }
  }

  async latest(): Promise<BlobStat> {
    throw new Failure('no-name', 'no file on the web is kept in a repository')
  }

  async stat(repository: Repository, digest: Digest, signal?: AbortSignal): Promise<BlobStat> {
    const location = { repository, kind: 'blob', digest } as const
    const stat = await unlessAborted(this.#stat(location, signal), signal)
    await this.#o.relied?.(location)
    return { digest, ...stat }
  }

  async open(repository: Repository, digest: Digest, wanted?: Wanted, signal?: AbortSignal): Promise<BlobReader> {
    await unlessAborted(this.#stat({ repository, kind: 'blob', digest }, signal), signal)
    this.#o.open(repository)
    this.#o.store.seenIn(digest, repository)
    return this.#o.content.open(repository, digest, wanted, signal)
  }

  pass(repository: Repository, path: string, search: string, accept?: string, signal?: AbortSignal): Promise<Passed> {
    return this.#o.home.pass(repository, path, search, accept, signal)
  }

  async #resolved(repository: Repository, reference: Tag | Digest, signal?: AbortSignal): Promise<Resolved> {
    const { home, store, wall } = this.#o
    if (isDigest(reference)) {
      const stat = await this.#stat({ repository, kind: 'manifest', digest: reference }, signal)
      return { digest: reference, ...stat }
    }
    const ask = async () => {
      const resolved = await home.resolve(repository, reference)
      store.setTag(repository, reference, { ...resolved, resolvedAt: wall() })
      return resolved
    }
    return this.#asked<Resolved>(ask, () => store.tag(repository, reference), signal)
  }

  #stat(location: Location, signal?: AbortSignal): Promise<Stat> {
    return this.#asked(
      () => this.#o.home.stat(location),
      () => this.#known(location),
      signal,
    )
  }

  async #asked<T>(ask: () => Promise<T>, lastKnown: () => T | undefined, signal?: AbortSignal): Promise<T> {
    const { waiting } = this.#o
    const end = waiting && waiting.now() + patienceMs
    while (true) {
      try {
        return await ask()
      } catch (error) {
        const failure = Failure.from(error)
        if (failure.code !== 'unavailable') throw error
        const known = lastKnown()
        if (known) return known
        // A seed that gave an answer is there: its backend is not.
        const answered = failure.detail.status !== undefined
        if (answered || !waiting || end === undefined || waiting.now() >= end) throw error
        await pause(waiting, againMs, signal)
      }
    }
  }

  #known({ repository, digest }: Location): Stat | undefined {
    const { store } = this.#o
    const blob = store.find(digest)
    if (!blob || !store.wasSeenIn(digest, repository)) return undefined
    return { size: blob.size, mediaType: blob.mediaType ?? 'application/octet-stream' }
  }
}

/** Which of two answers for a repository. */
export class ByHome implements Content {
  readonly #of: (repository: Repository) => Content

  constructor(isHome: (repository: Repository) => boolean, home: Content, world: Content) {
    this.#of = (repository) => (isHome(repository) ? home : world)
  }

  manifest(repository: Repository, reference: Tag | Digest, signal?: AbortSignal): Promise<Manifest> {
    return this.#of(repository).manifest(repository, reference, signal)
  }
  latest(repository: Repository, signal?: AbortSignal): Promise<BlobStat> {
    return this.#of(repository).latest(repository, signal)
  }
  stat(repository: Repository, digest: Digest, signal?: AbortSignal): Promise<BlobStat> {
    return this.#of(repository).stat(repository, digest, signal)
  }
  open(repository: Repository, digest: Digest, wanted?: Wanted, signal?: AbortSignal): Promise<BlobReader> {
    return this.#of(repository).open(repository, digest, wanted, signal)
  }
  pass(repository: Repository, ...rest: [string, string, string?, AbortSignal?]): Promise<Passed> {
    return this.#of(repository).pass(repository, ...rest)
  }
}
