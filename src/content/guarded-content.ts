/** {@link Content} for one client: the same, once it is known that the client could have it from the source. */
import { Failure } from '../failure.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { contentsOf, isLookedFor } from '../oci/media.ts'
import { formatRepository, type Repository, type Tag } from '../oci/reference.ts'
import { refusedBy } from '../rights/outcomes.ts'
import type { Rights } from '../rights/rights.ts'
import type { Visitor } from '../rights/visitor.ts'
import type { Asker, Door, Named } from '../source/door.ts'
import { refusals } from '../source/lent.ts'
import { unlessAborted } from '../source/retry.ts'
import type { Passed } from '../source/source.ts'
import type { Span } from '../store/blob-store.ts'
import type { BlobReader, BlobStat, Content, Manifest, Wanted } from './content.ts'

/** What all clients share. */
export interface Guard {
  readonly content: Content
  readonly rights: Rights
  readonly door: Pick<Door, 'passFor' | 'takesLogins' | 'loginAt'>
}

export class GuardedContent implements Content {
  readonly #guard: Guard
  readonly #visitor: Visitor

  constructor(guard: Guard, visitor: Visitor) {
    this.#guard = guard
    this.#visitor = visitor
  }

  /** Begun at once where that helps: resolving a tag tells most of the time who may have it. */
  async manifest(repository: Repository, reference: Tag | Digest, signal?: AbortSignal): Promise<Manifest> {
    const { content, rights } = this.#guard
    const named = { repository, kind: 'manifest', reference } as const
    const open = () => content.manifest(repository, reference, signal)
    const opening = (await rights.expects(this.#visitor, named)) ? open() : undefined
    opening?.catch(() => {})
    const proof = isDigest(reference) ? undefined : opening
    const asker = await unlessAborted(rights.admit(this.#visitor, named, proof), signal)
    const manifest = await this.#given(opening, open)
    const found = { ...named, reference: manifest.digest }
    if (!isDigest(reference)) rights.said(found)
    // A tag may point to what is not of its registry.
    await unlessAborted(rights.settle(found, asker), signal)
    const { manifests, blobs } = contentsOf(manifest.bytes)
    const parts = [...manifests, ...blobs].filter(isLookedFor)
    rights.contains(repository, [manifest.digest, ...parts.map(({ digest }) => digest)])
    return manifest
  }

  /**
   * Another host may reach what this one does not: a URL is asked for on behalf of root and the node's own user only. What
   * others name by its digest they know already.
   */
  async latest(repository: Repository, signal?: AbortSignal): Promise<BlobStat> {
    if (await unlessAborted(this.#visitor.trusted(), signal)) return this.#guard.content.latest(repository, signal)
    throw new Failure(
      'denied',
      'what a URL leads to is told to root on this host only; say which digest it should have',
    )
  }

  async stat(repository: Repository, digest: Digest, signal?: AbortSignal): Promise<BlobStat> {
    const { content, rights } = this.#guard
    await unlessAborted(rights.admit(this.#visitor, { repository, kind: 'blob', reference: digest }), signal)
    return content.stat(repository, digest, signal)
  }

  /** Begun at once where that helps, and closed again if the client may not have it. */
  async open(repository: Repository, digest: Digest, wanted?: Wanted, signal?: AbortSignal): Promise<BlobReader> {
    const { content, rights } = this.#guard
    const named = { repository, kind: 'blob', reference: digest } as const
    const open = () => content.open(repository, digest, wanted, signal)
    const opening = (await rights.expects(this.#visitor, named)) ? open() : undefined
    opening?.catch(() => {})
    let asker: Asker | undefined
    try {
      asker = await unlessAborted(rights.admit(this.#visitor, named), signal)
    } catch (error) {
      opening?.then(
        (reader) => reader.close(),
        () => {},
      )
      throw error
    }
    const reader = await this.#given(opening, open)
    return reader.file ? reader : this.#settled(named, asker, reader)
  }

  /** Other nodes may say of what comes from them that it is of another registry: what is not given yet waits for that. */
  #settled(named: Named, asker: Asker | undefined, reader: BlobReader): BlobReader {
    const { rights } = this.#guard
    return {
      digest: reader.digest,
      size: reader.size,
      mediaType: reader.mediaType,
      async *read(span, signal) {
        for await (const bytes of reader.read(span, signal)) {
          if (rights.doubtful(named)) await unlessAborted(rights.settle(named, asker), signal)
          yield bytes
        }
      },
      ...(reader.expect ? { expect: (spans: readonly Span[]) => reader.expect?.(spans) } : {}),
      provenance: () => reader.provenance(),
      close: () => reader.close(),
    }
  }

  /** Asked of the source in the client's own name: what it answers is what the client may know. */
  async pass(
    repository: Repository,
    path: string,
    search: string,
    accept?: string,
    signal?: AbortSignal,
  ): Promise<Passed> {
    const { rights, door } = this.#guard
    const { registry } = repository
    const candidates = await rights.candidates(this.#visitor, repository)
    let refusal: unknown
    for (const { asker } of candidates) {
      if (asker === undefined) continue
      try {
        return await door.passFor(asker, repository, path, search, accept, signal)
      } catch (error) {
        refusal = error
        if (Failure.from(error).code !== 'denied') throw error
      }
    }
    if (this.#visitor.shown || !door.takesLogins(registry)) throw refusal
    const byLogin = candidates.some(({ asker }) => asker === 'node')
    const login = byLogin && (await this.#visitor.trusted()) ? await door.loginAt(registry) : undefined
    const refused = byLogin ? { login } : undefined
    throw refusedBy(registry, `${path} of ${formatRepository(repository)}`, { shows: true, refused })
  }

  /**
   * What was begun before the client was let in, or by another one, may have been refused for want of the login that this
   * client lends: then once more. Not to be there is a refusal too, of what was begun too early.
   */
  async #given<T>(opening: Promise<T> | undefined, open: () => Promise<T>): Promise<T> {
    try {
      return await (opening ?? open())
    } catch (error) {
      const { code } = Failure.from(error)
      if (this.#visitor.credential && (code === 'denied' || (opening && refusals.has(code)))) return open()
      throw error
    }
  }
}
