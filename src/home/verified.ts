/** A whole blob of the store as content for a backend: each piece is verified as it is read. */
import { Failure } from '../failure.ts'
import { shortDigest } from '../oci/digest.ts'
import { pieceAt, pieceBytes, pieceStart } from '../piece/layout.ts'
import type { Blob } from '../store/blob-store.ts'
import type { Kept } from './backends/backend.ts'

/** Eviction has to leave the blob alone while it is read. */
export function keptOf(blob: Blob, mediaType: string): Kept {
  return { size: blob.size, mediaType, read: (start) => verified(blob, start) }
}

/** @throws {Failure} `corrupt` when the disk has not kept it: the blob then lacks that piece */
async function* verified(blob: Blob, start: number): AsyncGenerator<Uint8Array, void, undefined> {
  if (start >= blob.size) return
  for (let piece = pieceAt(blob.layout, start); piece < blob.layout.count; piece++) {
    const bytes = new Uint8Array(pieceBytes(blob.layout, piece))
    if (!(await blob.check(piece, bytes))) {
      throw new Failure('corrupt', `piece ${piece} of ${shortDigest(blob.digest)} was damaged on the disk of this seed`)
    }
    yield bytes.subarray(Math.max(0, start - pieceStart(blob.layout, piece)))
  }
}
