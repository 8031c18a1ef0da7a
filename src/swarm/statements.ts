/**
 * What a node states of blobs: the digests of their pieces, in segments that it signs. Whoever fetches a piece from somebody
 * else verifies it by that, so a blob of more than one piece that nobody states is of no use to others.
 */
import type { Digest } from '../oci/digest.ts'
import { layoutOf, pieceBytes, pieceStart } from '../piece/layout.ts'
import { mostPiecesPerSegment, pieceDigest, pieceDigestBytes, type Segment, segmentPayload } from '../piece/metainfo.ts'
import type { Blob, Spool } from '../store/blob-store.ts'

export interface Signer {
  readonly id: string
  sign(payload: Uint8Array): Uint8Array
}

export function* signedSegments(
  blob: Pick<Blob, 'digest' | 'layout'>,
  pieces: readonly { readonly piece: number; readonly digest: Uint8Array }[],
  signer: Signer,
): Generator<Segment> {
  const sorted = [...pieces].sort((a, b) => a.piece - b.piece)
  for (let i = 0; i < sorted.length; ) {
    let j = i + 1
    while (j < sorted.length && j - i < mostPiecesPerSegment && sorted[j]!.piece === sorted[i]!.piece + (j - i)) j++
    const first = sorted[i]!.piece
    const digests = new Uint8Array((j - i) * pieceDigestBytes)
    for (let k = i; k < j; k++) digests.set(sorted[k]!.digest, (k - i) * pieceDigestBytes)
    const signature = signer.sign(segmentPayload(blob.digest, blob.layout, first, digests))
    yield { first, digests, signer: signer.id, signature }
    i = j
  }
}

/** Statements about the pieces of a blob that is here whole and that nobody has stated, or others could not verify them. */
export async function statementsOfRest(blob: Blob, signer: Signer): Promise<Segment[]> {
  const { known } = blob.metainfo
  const unknown: { piece: number; digest: Uint8Array }[] = []
  for (let i = known.nextMissing(0); i < blob.layout.count; i = known.nextMissing(i + 1)) {
    const start = pieceStart(blob.layout, i)
    unknown.push({ piece: i, digest: pieceDigest(await blob.read({ start, end: start + pieceBytes(blob.layout, i) })) })
  }
  return [...signedSegments(blob, unknown, signer)]
}

/**
 * Of what is no blob yet. The pieces are as long as the whole size says, which is known when the last byte is here: so they are hashed then, from the
 * page cache, a piece at a time.
 */
export async function statementsOf(spool: Spool, digest: Digest, signer: Signer): Promise<Segment[]> {
  const layout = layoutOf(spool.length)
  const memory = Buffer.allocUnsafe(Math.min(layout.pieceLength, Math.max(1, layout.size)))
  const pieces: { piece: number; digest: Uint8Array }[] = []
  for (let piece = 0; piece < layout.count; piece++) {
    const bytes = await spool.read(pieceStart(layout, piece), memory.subarray(0, pieceBytes(layout, piece)))
    pieces.push({ piece, digest: pieceDigest(bytes) })
  }
  // The only piece of a small blob has the digest of the blob.
  const stated = layout.count === 1 && digest.startsWith('sha256:') ? [] : pieces
  return [...signedSegments({ digest, layout }, stated, signer)]
}
