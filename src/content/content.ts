/**
 * What the registry endpoint serves: content by name, wherever it is. `node-content.ts` answers from the store, the
 * swarm and the source; `test/fakes/content.ts` from memory.
 */
import type { Digest } from '../oci/digest.ts'
import type { Repository, Tag } from '../oci/reference.ts'
import type { Passed } from '../source/source.ts'
import type { Span } from '../store/blob-store.ts'

export interface Manifest {
  readonly digest: Digest
  readonly mediaType: string
  /** Exactly as the source sent them. */
  readonly bytes: Uint8Array
}

export interface BlobStat {
  readonly digest: Digest
  readonly size: number
  readonly mediaType: string
}

/** Where bytes came from, for metrics and the log line of a pull. */
export interface Provenance {
  store: number
  swarm: number
  source: number
}

/** The file of a blob. What was read of it is right if it is `sound` afterwards; else it is to be had from `read`. */
export interface WholeFile {
  readonly path: string
  /** The piece that has this byte is what was verified. */
  sound(at: number): boolean
}

/** What is fetched of a blob beside what is read: nothing, some of what follows it, or all of it in the background. */
export const prefetches = ['none', 'following', 'whole'] as const
export type Prefetch = (typeof prefetches)[number]

/** What a client will read first, without an end where that is all from there on. */
export interface Wanted extends Partial<Span> {
  /** It reads parts that have an end, and takes none of them for the blob: each piece is verified, the whole need not be. */
  readonly part?: boolean
  /** `whole` unless said. */
  readonly prefetch?: Prefetch
  /** Nobody waits for it yet: of a part, what others wait for comes before. */
  readonly patient?: boolean
}

/** A blob open for reading. Close it when done; reading keeps it from eviction. */
export interface BlobReader extends BlobStat {
  /** Set when the blob is whole and was verified lately: the file may be sent as it is, see {@link WholeFile}. */
  readonly file?: WholeFile
  /** Verified bytes of the span, in order, as they arrive. Breaks off with a {@link Failure} rather than lie. */
  read(span: Span, signal: AbortSignal): AsyncIterable<Uint8Array>
  /** All of these will be read, one after the other. */
  expect?(spans: readonly Span[]): void
  /** What was read here so far, by where it came from: `store` is what was on this node when the blob was opened. */
  provenance(): Provenance
  close(): void
}

/** All methods throw {@link Failure} with a code that says what the client should be told. */
export interface Content {
  /** By tag or digest. */
  manifest(repository: Repository, reference: Tag | Digest, signal?: AbortSignal): Promise<Manifest>
  /** What a file's URL leads to now. @throws {Failure} `reading` while that is being found out */
  latest(repository: Repository, signal?: AbortSignal): Promise<BlobStat>
  /** Size without fetching the blob. */
  stat(repository: Repository, digest: Digest, signal?: AbortSignal): Promise<BlobStat>
  /**
   * Opens a blob; the first bytes may still be on their way.
   */
  open(repository: Repository, digest: Digest, wanted?: Wanted, signal?: AbortSignal): Promise<BlobReader>
  /** `GET /v2/<repository>/<path>` passed to the source: `tags/list`, `referrers/<digest>`. */
  pass(repository: Repository, path: string, search: string, accept?: string, signal?: AbortSignal): Promise<Passed>
}
