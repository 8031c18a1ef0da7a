/** {@link Content} of a node: from the store if it is whole there, else through the swarm, which knows the way to the source. */

import { Failure } from '../failure.ts'
import { lru } from '../lru.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { contentsOf, maxManifestBytes, mediaTypeOf } from '../oci/media.ts'
import { formatReference, parseTag, type Repository, type Tag } from '../oci/reference.ts'
import type { Bitmap } from '../piece/bitmap.ts'
import { mostBlobBytes, pieceAt } from '../piece/layout.ts'
import { unlessAborted } from '../source/retry.ts'
import type { Location, Passed, Source } from '../source/source.ts'
import type { Blob, BlobKind, BlobStore, Span } from '../store/blob-store.ts'
import type { Run } from '../swarm/aims.ts'
import type { Passage } from '../swarm/passage.ts'
import { type Aim, type Arrival, piecesOf, readArriving, readChecked } from '../swarm/reader.ts'
import type { BlobReader, BlobStat, Content, Manifest, Provenance, Wanted, WholeFile } from './content.ts'
import { isRight, readWhole } from './read-whole.ts'
import type { Tags } from './tags.ts'
import { through } from './through.ts'

export interface NodeContentOptions {
  readonly store: BlobStore
  readonly swarm: {
    fetch(location: Location, size?: number, part?: boolean): Arrival
    passage?(location: Location, size: number): Pick<Passage, 'read' | 'doubt'>
  }
  readonly source: Source
  readonly tags: Tags
}

const octets = 'application/octet-stream'
/** So much of what follows a part is fetched for who may go on. */
const aheadBytes = 8 * 1024 * 1024
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
    if (held?.complete || (held && isHere(held, size, wanted))) return this.#reader(repository, held, wanted)
    if (size !== undefined && size > mostBlobBytes) {
      throw new Failure('unavailable', `${digest} is said to have ${size} bytes, more than nodes share of one blob`)
    }
    const transfer = swarm.fetch({ repository, kind: 'blob', digest }, size, inParts(wanted))
    // It may have been the size that was wrong.
    transfer.finished.catch((error: unknown) => {
      if (!Failure.from(error).unkept) this.#sizes.delete(digest)
    })
    const blob = await unlessAborted(transfer.begun, signal)
    return this.#reader(repository, blob, wanted, blob.complete ? undefined : transfer)
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

  /**
   * `arrival` brings what is not whole. What lay on the disk for long is looked at before it is sent, and what is not right
   * any more comes anew, also when all of the file is gone. What there is no room for comes from other nodes or the
   * source, and is not kept; a part of it only to who goes on to its end.
   */
  #reader(repository: Repository, opened: Blob, wanted: Wanted | undefined, arrival?: Arrival): BlobReader {
    const { store, swarm, source } = this.#o
    const { digest, size, kind } = opened
    const location: Location = { repository, kind, digest }
    let blob = opened
    let letGo = blob.hold()
    let closed = false
    const over: (() => void)[] = []
    const before = { store: 0, swarm: 0, source: 0 }
    let taken = new Taken(blob, arrival)
    let begun = arrival
    /** The transfer that brings what is missing: at first the one it was opened with, and another when that is over. */
    const arriving = (): Arrival => {
      const transfer = begun ?? swarm.fetch(location, size, inParts(wanted))
      begun = undefined
      if (transfer === taken.transfer) return transfer
      add(before, taken.provenance())
      taken = new Taken(blob, transfer)
      return transfer
    }
    /** Its file was found to be broken, by who reads here or by somebody else. */
    const renew = async (signal: AbortSignal) => {
      const transfer = swarm.fetch(location, size, inParts(wanted))
      const renewed = await unlessAborted(transfer.begun, signal)
      if (closed || renewed.size !== size) throw new Failure('corrupt', `${digest} is not what it was`)
      letGo()
      letGo = renewed.hold()
      add(before, taken.provenance())
      blob = renewed
      taken = new Taken(blob, transfer)
      begun = transfer
    }
    return {
      digest,
      size,
      mediaType: octets,
      ...(blob.complete && blob.sound() ? { file: fileOf(blob) } : {}),
      async *read(span: Span, signal: AbortSignal) {
        let broken = false
        for (let at = span.start; at < span.end; ) {
          if (blob.gone && !broken) {
            broken = true
            await renew(signal)
          }
          const left = { start: at, end: span.end }
          const here = blob.complete || isHere(blob, size, { ...wanted, ...left })
          const transfer = here ? undefined : arriving()
          const aim = aimOf(wanted, left, size)
          const doubts = transfer?.doubts.length
          try {
            for await (const bytes of transfer
              ? readArriving(transfer, blob, left, signal, aim)
              : readChecked(blob, left)) {
              taken.add(at, bytes.length)
              at += bytes.length
              yield bytes
              // What is read from now on is looked at, and mended. A doubt is for who has read what it is about.
              if (transfer && blob.complete && transfer.doubts.length === doubts) break
            }
          } catch (error) {
            if (!transfer && blob.gone && !broken) continue
            const passable = span.end === size && (span.start === 0 || goesOn(wanted))
            if (!transfer || !passable || !Failure.from(error).unkept) throw error
            const passage = swarm.passage?.(location, size)
            const known = { blob, from: span.start, given: at, doubts: transfer.doubts }
            const gave = (from: keyof Provenance, bytes: number) => {
              before[from] += bytes
            }
            try {
              yield* through({ source, location, size, signal, gave, ...known, ...(passage ? { passage } : {}) })
            } catch (wrong) {
              // Some of it may lie here, and nobody can say which part is wrong.
              if (Failure.from(wrong).code === 'corrupt' && !blob.complete) await store.remove(digest)
              throw wrong
            }
            return
          }
        }
      },
      expect: (spans) => {
        const transfer = blob.complete ? undefined : arriving()
        if (transfer) over.push(expecting(transfer, blob, spans, wanted))
      },
      provenance: () => add({ ...before }, taken.provenance()),
      close: () => {
        closed = true
        for (const end of over) end()
        letGo()
      },
    }
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

/**
 * Whether a client asks for all from some byte on. Engines do when an answer broke off; who asks for parts wants many of
 * them, and each would be a whole blob for its registry to send.
 */
function goesOn(wanted: Wanted | undefined): boolean {
  return wanted !== undefined && wanted.end === undefined && !wanted.part
}

/** Nothing else of the blob is to be brought than what is read of it. */
function inParts(wanted: Wanted | undefined): boolean {
  return wanted?.prefetch !== undefined && wanted.prefetch !== 'whole'
}

/** All that the client wants of a blob that is here in part is here: nobody has to be asked for anything. */
function isHere({ gone, have, layout, size }: Blob, known: number | undefined, wanted: Wanted | undefined): boolean {
  if (gone || wanted?.prefetch !== 'none' || wanted.start === undefined || wanted.end === undefined) return false
  const { start, end } = wanted
  if (size !== (known ?? size) || start >= Math.min(end, size)) return false
  // The piece that ends it says nothing of whether all of it is right.
  const { from, to } = piecesOf(layout, { start, end: Math.min(end, size) })
  return have.nextMissing(from) >= to && (wanted.part === true || to < layout.count)
}

/** What a reader of a part waits for; undefined for one that reads in order. */
function aimOf(wanted: Wanted | undefined, span: Span, size: number): Aim | undefined {
  const part = wanted?.part === true && span.end - span.start < size
  if (!part && !inParts(wanted)) return undefined
  return { part, ahead: wanted?.prefetch === 'none' ? 0 : aheadBytes, patient: wanted?.patient ?? false }
}

/** All of the spans are waited for until the result is called. */
function expecting(transfer: Arrival, blob: Blob, spans: readonly Span[], wanted: Wanted | undefined): () => void {
  const reader = transfer.reader()
  const runs = spans.map((span): Run => {
    const { from, to } = piecesOf(blob.layout, span)
    return [from, to]
  })
  if (wanted?.part || inParts(wanted)) transfer.aim(reader, runs, { patient: wanted?.patient ?? false })
  return () => transfer.readerLeft(reader)
}

/** @throws {Failure} `no-manifest` */
function checkManifestSize(repository: Repository, digest: Digest, size: number): void {
  if (size <= maxManifestBytes) return
  throw new Failure(
    'no-manifest',
    `${formatReference({ ...repository, digest })} has ${size} bytes; a manifest may have ${maxManifestBytes}`,
  )
}

function fileOf(blob: Blob): WholeFile {
  return { path: blob.path, sound: (at) => blob.complete && blob.sound(pieceAt(blob.layout, at)) }
}

/**
 * Where the bytes came from that a reader was given. Pieces that come while the blob is open count as fetched, whoever else
 * reads them too. Where a transfer is fed by both, swarm and source get their shares of what was read as they have them of
 * the transfer.
 */
class Taken {
  readonly transfer: Arrival | undefined
  readonly #blob: Blob
  readonly #here: Bitmap
  readonly #before: { readonly swarm: number; readonly source: number }
  #held = 0
  #fetched = 0

  constructor(blob: Blob, transfer: Arrival | undefined) {
    this.transfer = transfer
    this.#blob = blob
    this.#here = blob.have.copy()
    this.#before = { swarm: 0, source: 0, ...transfer?.bytes }
  }

  add(at: number, bytes: number): void {
    if (this.#here.has(pieceAt(this.#blob.layout, at))) this.#held += bytes
    else this.#fetched += bytes
  }

  provenance(): Provenance {
    const { swarm, source } = this.transfer?.bytes ?? this.#before
    const bySwarm = swarm - this.#before.swarm
    const bySource = source - this.#before.source
    const fetched = this.#fetched
    // What was read although nothing has been stored meanwhile is the beginning of what the source is sending.
    const fromSource = bySwarm + bySource > 0 ? Math.round((fetched * bySource) / (bySwarm + bySource)) : fetched
    return { store: this.#held, swarm: fetched - fromSource, source: fromSource }
  }
}

function add(sum: Provenance, more: Provenance): Provenance {
  sum.store += more.store
  sum.swarm += more.swarm
  sum.source += more.source
  return sum
}
