/** Content in memory: what the registry endpoint is tested against. */
import type { BlobReader, BlobStat, Content, Manifest, Provenance, Wanted } from '../../src/content/content.ts'
import { Failure } from '../../src/failure.ts'
import { type Digest, digestOf, isDigest } from '../../src/oci/digest.ts'
import { mediaTypeOf } from '../../src/oci/media.ts'
import { formatRepository, type Repository, repositoryOfRequest, type Tag } from '../../src/oci/reference.ts'
import type { Passed } from '../../src/source/source.ts'
import type { Span } from '../../src/store/blob-store.ts'

export interface FakeBlob {
  readonly bytes: Uint8Array
  readonly mediaType?: string
  /** Sent as a file on disk; must hold `bytes`. */
  readonly file?: string
  /** Where reads say the bytes came from. */
  readonly from?: keyof Provenance
  /** Length of the chunks that reading gives. Default 64 KiB. */
  readonly chunk?: number
  /** Reading breaks off with `error` before this byte. */
  readonly fail?: { readonly at: number; readonly error: Error }
  /** Awaited before the byte at `at` is given. */
  readonly gate?: { readonly at: number; readonly open: Promise<void> }
}

export class FakeContent implements Content {
  readonly #manifests = new Map<string, Manifest>()
  readonly #blobs = new Map<Digest, FakeBlob>()
  readonly #files = new Map<string, Digest>()
  readonly #passed = new Map<string, Passed>()
  /** What was opened with which first span, in order. */
  readonly opened: { digest: Digest; span: Wanted | undefined }[] = []
  readonly calls: string[] = []
  /** Readers that were opened and not closed. */
  openReaders = 0

  /** `name` as a request would say it: `library/debian`, `ghcr.io/org/app`. */
  addManifest(name: string, bytes: Uint8Array, ...tags: string[]): Digest {
    const digest = digestOf(bytes)
    const repository = formatRepository(repositoryOfRequest(name, undefined))
    const manifest = { digest, mediaType: mediaTypeOf(bytes), bytes }
    for (const reference of [digest, ...tags]) this.#manifests.set(`${repository} ${reference}`, manifest)
    return digest
  }

  addBlob(blob: FakeBlob): Digest {
    const digest = digestOf(blob.bytes)
    this.#blobs.set(digest, blob)
    return digest
  }

  addPassed(name: string, path: string, passed: Passed): void {
    this.#passed.set(`${formatRepository(repositoryOfRequest(name, undefined))}/${path}`, passed)
  }

  async manifest(repository: Repository, reference: Tag | Digest): Promise<Manifest> {
    const name = formatRepository(repository)
    this.calls.push(`manifest ${name} ${reference}`)
    const manifest = this.#manifests.get(`${name} ${reference}`)
    if (manifest) return manifest
    throw new Failure('no-manifest', `${name} has no manifest ${reference}`)
  }

  /** As a file's URL leads to it: by the name of its repository. */
  addFile(name: string, digest: Digest): void {
    this.#files.set(name, digest)
  }

  async latest(repository: Repository): Promise<BlobStat> {
    const digest = this.#files.get(formatRepository(repository))
    if (!digest) throw new Failure('reading', `${formatRepository(repository)} is read for its digest`)
    return this.stat(repository, digest)
  }

  async stat(repository: Repository, digest: Digest): Promise<BlobStat> {
    this.calls.push(`stat ${formatRepository(repository)} ${digest}`)
    return this.#statOf(digest, this.#find(repository, digest))
  }

  async open(
    repository: Repository,
    digest: Digest,
    span: Wanted | undefined,
    signal?: AbortSignal,
  ): Promise<BlobReader> {
    this.calls.push(`open ${formatRepository(repository)} ${digest}`)
    const blob = this.#find(repository, digest)
    signal?.throwIfAborted()
    this.opened.push({ digest, span })
    this.openReaders++
    const bytes: Provenance = { store: 0, swarm: 0, source: 0 }
    let open = true
    return {
      ...this.#statOf(digest, blob),
      ...(blob.file ? { file: { path: blob.file, sound: () => true } } : {}),
      read: (wanted, signal) => readFake(blob, wanted, signal, bytes),
      provenance: () => ({ ...bytes }),
      close: () => {
        if (open) this.openReaders--
        open = false
      },
    }
  }

  async pass(repository: Repository, path: string, search: string, accept?: string): Promise<Passed> {
    const name = formatRepository(repository)
    this.calls.push(`pass ${name}/${path}${search}${accept ? ` accept ${accept}` : ''}`)
    const passed = this.#passed.get(`${name}/${path}`)
    if (passed) return passed
    throw new Failure('no-name', `${name} is unknown`)
  }

  #find(repository: Repository, digest: Digest): FakeBlob {
    const blob = isDigest(digest) ? this.#blobs.get(digest) : undefined
    if (blob) return blob
    throw new Failure('no-blob', `${formatRepository(repository)} has no blob ${digest}`)
  }

  #statOf(digest: Digest, blob: FakeBlob): BlobStat {
    return { digest, size: blob.bytes.length, mediaType: blob.mediaType ?? 'application/octet-stream' }
  }
}

async function* readFake(
  { bytes, chunk = 65536, from = 'store', fail, gate }: FakeBlob,
  span: Span,
  signal: AbortSignal,
  provenance: Provenance,
): AsyncGenerator<Uint8Array> {
  for (let at = span.start; at < span.end; at += chunk) {
    const end = Math.min(at + chunk, span.end)
    if (gate && end > gate.at) await Promise.race([gate.open, aborted(signal)])
    signal.throwIfAborted()
    if (fail && end > fail.at) throw fail.error
    provenance[from] += end - at
    yield bytes.subarray(at, end)
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
