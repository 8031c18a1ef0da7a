/**
 * A blob's size, piece length and piece digests; grows while the blob is still arriving from its source.
 *
 * Piece digests come in signed segments. The node that read a run of pieces from the source states their SHA-256 and
 * signs the statement; everyone else verifies the signature, keeps the segment as it is and passes it on. So a piece
 * can be verified whoever sent it, and a false statement has an author. Whether the pieces together are the blob is
 * decided by the whole blob's digest alone.
 */
import { concat } from 'uint8arrays/concat'
import { equals } from 'uint8arrays/equals'
import { fromString } from 'uint8arrays/from-string'
import { type Digest, hexOf } from '../oci/digest.ts'
import { Bitmap } from './bitmap.ts'
import type { Layout } from './layout.ts'

export const pieceDigestBytes = 32
/** A longer segment is refused: it would be a frame of more than 256 KiB. */
export const mostPiecesPerSegment = 8192

export interface Segment {
  /** Index of the first piece stated. */
  readonly first: number
  /** SHA-256 of each piece, 32 bytes apiece, one after the other. */
  readonly digests: Uint8Array
  /** Node id whose key signed. */
  readonly signer: string
  readonly signature: Uint8Array
}

/** Index after that of the last piece stated. */
export function segmentEnd({ first, digests }: Pick<Segment, 'first' | 'digests'>): number {
  return first + digests.length / pieceDigestBytes
}

/** What a segment's signature covers: everything that makes it mean this blob cut this way. */
export function segmentPayload(digest: Digest, layout: Layout, first: number, digests: Uint8Array): Uint8Array {
  const head = `shoal metainfo 1\n${digest}\n${layout.size}\n${layout.pieceLength}\n${first}\n`
  return concat([fromString(head), digests])
}

/** Digests that a segment may repeat for each that is new: who reads a source states 32 at once, and any but one may be known. */
const repeatedForNew = 31
/** Digests that segments may repeat beyond that, in all: so many times those that there are. */
const mostRepeated = 4

/**
 * `new`: at least one piece was unknown. `conflict`: it contradicts what is known. `repeats`: too much of it is known for the
 * little that is new. Of a segment that is not new nothing is taken.
 */
export type SegmentVerdict = 'new' | 'known' | 'conflict' | 'repeats' | 'malformed'

export class Metainfo {
  readonly digest: Digest
  readonly layout: Layout
  readonly known: Bitmap
  readonly #digests: Uint8Array
  readonly #segments: Segment[] = []
  #repeated = 0

  constructor(digest: Digest, layout: Layout) {
    this.digest = digest
    this.layout = layout
    this.known = new Bitmap(layout.count)
    this.#digests = new Uint8Array(layout.count * pieceDigestBytes)
    if (layout.count === 1 && digest.startsWith('sha256:')) {
      // The only piece is the blob: its name says it all, nobody has to vouch.
      this.#digests.set(Uint8Array.fromHex(hexOf(digest)))
      this.known.set(0)
    }
  }

  get segments(): readonly Segment[] {
    return this.#segments
  }

  /** The SHA-256 that piece `index` must have; `undefined` while nobody has stated it. */
  digestOf(index: number): Uint8Array | undefined {
    if (!this.known.has(index)) return undefined
    return this.#digests.subarray(index * pieceDigestBytes, (index + 1) * pieceDigestBytes)
  }

  /** Who stated the digest of piece `index`, as far as the segments tell. */
  signerOf(index: number): string | undefined {
    return this.#segments.find((segment) => index >= segment.first && index < segmentEnd(segment))?.signer
  }

  /** True if all that the segment states is known already, and the same: then its signature tells nothing new. */
  agrees(segment: Pick<Segment, 'first' | 'digests'>): boolean {
    const count = segment.digests.length / pieceDigestBytes
    if (!Number.isInteger(count) || count === 0) return false
    for (let i = 0; i < count; i++) {
      const known = this.digestOf(segment.first + i)
      if (!known || !equals(known, digestAt(segment.digests, i))) return false
    }
    return true
  }

  /** Takes a segment whose signature was verified by the caller. */
  add(segment: Segment): SegmentVerdict {
    const count = segment.digests.length / pieceDigestBytes
    const { first } = segment
    const whole = Number.isInteger(count) && Number.isInteger(first)
    if (!whole || count <= 0 || first < 0 || first + count > this.layout.count) return 'malformed'
    let fresh = 0
    for (let i = 0; i < count; i++) {
      const known = this.digestOf(segment.first + i)
      if (!known) fresh++
      else if (!equals(known, digestAt(segment.digests, i))) return 'conflict'
    }
    if (fresh === 0) return 'known'
    // It would be kept as it is and passed on: one piece more each time, and all of them grow with the square of the pieces.
    const repeated = count - fresh
    if (repeated > repeatedForNew * fresh) {
      if (this.#repeated + repeated > mostRepeated * this.layout.count) return 'repeats'
      this.#repeated += repeated
    }
    for (let i = 0; i < count; i++) this.known.set(segment.first + i)
    this.#digests.set(segment.digests, segment.first * pieceDigestBytes)
    this.#segments.push(segment)
    return 'new'
  }

  /** True if `bytes` are piece `index`. False as well while its digest is not known. */
  verify(index: number, bytes: Uint8Array): boolean {
    const expected = this.digestOf(index)
    return expected !== undefined && equals(expected, pieceDigest(bytes))
  }
}

export function pieceDigest(bytes: Uint8Array): Uint8Array {
  return new Bun.CryptoHasher('sha256').update(bytes).digest() as Uint8Array
}

function digestAt(digests: Uint8Array, i: number): Uint8Array {
  return digests.subarray(i * pieceDigestBytes, (i + 1) * pieceDigestBytes)
}
