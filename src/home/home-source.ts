/**
 * Repositories of the cluster's own as a source: this node's own knowledge where it is a seed that keeps them, and else that
 * of the seeds that do. The world is never asked. Bytes come through the swarm as ever; a seed reads those that nobody has
 * any more from the backend.
 *
 * Whoever may ask a node for anything may read these repositories: there are no logins for reading.
 */
import type { Membership } from '../cluster/membership.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { isDigest } from '../oci/digest.ts'
import { formatRepository, type Repository, type Tag } from '../oci/reference.ts'
import type { Asker, Named } from '../source/door.ts'
import type { Location, OpenBody, Passed, Resolved, Stat } from '../source/source.ts'
import type { AnySource } from '../source/sources.ts'
import type { Call } from '../wire/calls.ts'
import type { Outbound } from '../wire/wire.ts'
import { askContent, askList, askTag, type ListReply } from './calls.ts'
import type { Keepers } from './keepers.ts'
import type { OwnHome } from './own-home.ts'

export interface HomeSourceOptions {
  readonly keepers: Keepers
  /** Absent: this node keeps none. */
  readonly own?: OwnHome | undefined
  readonly outbound: () => Pick<Outbound, 'call'>
  readonly membership: () => Pick<Membership, 'doubt'>
}

/** Seeds that are asked, one after the other, until one knows. */
const mostAsked = 4

export class HomeSource implements AnySource {
  readonly #o: HomeSourceOptions

  constructor(options: HomeSourceOptions) {
    this.#o = options
  }

  /** It is the cluster's own. */
  has(repository: Repository): boolean {
    return this.#o.keepers.has(repository)
  }

  /** This node keeps it itself. */
  keeps(repository: Repository): boolean {
    return this.#o.own?.has(repository) ?? false
  }

  resolve(repository: Repository, tag: Tag, signal?: AbortSignal): Promise<Resolved> {
    return this.#ask(repository, (own) => own.resolve(repository, tag, signal), askTag, { repository, tag })
  }

  stat(location: Location, signal?: AbortSignal): Promise<Stat> {
    return this.#ask(location.repository, (own) => own.stat(location, signal), askContent, location)
  }

  async open(location: Location, ...rest: [number, AbortSignal?, number?]): Promise<OpenBody> {
    const { own } = this.#o
    if (own?.has(location.repository)) return own.open(location, ...rest)
    throw new Failure('unavailable', `only seeds read ${formatRepository(location.repository)} from where it is kept`)
  }

  async pass(repository: Repository, path: string, search: string): Promise<Passed> {
    const request = { repository, path, search }
    const { status, headers, body } = await this.#ask<typeof request, ListReply>(
      repository,
      (own) => own.list(repository, path, search),
      askList,
      request,
    )
    return { status, headers: new Headers(headers), body: new TextEncoder().encode(body) }
  }

  async admits({ repository, kind, reference }: Named): Promise<void> {
    if (isDigest(reference)) await this.stat({ repository, kind, digest: reference })
    else await this.resolve(repository, reference)
  }
  /** What it says it has was pushed to it, byte for byte. */
  shows(named: Named): Promise<void> {
    return this.admits(named)
  }
  passFor(_asker: Asker, repository: Repository, path: string, search: string): Promise<Passed> {
    return this.pass(repository, path, search)
  }
  async hasLogin(): Promise<boolean> {
    return false
  }

  async loginAt(): Promise<undefined> {}
  lend(): void {}
  borrows(): boolean {
    return false
  }
  lender(): number {
    return 0
  }
  takesLogins(): boolean {
    return false
  }

  /** A seed that does not know may not have heard yet: others are asked before the answer is no. */
  async #ask<Q extends object, A extends object>(
    repository: Repository,
    ours: (own: OwnHome) => Promise<A>,
    call: Call<Q, A>,
    request: Q,
  ): Promise<A> {
    const { own, keepers } = this.#o
    let no: Failure | undefined
    if (own?.has(repository)) {
      try {
        return await ours(own)
      } catch (error) {
        no = Failure.from(error)
      }
    }
    for (const seed of keepers.of(repository).slice(0, mostAsked)) {
      try {
        return await this.#call(seed, call, request)
      } catch (error) {
        const failure = Failure.from(error)
        // What a seed has said counts more than that another one could not be asked.
        const silent = failure.code === 'unavailable' && failure.detail.status === undefined
        if (!no || (no.code === 'unavailable' && !silent)) no = failure
      }
    }
    throw no ?? new Failure('unavailable', `no seed that keeps ${formatRepository(repository)} is in the cluster now`)
  }

  async #call<Q extends object, A extends object>(seed: NodeInfo, call: Call<Q, A>, request: Q): Promise<A> {
    try {
      return await this.#o.outbound().call(seed, call, request)
    } catch (error) {
      const failure = Failure.from(error)
      if (failure.code === 'unavailable') this.#o.membership().doubt(seed.id)
      // A node of an older release does not know the call.
      if (failure.code === 'bad-request') throw new Failure('unavailable', failure.message, { cause: error })
      throw failure
    }
  }
}
