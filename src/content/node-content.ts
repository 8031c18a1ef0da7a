/** {@link Content} of a node: from the store if it is whole there, else through the swarm, which knows the way to the source. */
import { LRUCache } from 'lru-cache'
import { Failure } from '../failure.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { contentsOf, maxManifestBytes, mediaTypeOf } from '../oci/media.ts'
import { formatReference, formatRepository, type Repository, type Tag } from '../oci/reference.ts'
import type { Location, Passed, Source } from '../source/source.ts'
import type { Blob, BlobKind, BlobStore, Span } from '../store/blob-store.ts'
import { readArriving, readComplete } from '../swarm/reader.ts'
import type { Swarm } from '../swarm/swarm.ts'
import type { Transfer } from '../swarm/transfer.ts'
import type { BlobReader, BlobStat, Content, Manifest } from './content.ts'
import type { Tags } from './tags.ts'

export interface NodeContentOptions {
  readonly store: BlobStore
  readonly swarm: Swarm
  readonly source: Source
  readonly tags: Tags
}

const octets = 'application/octet-stream'

export class NodeContent implements Content {
  readonly #o: NodeContentOptions
  /** Sizes that manifests stated: they spare a round trip to the source before a layer can start. */
  readonly #sizes = new LRUCache<Digest, { size: number; mediaType: string }>({ max: 50_000 })

  constructor(options: NodeContentOptions) {
    this.#o = options
  }

  async manifest(repository: Repository, reference: Tag | Digest, signal?: AbortSignal): Promise<Manifest> {
    if (isDigest(reference))
      return this.#manifest(repository, reference, this.#sizes.get(reference)?.size, undefined, signal)
    const record = await this.#o.tags.resolve(repository, reference)
    return this.#manifest(repository, record.digest, record.size, record.mediaType, signal)
  }

  async stat(repository: Repository, digest: Digest, signal?: AbortSignal): Promise<BlobStat> {
    const blob = this.#o.store.find(digest)
    const known = blob ?? this.#sizes.get(digest)
    if (known) return { digest, size: known.size, mediaType: known.mediaType ?? octets }
    const stat = await this.#o.source.stat({ repository, kind: 'blob', digest }, signal)
    this.#sizes.set(digest, stat)
    return { digest, ...stat }
  }

  async open(repository: Repository, digest: Digest, _span?: Partial<Span>, signal?: AbortSignal): Promise<BlobReader> {
    const { store, swarm } = this.#o
    store.seenIn(digest, repository)
    const held = store.find(digest)
    if (held?.complete) return completeReader(held)
    const transfer = swarm.fetch({ repository, kind: 'blob', digest }, this.#sizes.get(digest)?.size)
    const blob = await raceAbort(transfer.begun, signal)
    return blob.complete ? completeReader(blob) : arrivingReader(transfer, blob)
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
    if (size !== undefined && size > maxManifestBytes) {
      throw new Failure(
        'no-manifest',
        `${formatReference({ ...repository, digest })} has ${size} bytes; a manifest may have ${maxManifestBytes}`,
      )
    }
    const { store } = this.#o
    store.seenIn(digest, repository)
    const blob = await this.#whole({ repository, kind: 'manifest', digest }, size, signal)
    if (blob.size > maxManifestBytes) {
      throw new Failure(
        'no-manifest',
        `${digest} in ${formatRepository(repository)} is too large for a manifest: ${blob.size} bytes`,
      )
    }
    const bytes = await blob.read({ start: 0, end: blob.size })
    const contents = contentsOf(bytes)
    for (const { digest: part, size: bytesOfPart, mediaType: type } of [...contents.manifests, ...contents.blobs]) {
      this.#sizes.set(part, { size: bytesOfPart, mediaType: type })
    }
    return { digest, mediaType: mediaType ?? blob.mediaType ?? mediaTypeOf(bytes), bytes }
  }

  async #whole(location: Location & { kind: BlobKind }, size: number | undefined, signal?: AbortSignal): Promise<Blob> {
    const held = this.#o.store.find(location.digest)
    if (held?.complete) return held
    const transfer = this.#o.swarm.fetch(location, size)
    const reader = transfer.reader()
    try {
      return await raceAbort(transfer.finished, signal)
    } finally {
      transfer.readerLeft(reader)
    }
  }
}

function completeReader(blob: Blob): BlobReader {
  const letGo = blob.hold()
  let sent = 0
  return {
    digest: blob.digest,
    size: blob.size,
    mediaType: octets,
    file: blob.path,
    async *read(span: Span) {
      for await (const bytes of readComplete(blob, span)) {
        sent += bytes.length
        yield bytes
      }
    },
    provenance: () => ({ store: sent, swarm: 0, source: 0 }),
    close: letGo,
  }
}

function arrivingReader(transfer: Transfer, blob: Blob): BlobReader {
  const letGo = blob.hold()
  const before = { ...transfer.bytes }
  return {
    digest: blob.digest,
    size: blob.size,
    mediaType: octets,
    read: (span: Span, signal: AbortSignal) => readArriving(transfer, blob, span, signal),
    provenance: () => {
      const swarm = transfer.bytes.swarm - before.swarm
      const source = transfer.bytes.source - before.source
      return { store: Math.max(0, blob.have.count * blob.layout.pieceLength - swarm - source), swarm, source }
    },
    close: letGo,
  }
}

function raceAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise
  return new Promise((resolve, reject) => {
    const abort = () => reject(new Failure('cancelled', 'the client went away'))
    if (signal.aborted) return abort()
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
