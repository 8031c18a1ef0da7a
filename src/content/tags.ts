/**
 * From tag to digest. A tag is resolved at its source at most once per `ttlMs` for the whole cluster: nodes ask the
 * scheduler that owns the tag, and that one asks the source. While the source is out of reach the last known digest is
 * served, at the owner and here, or what the cluster's index of tags has; when the source says the tag is gone, it is gone. A failure is remembered for a moment
 * too: a thousand nodes that ask for a tag that does not exist are one question to the source, and while it is down
 * not every pull waits for it.
 *
 * Some registries say of what somebody may not read that it is not there. So a failure counts for those in whose name
 * the source was asked: this node's own, or that of the client that lent its login; and an owner's no is not the last
 * word for a node that can ask in another name.
 */

import type { Clock } from '../clock.ts'
import type { Membership } from '../cluster/membership.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { Failure, type FailureCode } from '../failure.ts'
import { lru } from '../lru.ts'
import { formatReference, formatRepository, type Repository, type Tag } from '../oci/reference.ts'
import type { Rights } from '../rights/rights.ts'
import type { Door } from '../source/door.ts'
import type { Source } from '../source/source.ts'
import type { BlobStore, TagRecord } from '../store/blob-store.ts'
import type { Log } from '../telemetry/log.ts'
import type { ResolveReply, ResolveTag } from '../wire/messages.ts'
import type { Outbound } from '../wire/wire.ts'
import type { KnownTags } from './tag-index.ts'

export interface TagsOptions {
  readonly store: BlobStore
  readonly source: Source
  readonly membership: Membership
  readonly outbound: Pick<Outbound, 'resolve'>
  readonly clock: Clock
  readonly log: Log
  readonly ttlMs: number
  readonly rights: Pick<Rights, 'heard' | 'vouch'>
  readonly door: Pick<Door, 'lender' | 'hasLogin'>
  /** Absent on nodes that keep none. */
  readonly index?: KnownTags
  /** Schedulers in the order in which they own `key`. */
  owners(key: string): NodeInfo[]
}

const mostOwners = 2
/** Short, for someone may be about to push the tag. */
const failureKeptMs = 5000
const mostFailures = 4096
const mostAsked = 4096

/** Failures that say nothing about the tag; `corrupt` is a proxy's login page, for instance. */
const outOfReach: ReadonlySet<FailureCode> = new Set(['unavailable', 'too-many', 'corrupt'])

export class Tags {
  readonly #o: TagsOptions
  readonly #asking = new Map<string, Promise<TagRecord>>()
  /** By tag and lender: that the source does not have it, or could not say while an older answer is known. */
  readonly #failed = lru<string, { failure: Failure; at: number }>(mostFailures)

  readonly #latest = lru<string, Tag>(mostAsked)

  constructor(options: TagsOptions) {
    this.#o = options
  }

  /** @throws {Failure} `no-manifest` and what else the source says, when nothing is known */
  resolve(repository: Repository, tag: Tag): Promise<TagRecord> {
    this.#latest.set(formatRepository(repository), tag)
    return this.#once(`engine ${this.#asked(repository, tag)}`, () => this.#forEngine(repository, tag))
  }

  /** Resolves again the tag that was asked for last, unless it is fresh: what that says of rights, all hear. */
  async renew(repository: Repository): Promise<void> {
    const tag = this.#latest.get(formatRepository(repository))
    if (tag) await this.resolve(repository, tag)
  }

  /** Another node asks this one as the tag's owner. */
  async answer(request: ResolveTag): Promise<ResolveReply> {
    const record = await this.#atSource(request.repository, request.tag)
    const { digest, mediaType, size } = record
    const { repository, tag } = request
    const vouched = await this.#o.rights.vouch({ repository, kind: 'manifest', reference: tag })
    const age = Math.max(0, this.#o.clock.wall() - record.resolvedAt)
    return { digest, mediaType, size, age, ...vouched }
  }

  async #forEngine(repository: Repository, tag: Tag): Promise<TagRecord> {
    const { store, membership, outbound, clock, log } = this.#o
    const known = store.tag(repository, tag)
    if (known && this.#fresh(known)) return known
    for (const owner of this.#o.owners(formatReference({ ...repository, tag })).slice(0, mostOwners)) {
      if (owner.id === membership.self.id) break
      try {
        const { digest, mediaType, size, age, open, shared } = await outbound.resolve(owner, { repository, tag })
        this.#o.rights.heard(repository, { open, shared })
        const record = { digest, mediaType, size, resolvedAt: clock.wall() - age }
        // While the source is down, an owner may know something older than this node does.
        if (known && known.resolvedAt > record.resolvedAt) return known
        store.setTag(repository, tag, record)
        return record
      } catch (error) {
        const failure = Failure.from(error)
        if (failure.code === 'reading') throw failure
        if (failure.code === 'no-manifest' && !(await this.#mayKnowMore(repository))) throw failure
        // Refused, or as good as: this node's credentials may be better. Limited: another address may be less so. So it
        // asks by itself.
        if (failure.code !== 'unavailable') break
        membership.doubt(owner.id)
        log.debug('the owner of a tag did not answer', { owner: owner.id, error: failure.message })
      }
    }
    return this.#atSource(repository, tag)
  }

  #atSource(repository: Repository, tag: Tag): Promise<TagRecord> {
    const image = formatReference({ ...repository, tag })
    const asked = this.#asked(repository, tag)
    return this.#once(`source ${asked}`, async () => {
      const { store, source, clock, log, index } = this.#o
      const known = store.tag(repository, tag)
      if (known && this.#fresh(known)) return known
      const failed = this.#failed.get(asked)
      if (failed && clock.now() - failed.at < failureKeptMs) {
        if (known && outOfReach.has(failed.failure.code)) return known
        throw failed.failure
      }
      const askedAt = clock.wall()
      try {
        const resolved = await source.resolve(repository, tag)
        index?.said(repository, tag, resolved, askedAt)
        const record = { ...resolved, resolvedAt: clock.wall() }
        this.#failed.delete(asked)
        store.setTag(repository, tag, record)
        return record
      } catch (error) {
        const failure = Failure.from(error)
        const stale = outOfReach.has(failure.code) ? await this.#lastKnown(repository, tag, known) : undefined
        if (stale || failure.code === 'no-manifest') this.#failed.set(asked, { failure, at: clock.now() })
        if (!stale) throw failure
        log.warn('the source is out of reach; the last known digest is served', {
          image,
          digest: stale.digest,
          ageSeconds: Math.round((clock.wall() - stale.resolvedAt) / 1000),
          error: failure.message,
        })
        return stale
      }
    })
  }

  /** Here, or in the index: then from now on here too. */
  async #lastKnown(repository: Repository, tag: Tag, known: TagRecord | undefined): Promise<TagRecord | undefined> {
    const { index, store } = this.#o
    const written = await index?.last(repository, tag)
    if (!written || written.resolvedAt <= (known?.resolvedAt ?? 0)) return known
    store.setTag(repository, tag, written)
    return written
  }

  /** What is asked, and in whose name. */
  #asked(repository: Repository, tag: Tag): string {
    return `${formatReference({ ...repository, tag })} ${this.#o.door.lender(repository)}`
  }

  /** Than the owner of a tag, which has found nothing. */
  async #mayKnowMore(repository: Repository): Promise<boolean> {
    const { door } = this.#o
    return door.lender(repository) !== 0 || (await door.hasLogin(repository.registry))
  }

  #fresh(record: TagRecord): boolean {
    const age = this.#o.clock.wall() - record.resolvedAt
    // A record from the future is from before the host's clock was set back.
    return age >= 0 && age < this.#o.ttlMs
  }

  /** Concurrent calls for the same tag share one answer. */
  #once(key: string, work: () => Promise<TagRecord>): Promise<TagRecord> {
    const running = this.#asking.get(key)
    if (running) return running
    const promise = work().finally(() => this.#asking.delete(key))
    this.#asking.set(key, promise)
    return promise
  }
}
