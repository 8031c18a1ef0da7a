/**
 * What the owners of digests are told about this node's holdings: everything to an owner that knows nothing yet, then
 * what changed. Soft state: forgetting something here costs a scheduler one less parent to name, no more.
 */
import type { Membership } from '../cluster/membership.ts'
import type { NodeId, NodeInfo } from '../cluster/node-info.ts'
import { ownerOf } from '../cluster/rendezvous.ts'
import type { Digest } from '../oci/digest.ts'
import type { BlobStore } from '../store/blob-store.ts'
import type { Holding } from '../wire/messages.ts'

/** Fits the cap of an announce. */
const mostPerAnnounce = 2048

export class Announcer {
  readonly #store: BlobStore
  readonly #membership: () => Membership
  readonly #dirty = new Map<NodeId, Set<Digest>>()
  /** The schedulers for which owners were last computed. */
  #schedulers = ''

  constructor(store: BlobStore, membership: () => Membership) {
    this.#store = store
    this.#membership = membership
  }

  /** Returns the scheduler that should hear of it. */
  changed(digest: Digest): NodeId | undefined {
    const owner = ownerOf(digest, this.#ids())
    if (owner) this.#dirtyFor(owner).add(digest)
    return owner
  }

  changes(target: NodeInfo, full: boolean): { holdings: Holding[]; gone: Digest[] } {
    const ids = this.#ids()
    if (full) this.#dirty.delete(target.id)
    const key = [...ids].sort().join()
    if (key !== this.#schedulers || full) {
      // Ownership moved, or the target starts from nothing: whatever is its own now is news to it.
      const targets = key === this.#schedulers ? [target.id] : ids
      this.#schedulers = key
      for (const blob of this.#store.all()) {
        const owner = ownerOf(blob.digest, ids)
        if (owner && targets.includes(owner)) this.#dirtyFor(owner).add(blob.digest)
      }
    }
    const holdings: Holding[] = []
    const gone: Digest[] = []
    const dirty = this.#dirty.get(target.id)
    for (const digest of dirty ?? []) {
      if (holdings.length + gone.length >= mostPerAnnounce) break
      dirty!.delete(digest)
      const blob = this.#store.find(digest)
      if (!blob || blob.gone) gone.push(digest)
      else holdings.push({ digest, size: blob.size, pieces: blob.have.count, complete: blob.complete })
    }
    return { holdings, gone }
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
