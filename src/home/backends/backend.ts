/**
 * Where repositories of the cluster's own are kept for good. Seeds write to it what was pushed to them, and read from it
 * what none of them has any more. All backends pass `test/conformance/backend.ts`.
 */
import type { Repository, Tag } from '../../oci/reference.ts'
import type { Location, Resolved, Source } from '../../source/source.ts'

export interface Backend extends Source {
  /** For logs and `status`: `s3://images/shoal`, without credentials. */
  readonly name: string
  /** Absent: it only gives. */
  readonly writes?: BackendWrites
}

/** What is stored: `read` gives its bytes from a place on, verified, and may be called more than once. */
export interface Kept {
  readonly size: number
  readonly mediaType: string
  read(start: number): AsyncIterable<Uint8Array>
}

export interface BackendWrites {
  /** Stores content whole, or not at all. What is there already is not sent again. */
  put(location: Location, content: Kept, signal?: AbortSignal): Promise<void>
  /** What is not there is no error. */
  remove(location: Location, signal?: AbortSignal): Promise<void>
  /** `at`: when it came to point there, wall ms. Where the backend knows of something later, that stays. */
  setTag(repository: Repository, tag: Tag, to: Resolved, at: number, signal?: AbortSignal): Promise<void>
  removeTag(repository: Repository, tag: Tag, signal?: AbortSignal): Promise<void>
}
