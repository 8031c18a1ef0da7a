/**
 * The cluster's memory of tags, as resolving uses it: what a source said is written down there, and where the source is out
 * of reach, what was written last is known, also by nodes that never asked it themselves. Pulls do not wait for it long,
 * and never fail for it.
 */
import { type Clock, pause } from '../clock.ts'
import type { NodeId } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { formatReference, type Repository, type Tag } from '../oci/reference.ts'
import type { Resolved } from '../source/source.ts'
import type { State } from '../state/state.ts'
import type { TagRecord } from '../store/blob-store.ts'
import type { Log } from '../telemetry/log.ts'

export interface KnownTags {
  /** What it was last known to point to; undefined too when that cannot be found out soon. Never throws. */
  last(repository: Repository, tag: Tag): Promise<TagRecord | undefined>
  /** The source, asked at `at` (wall ms), said so. Never throws. */
  said(repository: Repository, tag: Tag, resolved: Resolved, at: number): void
}

/** A pull waits for the index so long at most, ms. */
const patienceMs = 2000
/** Of what is still to be written down: a database that is slow does not fill the memory of a node. */
const mostUnwritten = 1000

export interface TagIndexOptions {
  readonly state: Pick<State, 'tags'>
  readonly self: () => NodeId
  /** Repositories of the cluster's own: what their tags point to is said by who pushes, and by nobody else. */
  readonly owned: (repository: Repository) => boolean
  readonly clock: Clock
  readonly log: Log
}

export class TagIndexing implements KnownTags {
  readonly #o: TagIndexOptions
  #unwritten = 0

  constructor(options: TagIndexOptions) {
    this.#o = options
  }

  async last(repository: Repository, tag: Tag): Promise<TagRecord | undefined> {
    const { state, clock, log } = this.#o
    const waited = new AbortController()
    try {
      const entry = await Promise.race([
        state.tags.get(repository, tag),
        pause(clock, patienceMs, waited.signal).then(() => undefined),
      ])
      if (!entry?.digest) return undefined
      const { digest, mediaType, size, at, seenAt = at } = entry
      return { digest, mediaType, size, resolvedAt: seenAt }
    } catch (error) {
      log.debug('the index of tags could not be asked', { error: Failure.from(error).message })
      return undefined
    } finally {
      waited.abort()
    }
  }

  said(repository: Repository, tag: Tag, { digest, mediaType, size }: Resolved, at: number): void {
    const { state, self, owned, log } = this.#o
    if (owned(repository) || this.#unwritten >= mostUnwritten) return
    this.#unwritten++
    state.tags
      .set(repository, tag, { digest, mediaType, size, at, by: self() })
      .catch((error) => {
        const image = formatReference({ ...repository, tag })
        log.debug('a tag could not be written down', { image, error: Failure.from(error).message })
      })
      .finally(() => this.#unwritten--)
  }
}
