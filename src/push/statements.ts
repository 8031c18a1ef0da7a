/** Piece digests of what was pushed, signed by this node: as of what a seed has read from a source. */

import type { Digest } from '../oci/digest.ts'
import { layoutOf, pieceBytes, pieceStart } from '../piece/layout.ts'
import { pieceDigest, type Segment } from '../piece/metainfo.ts'
import type { Spool } from '../store/blob-store.ts'
import { type Signer, signedSegments } from '../swarm/intake.ts'

/**
 * The pieces are as long as the whole size says, which is known when the last byte is here: so they are hashed then, from the
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
