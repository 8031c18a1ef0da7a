/**
 * A blob that this node has no room for, or no disk that takes it, passed from other nodes, or from its source, to the
 * client without being kept: all of it, or all from some byte on, for an engine that goes on where an answer broke off. It
 * is read from the beginning even so, for of a part nobody could say that it is right.
 *
 * What is promised of other blobs holds for these too: the last piece is given only once the whole digest was verified,
 * and what was given before is what went into it. So what is stored of the blob is hashed from the disk and not read
 * from the source again, and what was given of it without being stored has to come again as it was.
 */
import { Failure } from '../failure.ts'
import { algorithmOf, hexOf } from '../oci/digest.ts'
import { layoutOf, pieceStart } from '../piece/layout.ts'
import type { Location, Source } from '../source/source.ts'
import type { Blob } from '../store/blob-store.ts'
import type { Passage } from '../swarm/passage.ts'
import { type Arrival, readChecked } from '../swarm/reader.ts'
import type { Provenance } from './content.ts'

export interface Through {
  readonly source: Pick<Source, 'open'>
  /** What other nodes have of it, as far as that goes. */
  readonly passage?: Pick<Passage, 'read' | 'doubt'>
  readonly location: Location
  readonly size: number
  /** What is stored of it. */
  readonly blob?: Blob
  /** The first byte that the client wants. */
  readonly from?: number
  /** Up to this byte it has been given it already. */
  readonly given?: number
  /** What was given of pieces that are not stored. */
  readonly doubts?: Arrival['doubts']
  readonly signal: AbortSignal
  /** Told of all that is given to the client, before it is. */
  readonly gave?: (from: keyof Provenance, bytes: number) => void
}

/** A chunk is valid until the next is asked for. @throws {Failure} what the source says; `corrupt` for wrong bytes */
export async function* through(options: Through): AsyncGenerator<Uint8Array> {
  const { source, passage, location, size, blob, from: wanted = 0, given = wanted, signal, gave } = options
  const { digest } = location
  const layout = layoutOf(size)
  const lastPiece = size === 0 ? 0 : pieceStart(layout, layout.count - 1)
  const hasher = new Bun.CryptoHasher(algorithmOf(digest))
  const last: Uint8Array[] = []
  let from: keyof Provenance = 'store'
  let at = 0

  /** What of the next bytes the client gets now. */
  const take = (bytes: Uint8Array): Uint8Array => {
    const start = at
    hasher.update(bytes)
    at += bytes.length
    if (at > lastPiece) last.push(bytes.slice(Math.max(0, Math.max(lastPiece, given) - start)))
    const now = bytes.subarray(Math.max(0, given - start), Math.max(0, lastPiece - start))
    gave?.(from, now.length)
    return now
  }

  const stored = blob && !blob.gone ? Math.min(pieceStart(layout, blob.have.nextMissing(0)), size) : 0
  const again = new Again(options, stored)
  if (blob && stored > 0) {
    for await (const bytes of readChecked(blob, { start: 0, end: stored })) {
      again.compare(at, bytes)
      const now = take(bytes)
      if (now.length > 0) yield now
    }
  }
  if (at < size && passage) {
    from = 'swarm'
    for await (const bytes of passage.read(at, signal)) {
      again.compare(at, bytes)
      const now = take(bytes)
      if (now.length > 0) yield now
    }
  }
  if (at < size || size === 0) {
    from = 'source'
    const answer = await source.open(location, at, signal)
    if (answer.size !== size) {
      throw new Failure('corrupt', `the source says ${digest} has ${answer.size} bytes, ${size} were expected`)
    }
    for await (const chunk of answer.body) {
      if (chunk.length > size - at) throw new Failure('corrupt', `the source sent more than ${size} bytes of ${digest}`)
      again.compare(at, chunk)
      const now = take(chunk)
      if (now.length > 0) yield now
    }
  }
  if (at < size) throw new Failure('corrupt', `the source ended after ${at} of ${size} bytes of ${digest}`)
  const hex = hasher.digest('hex')
  if (hex !== hexOf(digest)) {
    passage?.doubt()
    throw new Failure('corrupt', `what came for ${digest} has the digest ${hex}`)
  }
  for (const bytes of last) {
    gave?.(from, bytes.length)
    yield bytes
  }
}

/** What the client has of it and the disk has not: it must be what comes now. */
class Again {
  readonly #seen: { readonly start: number; readonly bytes: Uint8Array }[]
  readonly #digest: string

  /** @throws {Failure} `unavailable` when nobody knows what some of it was */
  constructor({ size, location, doubts = [], from = 0, given = from }: Through, stored: number) {
    const layout = layoutOf(size)
    this.#digest = location.digest
    this.#seen = doubts
      .map(({ piece, bytes, filled }) => ({ start: pieceStart(layout, piece), bytes: bytes.slice(0, filled) }))
      .sort((a, b) => a.start - b.start)
    let known = Math.max(stored, from)
    for (const { start, bytes } of this.#seen) if (start <= known) known = Math.max(known, start + bytes.length)
    if (known < given) throw this.#failure()
  }

  /** @throws {Failure} `unavailable` */
  compare(at: number, chunk: Uint8Array): void {
    for (const { start, bytes } of this.#seen) {
      const from = Math.max(at, start)
      const to = Math.min(at + chunk.length, start + bytes.length)
      if (from >= to) continue
      if (Buffer.compare(chunk.subarray(from - at, to - at), bytes.subarray(from - start, to - start)) !== 0) {
        throw this.#failure()
      }
    }
  }

  #failure(): Failure {
    return new Failure(
      'unavailable',
      `there is no room for ${this.#digest}, and what was sent of it cannot be vouched for`,
    )
  }
}
