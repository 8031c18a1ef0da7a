/**
 * What the owners of digests are told about this node's holdings: everything to an owner that knows nothing yet, then
 * what changed. Soft state: forgetting something here costs a scheduler one less parent to name, no more. The other way
 * round it costs more, for a scheduler that believes in a copy sends nobody to the source: so what is gone is told to
 * all schedulers, whoever of them was told of it when it was the owner.
 */
import type { Membership } from '../cluster/membership.ts'
import type { NodeId, NodeInfo } from '../cluster/node-info.ts'
import { Owners } from '../cluster/rendezvous.ts'
import type { Digest } from '../oci/digest.ts'
import type { BlobStore } from '../store/blob-store.ts'
import type { Holding } from '../wire/messages.ts'

export class Announcer {
  readonly #store: BlobStore
  readonly #membership: () => Membership
  /** By scheduler; of those that are alive only. */
  readonly #dirty = new Map<NodeId, Set<Digest>>()
  readonly #owners = new Owners()
  /** Who was last told, or is to be told, of a digest as its owner. */
  readonly #told = new Map<Digest, NodeId>()
  /** Schedulers came or went since. */
  #moved = false

  constructor(store: BlobStore, membership: () => Membership) {
    this.#store = store
    this.#membership = membership
  }

  /** Returns the scheduler that should hear of it. */
  changed(digest: Digest): NodeId | undefined {
    const ids = this.#ids()
    const owner = this.#owners.of(digest)
    if (this.#held(digest)) {
      if (owner) this.#tell(owner, digest)
    } else {
      for (const id of ids) this.#dirtyFor(id).add(digest)
      this.#told.delete(digest)
      this.#owners.forget(digest)
    }
    return owner
  }

  /** What `target` has not been told; it counts as told from now on. The caller cuts it to the size of a message. */
  changes(target: NodeInfo, full: boolean): { holdings: Holding[]; gone: Digest[] } {
    const ids = this.#ids()
    if (full) this.#dirty.delete(target.id)
    if (this.#moved || full) {
      this.#moved = false
      for (const id of this.#dirty.keys()) if (!ids.includes(id)) this.#dirty.delete(id)
      for (const { digest } of this.#store.all()) {
        const owner = this.#owners.of(digest)
        // It is news to its owner where that is another one now, or starts from nothing.
        if (owner && (owner !== this.#told.get(digest) || (full && owner === target.id))) this.#tell(owner, digest)
      }
    }
    const holdings: Holding[] = []
    const gone: Digest[] = []
    for (const digest of this.#dirty.get(target.id) ?? []) {
      const blob = this.#held(digest)
      if (!blob) gone.push(digest)
      else if (this.#owners.of(digest) === target.id)
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
    const ids = this.#membership()
      .withMode('scheduler')
      .map((info) => info.id)
    if (this.#owners.among(ids)) this.#moved = true
    return ids
  }

  #tell(owner: NodeId, digest: Digest): void {
    this.#told.set(digest, owner)
    this.#dirtyFor(owner).add(digest)
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
