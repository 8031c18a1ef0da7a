/** Reading files again, to see whether they are what they are said to be. One buffer, whatever their size. */
import { open } from 'node:fs/promises'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import { contentsOf, maxManifestBytes, mediaTypeOf } from '../oci/media.ts'
import type { Bitmap } from '../piece/bitmap.ts'
import { type Layout, pieceBytes, pieceStart } from '../piece/layout.ts'
import type { Metainfo } from '../piece/metainfo.ts'
import type { BlobKind } from './blob-store.ts'
import { readAt, syncAll } from './open-files.ts'

const chunk = 1024 * 1024

/** The file's modification time (whole ms) if all of it has the digest; it is then on the disk, too. */
export async function wholeSince(path: string, digest: Digest): Promise<number | undefined> {
  const hasher = new Bun.CryptoHasher(algorithmOf(digest))
  await using file = await open(path, 'r+')
  const buffer = Buffer.allocUnsafeSlow(chunk)
  for (let position = 0, n = chunk; n === chunk; position += n) {
    n = await readAt(file.fd, buffer, position)
    hasher.update(buffer.subarray(0, n))
  }
  return hasher.digest('hex') === hexOf(digest) ? await syncAll(file.fd) : undefined
}

/** Clears the bits of pieces that are not in the file, or whose digest nobody stated; returns how many. */
export async function dropWrongPieces(path: string, layout: Layout, have: Bitmap, metainfo: Metainfo): Promise<number> {
  await using file = await open(path, 'r')
  const buffer = Buffer.allocUnsafeSlow(Math.min(layout.pieceLength, layout.size))
  let dropped = 0
  for (const piece of [...have.indexes()]) {
    const bytes = buffer.subarray(0, pieceBytes(layout, piece))
    const n = await readAt(file.fd, bytes, pieceStart(layout, piece))
    if (n === bytes.length && metainfo.verify(piece, bytes)) continue
    have.clear(piece)
    dropped++
  }
  return dropped
}

/** What a file of unknown origin is: a small one that points to other content is a manifest. */
export async function sniff(path: string, size: number): Promise<{ kind: BlobKind; mediaType?: string }> {
  if (size > maxManifestBytes) return { kind: 'blob' }
  const bytes = await Bun.file(path).bytes()
  const { manifests, blobs } = contentsOf(bytes)
  return manifests.length + blobs.length > 0 ? { kind: 'manifest', mediaType: mediaTypeOf(bytes) } : { kind: 'blob' }
}
