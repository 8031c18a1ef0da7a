/**
 * From tag to digest. A tag is resolved at its source at most once per `ttlMs` for the whole cluster: nodes ask the
 * scheduler that owns the tag, and that one asks the source. While the source is out of reach the last known digest is
 * served, at the owner and here; when the source says the tag is gone, it is gone. A failure is remembered for a moment
 * too: a thousand nodes that ask for a tag that does not exist are one question to the source, and while it is down
 * not every pull waits for it.
 */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'
import type { Membership } from '../cluster/membership.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { Failure, type FailureCode } from '../failure.ts'
import { formatReference, formatRepository, type Repository, type Tag } from '../oci/reference.ts'
import type { Rights } from '../rights/rights.ts'
import type { Source } from '../source/source.ts'
import type { BlobStore, TagRecord } from '../store/blob-store.ts'
import type { Log } from '../telemetry/log.ts'
import type { ResolveReply, ResolveTag } from '../wire/messages.ts'
import type { Outbound } from '../wire/wire.ts'

export interface TagsOptions {
  readonly store: BlobStore
  readonly source: Source
  readonly membership: Membership
  readonly outbound: Pick<Outbound, 'resolve'>
  readonly clock: Clock
  readonly log: Log
  readonly ttlMs: number
  readonly rights: Pick<Rights, 'heard' | 'vouch'>
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
  /** By tag: that the source does not have it, or could not say while an older answer is known. */
  readonly #failed = new LRUCache<string, { failure: Failure; at: number }>({ max: mostFailures })

  readonly #asked = new LRUCache<string, Tag>({ max: mostAsked })

  constructor(options: TagsOptions) {
    this.#o = options
  }

  /** @throws {Failure} `no-manifest` and what else the source says, when nothing is known */
  resolve(repository: Repository, tag: Tag): Promise<TagRecord> {
    this.#asked.set(formatRepository(repository), tag)
    return this.#once(`engine ${formatReference({ ...repository, tag })}`, () => this.#forEngine(repository, tag))
  }

  /** Resolves again the tag that was asked for last, unless it is fresh: what that says of rights, all hear. */
  async renew(repository: Repository): Promise<void> {
    const tag = this.#asked.get(formatRepository(repository))
    if (tag) await this.resolve(repository, tag)
  }

  /** Another node asks this one as the tag's owner. */
  async answer(request: ResolveTag): Promise<ResolveReply> {
    const record = await this.#atSource(request.repository, request.tag)
    const { digest, mediaType, size } = record
    const age = Math.max(0, this.#o.clock.wall() - record.resolvedAt)
    return { digest, mediaType, size, age, ...this.#o.rights.vouch(request.repository) }
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
        if (failure.code === 'no-manifest') throw failure
        // Refused: this node's credentials may be better. Limited: another address may be less so. It asks by itself.
        if (failure.code !== 'unavailable') break
        membership.doubt(owner.id)
        log.debug('the owner of a tag did not answer', { owner: owner.id, error: failure.message })
      }
    }
    return this.#atSource(repository, tag)
  }

  #atSource(repository: Repository, tag: Tag): Promise<TagRecord> {
    const image = formatReference({ ...repository, tag })
    return this.#once(`source ${image}`, async () => {
      const { store, source, clock, log } = this.#o
      const known = store.tag(repository, tag)
      if (known && this.#fresh(known)) return known
      const failed = this.#failed.get(image)
      if (failed && clock.now() - failed.at < failureKeptMs) {
        if (known && outOfReach.has(failed.failure.code)) return known
        throw failed.failure
      }
      try {
        const resolved = await source.resolve(repository, tag)
        const record = { ...resolved, resolvedAt: clock.wall() }
        this.#failed.delete(image)
        store.setTag(repository, tag, record)
        return record
      } catch (error) {
        const failure = Failure.from(error)
        const stale = known && outOfReach.has(failure.code)
        if (stale || failure.code === 'no-manifest') this.#failed.set(image, { failure, at: clock.now() })
        if (!stale) throw failure
        log.warn('the source is out of reach; the last known digest is served', {
          image,
          digest: known.digest,
          ageSeconds: Math.round((clock.wall() - known.resolvedAt) / 1000),
          error: failure.message,
        })
        return known
      }
    })
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
