/**
 * Which seeds keep a repository of the cluster's own, as they say themselves. What a seed says counts while it is a member,
 * and for a while after it has left, for it may only be starting again: until then what it keeps is not asked for out in
 * the world. Longer it does not count, or one seed with a wrong pattern would cut all nodes off from a registry for good.
 * What this node was told itself always counts.
 */

import type { Membership } from '../cluster/membership.ts'
import type { NodeId, NodeInfo } from '../cluster/node-info.ts'
import { rendezvous } from '../cluster/rendezvous.ts'
import { lru } from '../lru.ts'
import { formatRepository, type Repository } from '../oci/reference.ts'
import { isPattern } from './homes.ts'
import { matcherOf } from './pattern.ts'

type Matcher = (name: string) => boolean

/** What a seed that has left keeps stays the cluster's own for so long, in ms. */
export const rememberedMs = 10 * 60_000
const mostPatterns = 1024
const mostRemembered = 256

export class Keepers {
  readonly #membership: () => Pick<Membership, 'self' | 'withMode'>
  readonly #own: readonly Matcher[]
  readonly #now: () => number
  readonly #matchers = lru<string, Matcher>(mostPatterns)
  /** What seeds kept that have left, and until when that counts. */
  readonly #left = lru<NodeId, { readonly homes: readonly string[]; readonly until: number }>(mostRemembered)

  /**
   * @param own patterns that this node was told itself
   * @param now the clock's, in ms
   */
  constructor(membership: () => Pick<Membership, 'self' | 'withMode'>, own: readonly string[], now: () => number) {
    this.#membership = membership
    this.#own = own.map(matcherOf)
    this.#now = now
  }

  /** Remembers seeds that leave. One that is back says by itself what it keeps now. */
  watch(membership: Pick<Membership, 'onJoin' | 'onLeave'>): void {
    membership.onLeave(({ id, modes, homes }) => {
      if (modes.includes('seed') && homes?.length) this.#left.set(id, { homes, until: this.#now() + rememberedMs })
    })
    membership.onJoin(({ id }) => void this.#left.delete(id))
  }

  /** Other live seeds that keep it, always in the same order for the same repository. */
  of(repository: Repository): NodeInfo[] {
    const { self } = this.#membership()
    const seeds = new Map(this.all(repository).map((info) => [info.id, info]))
    seeds.delete(self.id)
    return rendezvous(formatRepository(repository), [...seeds.keys()]).map((id) => seeds.get(id)!)
  }

  /** Live seeds that keep it, this node among them if it does. */
  all(repository: Repository): NodeInfo[] {
    const name = formatRepository(repository)
    return this.#membership()
      .withMode('seed')
      .filter(({ homes }) => this.#match(homes, name))
  }

  /** It is the cluster's own. */
  has(repository: Repository): boolean {
    const name = formatRepository(repository)
    if (this.#own.some((matches) => matches(name))) return true
    if (this.all(repository).length > 0) return true
    const now = this.#now()
    for (const { homes, until } of this.#left.values()) if (now < until && this.#match(homes, name)) return true
    return false
  }

  #match(patterns: readonly string[] | undefined, name: string): boolean {
    return patterns?.some((pattern) => this.#matches(pattern, name)) ?? false
  }

  #matches(pattern: string, name: string): boolean {
    let matches = this.#matchers.get(pattern)
    if (!matches) {
      if (!isPattern(pattern)) return false
      matches = matcherOf(pattern)
      this.#matchers.set(pattern, matches)
    }
    return matches(name)
  }
}
