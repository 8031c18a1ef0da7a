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
