/**
 * Whether a repository has some content, asked by digest. The scheduler that owns the name asks the source, once for the
 * whole cluster, and says what it heard, also of who may have it. It is remembered: who asks while the source is out of
 * reach gets the last word, of another scheduler if need be.
 */

import type { Clock } from '../clock.ts'
import type { Membership } from '../cluster/membership.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { lru } from '../lru.ts'
import { formatReference } from '../oci/reference.ts'
import type { Rights } from '../rights/rights.ts'
import { lastWordMs } from '../rights/verdicts.ts'
import { unlessAborted } from '../source/retry.ts'
import type { Location, Source } from '../source/source.ts'
import type { BlobStore } from '../store/blob-store.ts'
import type { ResolveReply } from '../wire/messages.ts'
import type { Outbound } from '../wire/wire.ts'

export interface PartsOptions {
  readonly store: Pick<BlobStore, 'find' | 'wasSeenIn'>
  readonly source: Pick<Source, 'stat'>
  readonly membership: Pick<Membership, 'self'>
  readonly outbound: Pick<Outbound, 'resolve'>
  readonly clock: Clock
  /** For how long the source's word is passed on without asking again. */
  readonly ttlMs: number
  readonly rights: Pick<Rights, 'heard' | 'vouch' | 'contains'>
  /** Schedulers in the order in which they own `key`. */
  owners(key: string): NodeInfo[]
}

type Known = Pick<ResolveReply, 'size' | 'mediaType'> & { readonly at: number }

const mostOwners = 2
/** Where the source cannot be asked, each of them may have been asked before. */
const mostWidely = 5
const mostKnown = 20_000
/** Nobody who asks for what is not there has the source asked more often than that. */
const failureKeptMs = 5000
/** Somebody waits for the answer, and may be content with an old one. */
const patienceMs = 3000

export class Parts {
  readonly #o: PartsOptions
  readonly #known = lru<string, Known>(mostKnown)
  readonly #failed = lru<string, { failure: Failure; until: number }>(4096)
  /** Clock time until which nobody needs to be asked again. */
  readonly #vain = lru<string, number>(4096)
  readonly #asking = new Map<string, Promise<Known>>()

  constructor(options: PartsOptions) {
    this.#o = options
  }

  /**
   * Asks those that may know; rights hear what they say. `widely`: the source cannot be asked from here. True when one of
   * them had it from the source itself of late, and not only from a manifest.
   */
  async inquire({ repository, kind, digest }: Location, widely: boolean): Promise<boolean> {
    const { membership, outbound, rights, clock } = this.#o
    const key = formatReference({ ...repository, digest })
    const question = `${kind} ${key}`
    const vain = this.#vain.get(question)
    if (vain !== undefined && vain > clock.now()) return false
    const owners = this.#o.owners(key).slice(0, widely ? mostWidely : mostOwners)
    for (const owner of owners) {
      if (owner.id === membership.self.id) {
        // Who asks the source for the others asks it for its own clients too.
        if (!widely) return false
        continue
      }
      try {
        const { open, shared, age } = await outbound.resolve(owner, { repository, kind, digest })
        // Who owns this name need not be who has the logins for the repository.
        rights.heard(repository, { open, shared }, false)
        rights.contains(repository, [digest])
        return age < lastWordMs.login
      } catch (error) {
        // What the source says to one it says to the next; whether it answers, the next may see otherwise.
        if (!widely && Failure.from(error).code !== 'unavailable') return false
      }
    }
    if (widely) this.#vain.set(question, clock.now() + failureKeptMs)
    return false
  }

  /** Another node asks this one as an owner. @throws {Failure} what the source says when nothing is known */
  async answer({ repository, kind, digest }: Location): Promise<ResolveReply> {
    // A registry that has a manifest says of the same digest as a blob, as a rule, that there is none.
    const key = `${kind} ${formatReference({ ...repository, digest })}`
    const { clock, rights, store, ttlMs } = this.#o
    const wall = clock.wall()
    let known = this.#known.get(key)
    if (!known || wall - known.at >= ttlMs || wall < known.at) {
      try {
        known = await this.#once(key, { repository, kind, digest })
        rights.contains(repository, [digest])
      } catch (error) {
        const { code } = Failure.from(error)
        const blob = store.find(digest)
        if (!known && blob && store.wasSeenIn(digest, repository))
          known = { size: blob.size, mediaType: blob.mediaType ?? '', at: 0 }
        if (!known || (code !== 'unavailable' && code !== 'too-many')) throw error
      }
    }
    const { size, mediaType, at } = known
    const vouched = await rights.vouch({ repository, kind, reference: digest })
    return { digest, mediaType, size, age: Math.max(0, clock.wall() - at), ...vouched }
  }

  /** Those who ask at the same time share one question. */
  #once(key: string, location: Location): Promise<Known> {
    const running = this.#asking.get(key)
    if (running) return running
    const asked = this.#askSource(key, location).finally(() => this.#asking.delete(key))
    this.#asking.set(key, asked)
    return asked
  }

  async #askSource(key: string, location: Location): Promise<Known> {
    const { source, clock } = this.#o
    const failed = this.#failed.get(key)
    if (failed && failed.until > clock.now()) throw failed.failure
    try {
      const { size, mediaType } = await this.#soon((signal) => source.stat(location, signal))
      const known = { size, mediaType, at: clock.wall() }
      this.#known.set(key, known)
      return known
    } catch (error) {
      const failure = Failure.from(error)
      this.#failed.set(key, { failure, until: clock.now() + failureKeptMs })
      throw failure
    }
  }

  async #soon<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const patience = new AbortController()
    const cancel = this.#o.clock.after(patienceMs, () => patience.abort())
    try {
      return await unlessAborted(work(patience.signal), patience.signal)
    } catch (error) {
      if (!patience.signal.aborted) throw error
      throw new Failure('unavailable', `the source did not answer within ${patienceMs / 1000} s`)
    } finally {
      cancel()
    }
  }
}
