/**
 * What the owners of digests are told about this node's holdings: everything to an owner that knows nothing yet, then
 * what changed. Soft state: forgetting something here costs a scheduler one less parent to name, no more. The other way
 * round it costs more, for a scheduler that believes in a copy sends nobody to the source: so what is gone is told to
 * all schedulers, whoever of them was told of it when it was the owner.
 */
import type { Membership } from '../cluster/membership.ts'
import type { NodeId, NodeInfo } from '../cluster/node-info.ts'
import { ownerOf } from '../cluster/rendezvous.ts'
import type { Digest } from '../oci/digest.ts'
import type { BlobStore } from '../store/blob-store.ts'
import type { Holding } from '../wire/messages.ts'

export class Announcer {
  readonly #store: BlobStore
  readonly #membership: () => Membership
  /** By scheduler; of those that are alive only. */
  readonly #dirty = new Map<NodeId, Set<Digest>>()
  /** The schedulers for which owners were last computed. */
  #schedulers = ''

  constructor(store: BlobStore, membership: () => Membership) {
    this.#store = store
    this.#membership = membership
  }

  /** Returns the scheduler that should hear of it. */
  changed(digest: Digest): NodeId | undefined {
    const ids = this.#ids()
    const owner = ownerOf(digest, ids)
    if (this.#held(digest)) {
      if (owner) this.#dirtyFor(owner).add(digest)
    } else for (const id of ids) this.#dirtyFor(id).add(digest)
    return owner
  }

  /** What `target` has not been told; it counts as told from now on. The caller cuts it to the size of a message. */
  changes(target: NodeInfo, full: boolean): { holdings: Holding[]; gone: Digest[] } {
    const ids = this.#ids()
    if (full) this.#dirty.delete(target.id)
    const key = [...ids].sort().join()
    if (key !== this.#schedulers || full) {
      // Ownership moved, or the target starts from nothing: whatever is its own now is news to it.
      const targets = new Set(key === this.#schedulers ? [target.id] : ids)
      this.#schedulers = key
      for (const id of this.#dirty.keys()) if (!ids.includes(id)) this.#dirty.delete(id)
      for (const blob of this.#store.all()) {
        const owner = ownerOf(blob.digest, ids)
        if (owner && targets.has(owner)) this.#dirtyFor(owner).add(blob.digest)
      }
    }
    const holdings: Holding[] = []
    const gone: Digest[] = []
    for (const digest of this.#dirty.get(target.id) ?? []) {
      const blob = this.#held(digest)
      if (!blob) gone.push(digest)
      else if (ownerOf(digest, ids) === target.id)
        holdings.push({ digest, size: blob.size, pieces: blob.have.count, complete: blob.complete })
    }
    this.#dirty.delete(target.id)
    return { holdings, gone }
  }

  #held(digest: Digest) {
    const blob = this.#store.find(digest)
    return blob?.gone ? undefined : blob
  }

  #ids(): NodeId[] {
    return this.#membership()
      .withMode('scheduler')
      .map((info) => info.id)
  }

  #dirtyFor(owner: NodeId): Set<Digest> {
    let dirty = this.#dirty.get(owner)
    if (!dirty) {
      dirty = new Set()
      this.#dirty.set(owner, dirty)
    }
    return dirty
  }
}
