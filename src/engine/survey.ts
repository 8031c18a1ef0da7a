/** Reads a file of an engine's from end to end, slowly, to see whether it is what its name says. */
import type { Stats } from 'node:fs'
import { open } from 'node:fs/promises'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import { layoutOf, pieceBytes, pieceStart } from '../piece/layout.ts'
import { type Metainfo, pieceDigest } from '../piece/metainfo.ts'
import type { BorrowedFile } from '../store/borrowed.ts'
import { readAt } from '../store/open-files.ts'

export interface Surveyed {
  readonly file: BorrowedFile
  /** Of pieces that nobody has stated; empty where all are. */
  readonly pieces: readonly { readonly piece: number; readonly digest: Uint8Array }[]
}

/**
 * `wrong`: the file has other bytes. Undefined: it changed or went meanwhile. `stated` are the digests of the pieces of a
 * blob that is here whole: where all are stated they are compared, which costs half of hashing the pieces and the whole.
 * `pace` is awaited after each piece with its length.
 * @throws what reading says
 */
export async function survey(
  path: string,
  digest: Digest,
  stated: Metainfo | undefined,
  pace: (bytes: number) => Promise<void>,
): Promise<Surveyed | 'wrong' | undefined> {
  await using file = await open(path, 'r')
  const before = await file.stat()
  if (!before.isFile()) return undefined
  const layout = layoutOf(before.size)
  const known = stated?.known.complete ? stated : undefined
  const whole = known ? undefined : new Bun.CryptoHasher(algorithmOf(digest))
  const pieces: { piece: number; digest: Uint8Array }[] = []
  const memory = Buffer.allocUnsafeSlow(Math.min(layout.pieceLength, Math.max(1, layout.size)))
  for (let piece = 0; piece < layout.count; piece++) {
    const bytes = memory.subarray(0, pieceBytes(layout, piece))
    if ((await readAt(file.fd, bytes, pieceStart(layout, piece))) < bytes.length) return undefined
    if (known && !known.verify(piece, bytes)) return verdict(await file.stat(), before)
    whole?.update(bytes)
    if (!known) pieces.push({ piece, digest: pieceDigest(bytes) })
    await pace(bytes.length)
  }
  const after = await file.stat()
  if (after.ctimeMs !== before.ctimeMs || after.nlink === 0) return undefined
  if (whole && whole.digest('hex') !== hexOf(digest)) return 'wrong'
  return { file: { path, mtime: Math.floor(after.mtimeMs), changedAt: after.ctimeMs }, pieces }
}

/** Of a file that changed while it was read nothing can be said. */
function verdict(after: Stats, before: Stats): 'wrong' | undefined {
  return after.ctimeMs === before.ctimeMs ? 'wrong' : undefined
}
