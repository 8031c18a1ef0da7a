/** Where bytes come from in the first place. The registry source is one; each knows how to find content by name. */
import type { Digest } from '../oci/digest.ts'
import type { Repository, Tag } from '../oci/reference.ts'
import type { BlobKind } from '../store/blob-store.ts'

/** Content at its source: which repository to ask, and under which path. */
export interface Location {
  readonly repository: Repository
  readonly kind: BlobKind
  readonly digest: Digest
}

export interface Stat {
  readonly size: number
  readonly mediaType: string
}

export interface Resolved extends Stat {
  readonly digest: Digest
}

export interface OpenBody extends Stat {
  /**
   * Bytes from `start` on, in chunks of any length; an empty one says that something came which was not asked for. A broken
   * connection is resumed inside.
   */
  readonly body: AsyncIterable<Uint8Array>
  /** A part was asked for, and the source sends all of it from the start: what comes before the part is left out here. */
  readonly ranged?: false
}

/** A request that is passed through as it is: tag lists, referrers. */
export interface Passed {
  readonly status: number
  readonly headers: Headers
  readonly body: Uint8Array
}

/**
 * All methods throw {@link Failure}: `no-manifest`/`no-blob`/`no-name` (404), `denied` (401, 403), `too-many` (429 for
 * longer than retries last), `not-listed`, `unavailable` (unreachable, 5xx), `corrupt` (answers that make no sense).
 */
export interface Source {
  /** The digest a tag points to now. */
  resolve(repository: Repository, tag: Tag, signal?: AbortSignal): Promise<Resolved>
  /** @param told the size that others say a blob has: believed where only reading it would tell */
  stat(location: Location, signal?: AbortSignal, told?: number): Promise<Stat>
  /**
   * Streams content from byte `start` on, up to `end` (exclusive) where that is given: a source that cannot stop there may
   * go on. The bytes are not verified here.
   */
  open(location: Location, start: number, signal?: AbortSignal, end?: number): Promise<OpenBody>
  /** `GET /v2/<repository>/<path>`, with at most 16 MiB of an answer. */
  pass(
    repository: Repository,
    path: string,
    search: string,
    accept: string | undefined,
    signal?: AbortSignal,
  ): Promise<Passed>
}
