/** Reading files again, to see whether they are what they are said to be. One buffer, whatever their size. */
import { open } from 'node:fs/promises'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import { contentsOf, maxManifestBytes, mediaTypeOf } from '../oci/media.ts'
import type { Bitmap } from '../piece/bitmap.ts'
import { type Layout, pieceBytes, pieceStart } from '../piece/layout.ts'
import type { Metainfo } from '../piece/metainfo.ts'
import type { BlobKind } from './blob-store.ts'
import { type readAt, syncAll } from './open-files.ts'
import { unreadable } from './unreadable.ts'

const chunk = 1024 * 1024

/** How files are read, and whether the disk as a whole takes anything. */
export interface Reading {
  readonly read: typeof readAt
  readonly answers: () => Promise<boolean>
}

/**
 * The file's modification time (whole ms) if all of it has the digest; it is then on the disk, too. Throws what the disk
 * says that cannot read it, or did not take it.
 */
export async function wholeSince(path: string, digest: Digest, disk: Reading): Promise<number | undefined> {
  const hasher = new Bun.CryptoHasher(algorithmOf(digest))
  await using file = await open(path, 'r+')
  const buffer = Buffer.allocUnsafeSlow(chunk)
  for (let position = 0, n = chunk; n === chunk; position += n) {
    const said = await unreadable(async () => {
      n = await disk.read(file.fd, buffer, position)
    }, disk.answers)
    if (said) throw said
    hasher.update(buffer.subarray(0, n))
  }
  return hasher.digest('hex') === hexOf(digest) ? await syncAll(file.fd) : undefined
}

/** Clears the bits of pieces that cannot be read from the file, or whose digest nobody stated; returns how many. */
export async function dropWrongPieces(
  path: string,
  layout: Layout,
  have: Bitmap,
  metainfo: Metainfo,
  disk: Reading,
): Promise<number> {
  await using file = await open(path, 'r')
  const buffer = Buffer.allocUnsafeSlow(Math.min(layout.pieceLength, layout.size))
  let dropped = 0
  for (const piece of [...have.indexes()]) {
    const bytes = buffer.subarray(0, pieceBytes(layout, piece))
    let n = 0
    const said = await unreadable(async () => {
      n = await disk.read(file.fd, bytes, pieceStart(layout, piece))
    }, disk.answers)
    if (!said && n === bytes.length && metainfo.verify(piece, bytes)) continue
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
