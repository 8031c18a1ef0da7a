/**
 * Highest-random-weight hashing: every node orders the same ids for a key in the same way without asking anyone, and a
 * node that comes or goes moves only the keys that it owns. XXH64 is a fixed algorithm, so versions of shoal agree.
 */
import type { NodeId } from './node-info.ts'

function weight(key: string, id: NodeId): bigint {
  return Bun.hash.xxHash64(`${key}\n${id}`)
}

/** All `ids`, the owner of `key` first. */
export function rendezvous(key: string, ids: readonly NodeId[]): NodeId[] {
  return ids
    .map((id) => ({ id, weight: weight(key, id) }))
    .sort((a, b) => (a.weight === b.weight ? (a.id < b.id ? -1 : 1) : a.weight > b.weight ? -1 : 1))
    .map((entry) => entry.id)
}

interface Weighed {
  readonly id: NodeId
  readonly weight: bigint
}

/** The first of {@link rendezvous} among `ids` and `best`, without sorting. */
function heaviest(key: string, ids: readonly NodeId[], best?: Weighed): Weighed | undefined {
  let first = best
  for (const id of ids) {
    const w = weight(key, id)
    if (!first || w > first.weight || (w === first.weight && id < first.id)) first = { id, weight: w }
  }
  return first
}

/** The first of {@link rendezvous}, without sorting; `undefined` if there are no ids. */
export function ownerOf(key: string, ids: readonly NodeId[]): NodeId | undefined {
  return heaviest(key, ids)?.id
}

/**
 * The owners of many keys among nodes that come and go: remembered, so that what a node takes over, or leaves, is all that
 * is computed anew.
 */
export class Owners {
  #ids: readonly NodeId[] = []
  readonly #best = new Map<string, Weighed>()

  /** @returns whether they are others than before */
  among(ids: readonly NodeId[]): boolean {
    const before = this.#ids
    if (ids.length === before.length && ids.every((id, i) => id === before[i])) return false
    this.#ids = [...ids]
    const [were, are] = [new Set(before), new Set(ids)]
    const joined = ids.filter((id) => !were.has(id))
    if (joined.length === 0 && are.size === were.size) return false
    for (const [key, best] of this.#best) {
      if (are.has(best.id)) this.#best.set(key, heaviest(key, joined, best) ?? best)
      else this.#best.delete(key)
    }
    return true
  }

  of(key: string): NodeId | undefined {
    const best = this.#best.get(key) ?? heaviest(key, this.#ids)
    if (best) this.#best.set(key, best)
    return best?.id
  }

  forget(key: string): void {
    this.#best.delete(key)
  }
}
