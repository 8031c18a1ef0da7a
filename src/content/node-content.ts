/** {@link Content} of a node: from the store if it is whole there, else through the swarm, which knows the way to the source. */

import { Failure } from '../failure.ts'
import { lru } from '../lru.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { contentsOf, maxManifestBytes, mediaTypeOf } from '../oci/media.ts'
import { formatReference, parseTag, type Repository, type Tag } from '../oci/reference.ts'
import { mostBlobBytes } from '../piece/layout.ts'
import { unlessAborted } from '../source/retry.ts'
import type { Location, Passed, Source } from '../source/source.ts'
import type { Blob, BlobKind, BlobStore } from '../store/blob-store.ts'
import type { BlobReader, BlobStat, Content, Manifest, Wanted } from './content.ts'
import { isRight, readWhole } from './read-whole.ts'
import { inParts, isHere, type Origins, octets, Reading } from './reading.ts'
import type { Tags } from './tags.ts'
import { through } from './through.ts'

export interface NodeContentOptions extends Origins {
  readonly store: BlobStore
  readonly source: Source
  readonly tags: Tags
}

/** What a file is asked for by: there is one at a time. */
const latestTag = parseTag('latest')

export class NodeContent implements Content {
  readonly #o: NodeContentOptions
  /** Sizes that manifests stated: they spare a round trip to the source before a layer can start. */
  readonly #sizes = lru<Digest, { size: number; mediaType: string }>(50_000)

  constructor(options: NodeContentOptions) {
    this.#o = options
  }

  async manifest(repository: Repository, reference: Tag | Digest, signal?: AbortSignal): Promise<Manifest> {
    if (isDigest(reference))
      return this.#manifest(repository, reference, this.#sizes.get(reference)?.size, undefined, signal)
    const record = await unlessAborted(this.#o.tags.resolve(repository, reference), signal)
    return this.#manifest(repository, record.digest, record.size, record.mediaType, signal)
  }

  async latest(repository: Repository, signal?: AbortSignal): Promise<BlobStat> {
    const { digest, size, mediaType } = await unlessAborted(this.#o.tags.resolve(repository, latestTag), signal)
    return { digest, size, mediaType }
  }

  async stat(repository: Repository, digest: Digest, signal?: AbortSignal): Promise<BlobStat> {
    const blob = this.#o.store.find(digest)
    // What is here in part may have been begun with the size that a wrong manifest stated.
    const known = blob?.complete ? blob : (this.#sizes.get(digest) ?? blob)
    if (known) return { digest, size: known.size, mediaType: known.mediaType ?? octets }
    const stat = await this.#o.source.stat({ repository, kind: 'blob', digest }, signal)
    this.#sizes.set(digest, stat)
    return { digest, ...stat }
  }

  async open(repository: Repository, digest: Digest, wanted?: Wanted, signal?: AbortSignal): Promise<BlobReader> {
    const { store, swarm } = this.#o
    const held = store.find(digest)
    const size = this.#sizes.get(digest)?.size
    if (held?.complete || (held && isHere(held, size, wanted))) return new Reading(this.#o, repository, held, wanted)
    if (size !== undefined && size > mostBlobBytes) {
      throw new Failure('unavailable', `${digest} is said to have ${size} bytes, more than nodes share of one blob`)
    }
    const transfer = swarm.fetch({ repository, kind: 'blob', digest }, size, inParts(wanted))
    // It may have been the size that was wrong.
    transfer.finished.catch((error: unknown) => {
      if (!Failure.from(error).unkept) this.#sizes.delete(digest)
    })
    const blob = await unlessAborted(transfer.begun, signal)
    return new Reading(this.#o, repository, blob, wanted, blob.complete ? undefined : transfer)
  }

  async pass(
    repository: Repository,
    path: string,
    search: string,
    accept?: string,
    signal?: AbortSignal,
  ): Promise<Passed> {
    return this.#o.source.pass(repository, path, search, accept, signal)
  }

  async #manifest(
    repository: Repository,
    digest: Digest,
    size: number | undefined,
    mediaType: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Manifest> {
    if (size !== undefined) checkManifestSize(repository, digest, size)
    const location = { repository, kind: 'manifest', digest } as const
    const { bytes, mediaType: kept } = await this.#whole(location, size, signal).then(
      async (blob) => ({ bytes: await readWhole(blob), mediaType: blob.mediaType }),
      (error: unknown) => this.#passed(location, size, error, signal),
    )
    const contents = contentsOf(bytes)
    for (const { digest: part, size: bytesOfPart, mediaType: type } of [...contents.manifests, ...contents.blobs]) {
      this.#sizes.set(part, { size: bytesOfPart, mediaType: type })
    }
    return { digest, mediaType: mediaType ?? kept ?? mediaTypeOf(bytes), bytes }
  }

  /** A manifest that there was no room for. @throws `failure`, if it is another one */
  async #passed(
    location: Location,
    known: number | undefined,
    failure: unknown,
    signal = new AbortController().signal,
  ): Promise<{ bytes: Uint8Array<ArrayBuffer>; mediaType: string | undefined }> {
    if (!Failure.from(failure).unkept) throw failure
    const { source, swarm } = this.#o
    const { size, mediaType } =
      known === undefined ? await source.stat(location, signal) : { size: known, mediaType: undefined }
    checkManifestSize(location.repository, location.digest, size)
    const passage = swarm.passage?.(location, size)
    const chunks: Uint8Array[] = []
    for await (const chunk of through({ source, location, size, signal, ...(passage ? { passage } : {}) })) {
      chunks.push(chunk.slice())
    }
    return { bytes: new Uint8Array(Buffer.concat(chunks)), mediaType }
  }

  async #whole(location: Location & { kind: BlobKind }, size: number | undefined, signal?: AbortSignal): Promise<Blob> {
    const { repository, digest } = location
    const held = this.#o.store.find(digest)
    if (held?.complete) {
      checkManifestSize(repository, digest, held.size)
      if (await isRight(held)) return held
    }
    const transfer = this.#o.swarm.fetch(location, size)
    const reader = transfer.reader()
    try {
      // Known long before the end: nobody shall bring a layer here only to hear that it is no manifest.
      const { size: begun } = await unlessAborted(transfer.begun, signal)
      checkManifestSize(repository, digest, begun)
      return await unlessAborted(transfer.finished, signal)
    } finally {
      transfer.readerLeft(reader)
    }
  }
}

/** @throws {Failure} `no-manifest` */
function checkManifestSize(repository: Repository, digest: Digest, size: number): void {
  if (size <= maxManifestBytes) return
  throw new Failure(
    'no-manifest',
    `${formatReference({ ...repository, digest })} has ${size} bytes; a manifest may have ${maxManifestBytes}`,
  )
}
