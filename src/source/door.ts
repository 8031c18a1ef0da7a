/** Asking a source not for content but whether somebody may have it. */
import type { Digest } from '../oci/digest.ts'
import type { Repository, Tag } from '../oci/reference.ts'
import type { BlobKind } from '../store/blob-store.ts'
import type { Credential } from './docker-config.ts'
import type { Passed } from './source.ts'

/** In whose name a source is asked: nobody's, this node's with its logins, or a client's with what it showed. */
export type Asker = 'anyone' | 'node' | Credential

/** What a client names in a request. */
export interface Named {
  readonly repository: Repository
  readonly kind: BlobKind
  /** A tag only of a manifest. */
  readonly reference: Tag | Digest
}

/** A login of this node, in words. */
export interface Login {
  /** `ann, from /root/.docker/config.json` */
  readonly who: string
  /** What `docker login` calls the registry that it is for. */
  readonly account: string
}

export interface Door {
  /**
   * Resolves when the source would give it to whoever asks. One try with a short deadline and without remembered
   * tokens: rights that were withdrawn are noticed.
   * @throws {Failure} `denied`, `no-manifest`/`no-blob`/`no-name` (some registries deny so), or why it cannot be told
   */
  admits(named: Named, asker: Asker): Promise<void>
  /**
   * Resolves when the source gives whoever asks these bytes from `start` of the content on: when it has them.
   * @throws {Failure} `no-manifest` or `no-blob` when it gives others, and as {@link admits}
   */
  shows(named: Named, asker: Asker, start: number, bytes: Uint8Array): Promise<void>
  /** As {@link Source.pass}, in somebody's name. */
  passFor(
    asker: Asker,
    repository: Repository,
    path: string,
    search: string,
    accept: string | undefined,
    signal?: AbortSignal,
  ): Promise<Passed>
  /** Whether this node has a login for the registry. */
  hasLogin(registry: string): Promise<boolean>
  /** That login, for messages: no secret is in it. Undefined where it has none. */
  loginAt(registry: string): Promise<Login | undefined>
  /** The registry let it into the repository just now: this node may read that by it where its own login fails. */
  lend(repository: Repository, credential: Credential): void
  /** Whether this node may read the repository by what a client lent it. */
  borrows(repository: Repository): boolean
  /** Tells apart by whose credentials it does; 0 by nobody's. What the registry said by one says nothing about another. */
  lender(repository: Repository): number
  /** Whether what a client shows may be sent to that registry: to those that the operator listed. */
  takesLogins(registry: string): boolean
}
