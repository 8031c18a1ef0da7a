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

/** The first of {@link rendezvous}, without sorting; `undefined` if there are no ids. */
export function ownerOf(key: string, ids: readonly NodeId[]): NodeId | undefined {
  let owner: NodeId | undefined
  let best = -1n
  for (const id of ids) {
    const w = weight(key, id)
    if (w < best || (w === best && owner !== undefined && owner < id)) continue
    owner = id
    best = w
  }
  return owner
}

/**
 * The owners of many keys among nodes that come and go: remembered, so that what a node takes over, or leaves, is all that
 * is computed anew.
 */
export class Owners {
  #ids: readonly NodeId[] = []
  readonly #best = new Map<string, { readonly id: NodeId; readonly weight: bigint }>()

  /** @returns whether they are others than before */
  among(ids: readonly NodeId[]): boolean {
    const before = this.#ids
    if (ids.length === before.length && ids.every((id, i) => id === before[i])) return false
    this.#ids = [...ids]
    const [were, are] = [new Set(before), new Set(ids)]
    const joined = ids.filter((id) => !were.has(id))
    if (joined.length === 0 && are.size === were.size) return false
    for (const [key, best] of this.#best) {
      const first = joined.reduce((heaviest, id) => heavier(heaviest, key, id), best)
      if (!are.has(best.id)) this.#best.delete(key)
      else if (first !== best) this.#best.set(key, first)
    }
    return true
  }

  of(key: string): NodeId | undefined {
    const known = this.#best.get(key)
    if (known) return known.id
    const id = ownerOf(key, this.#ids)
    if (id !== undefined) this.#best.set(key, { id, weight: weight(key, id) })
    return id
  }

  forget(key: string): void {
    this.#best.delete(key)
  }
}

function heavier(best: { readonly id: NodeId; readonly weight: bigint }, key: string, id: NodeId): typeof best {
  const w = weight(key, id)
  return w > best.weight || (w === best.weight && id < best.id) ? { id, weight: w } : best
}
