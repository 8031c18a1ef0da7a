/**
 * Pins by name: a digest, or an image as people write it. What is pinned is all of it that one can know of: the
 * manifest, of an index those manifests that are here, and of an image what it consists of, also what is yet to come.
 */
import { Failure } from '../failure.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { contentsOf, isElsewhere, maxManifestBytes } from '../oci/media.ts'
import { formatReference, parseReference } from '../oci/reference.ts'
import type { BlobStore } from '../store/blob-store.ts'
import { isRight, readWhole } from './read-whole.ts'

export interface Pinned {
  /** A digest, or an image with its registry and tag. */
  readonly name: string
  /** Wall time in ms; absent: until it is unpinned. */
  readonly until?: number
  readonly blobs: number
  /** Bytes of those that are here. */
  readonly bytes: number
  /** How many of them are not here, or not whole. */
  readonly missing: number
}

type Shelf = Pick<BlobStore, 'find' | 'tag' | 'pin' | 'unpin' | 'pins'>

export class Pinning {
  readonly #store: Shelf

  constructor(store: Shelf) {
    this.#store = store
  }

  /**
   * Pins it, until `until` (wall time in ms) if that is given. A second time counts alone: its end, and what the name
   * means now.
   * @throws {Failure} `no-blob` when it is not here, `unavailable` when the disk has not kept it, `bad-reference` and the like for what is no name
   */
  async pin(text: string, until?: number): Promise<Pinned> {
    const name = nameOf(text)
    const root = this.#rootOf(name)
    const digests = await partsOf(this.#store, root)
    this.unpin(name)
    for (const digest of digests) {
      this.#store.pin({ digest, reason: name, ...(until === undefined ? {} : { until }) })
    }
    return this.list().find((pinned) => pinned.name === name)!
  }

  /** False if nothing is pinned by that name. */
  unpin(text: string): boolean {
    const name = nameOf(text)
    const pins = this.#store.pins().filter((pin) => pin.reason === name)
    for (const { digest } of pins) this.#store.unpin(digest, name)
    return pins.length > 0
  }

  /** All of them; with a name those of that name, and those that the digest of that name is pinned by. */
  list(text?: string): Pinned[] {
    const name = text === undefined ? undefined : nameOf(text)
    const wanted =
      name === undefined ? undefined : new Set([name, ...(isDigest(name) ? this.#store.pins(name) : []).map(reasonOf)])
    const found = new Map<string, Pinned>()
    for (const { digest, reason, until } of this.#store.pins()) {
      if (wanted && !wanted.has(reason)) continue
      const blob = this.#store.find(digest)
      const before = found.get(reason) ?? { name: reason, blobs: 0, bytes: 0, missing: 0 }
      found.set(reason, {
        ...before,
        ...(until === undefined ? {} : { until }),
        blobs: before.blobs + 1,
        bytes: before.bytes + (blob?.complete ? blob.size : 0),
        missing: before.missing + (blob?.complete ? 0 : 1),
      })
    }
    return [...found.values()]
  }

  #rootOf(name: string): Digest {
    if (isDigest(name)) {
      if (this.#store.find(name)) return name
      throw new Failure('no-blob', `this node does not have ${name}, so it cannot be pinned here`)
    }
    const reference = parseReference(name)
    const digest = reference.digest ?? (reference.tag && this.#store.tag(reference, reference.tag)?.digest)
    if (digest && this.#store.find(digest)) return digest
    throw new Failure('no-blob', `this node does not have ${name}; pull it through the node, and pin it then`)
  }
}

const reasonOf = ({ reason }: { readonly reason: string }) => reason

/** The form in which pins are kept. @throws {Failure} */
function nameOf(text: string): string {
  return isDigest(text) ? text : formatReference(parseReference(text))
}

/** What belongs to `root`, itself included. @throws {Failure} `unavailable` when a manifest has rotted on the disk */
export async function partsOf(store: Pick<BlobStore, 'find'>, root: Digest): Promise<Set<Digest>> {
  const parts = new Set([root])
  for (const digest of parts) {
    const blob = store.find(digest)
    if (!blob?.complete || blob.kind !== 'manifest' || blob.size > maxManifestBytes) continue
    if (!(await isRight(blob))) {
      throw new Failure('unavailable', `${digest} is not what it was on the disk, and is fetched again; pin it then`)
    }
    const { manifests, blobs } = contentsOf(await readWhole(blob))
    // Manifests of other platforms are there when somebody wants them.
    for (const child of manifests) if (store.find(child.digest)) parts.add(child.digest)
    for (const part of blobs) if (!isElsewhere(part.mediaType)) parts.add(part.digest)
  }
  return parts
}
