/**
 * Blobs that are read from files of another program, an engine that keeps the same content: one copy for the two of them.
 * Such a file is never written or deleted here, whoever finds it wrong; it may go at any moment, and the blob with it.
 */
import { lstatSync, type Stats } from 'node:fs'
import { open } from 'node:fs/promises'
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import { pieceBytes, pieceStart } from '../piece/layout.ts'
import type { Blob, BlobSpec } from './blob-store.ts'
import { codeOf } from './data-dir.ts'
import { syncAll, writeAt } from './open-files.ts'

/** A file as it was right before all of it was read, and seen to be the blob. */
export interface BorrowedFile {
  readonly path: string
  /** Whole ms. */
  readonly mtime: number
  /** When anything of it last changed, in ms: nobody can set that back. */
  readonly changedAt: number
}

/** What a store does with such files. */
export interface Borrower {
  /**
   * Has the blob read from `file` from now on, and deletes the store's own one. Undefined if that is not possible now:
   * somebody uses the blob, or it is not whole and on the disk. One that the store does not know is whole then.
   */
  borrow(spec: BlobSpec, file: BorrowedFile): Blob | undefined
  /**
   * Copies the blob into a file of the store's own, every piece checked, and reads it there from then on. False if it is
   * not a borrowed one, or became none meanwhile.
   * @throws {Failure} `no-space`, and what reading it says
   */
  takeBack(digest: Digest): Promise<boolean>
  /** The blob is gone at once, also for those who read it: they go on elsewhere. False if it is not a borrowed one. */
  giveBack(digest: Digest, reason: string): boolean
}

/** Writes all of it to a new file at `path`; resolves to the file's time of modification once it is on the disk. */
export async function copyTo(path: string, blob: Blob): Promise<number> {
  await using file = await open(path, 'wx', 0o600)
  const memory = new Uint8Array(Math.min(blob.layout.pieceLength, Math.max(1, blob.size)))
  for (let piece = 0; piece < blob.layout.count; piece++) {
    if (!(await blob.check(piece, memory))) throw new Failure('corrupt', `piece ${piece} of ${blob.path} is wrong`)
    await writeAt(file.fd, memory.subarray(0, pieceBytes(blob.layout, piece)), pieceStart(blob.layout, piece))
  }
  return await syncAll(file.fd)
}

/** What an open says when the other program has taken the file away, or shut the way to it. */
export function isAway(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'ESTALE'].includes(codeOf(error))
}

/** The file is there, and the one that was noted. */
export function isUnchanged(path: string, { size, mtime }: { readonly size: number; readonly mtime: number | null }) {
  let stat: Stats | undefined
  try {
    stat = lstatSync(path, { throwIfNoEntry: false })
  } catch {
    // It lies where this user may not look any more.
    return false
  }
  return stat?.isFile() === true && stat.size === size && Math.floor(stat.mtimeMs) === mtime
}
