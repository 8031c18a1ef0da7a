/**
 * Which seeds keep a repository of the cluster's own, as they say themselves. What was once said to be the cluster's own is
 * never asked for out in the world again, also while none of its seeds is there.
 */
import { LRUCache } from 'lru-cache'
import type { Membership } from '../cluster/membership.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { rendezvous } from '../cluster/rendezvous.ts'
import { formatRepository, type Repository } from '../oci/reference.ts'
import { isPattern } from './homes.ts'
import { matcherOf } from './pattern.ts'

const mostPatterns = 1024

export class Keepers {
  readonly #membership: () => Pick<Membership, 'self' | 'withMode'>
  /** Every pattern that was heard of, with what it matches. */
  readonly #known = new LRUCache<string, (name: string) => boolean>({ max: mostPatterns })

  /** @param own patterns that this node was told itself */
  constructor(membership: () => Pick<Membership, 'self' | 'withMode'>, own: readonly string[]) {
    this.#membership = membership
    for (const pattern of own) this.#known.set(pattern, matcherOf(pattern))
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
      .filter(({ homes }) => homes?.some((pattern) => this.#matches(pattern, name)))
  }

  /** It is the cluster's own. */
  has(repository: Repository): boolean {
    if (this.all(repository).length > 0) return true
    const name = formatRepository(repository)
    for (const matches of this.#known.values()) if (matches(name)) return true
    return false
  }

  #matches(pattern: string, name: string): boolean {
    let matches = this.#known.get(pattern)
    if (!matches) {
      if (!isPattern(pattern)) return false
      matches = matcherOf(pattern)
      this.#known.set(pattern, matches)
    }
    return matches(name)
  }
}
