/**
 * A disk that cannot give back what it was given: EIO for a bad sector, or for rot where btrfs, ZFS or dm-integrity found
 * it; EUCLEAN and EBADMSG for what a file system cannot make sense of; EILSEQ where dm-integrity's own tags are wrong.
 * Such bytes are as good as wrong ones. EMFILE, ENOMEM or EACCES say nothing of the bytes, and are no damage.
 *
 * Nor is it damage when the disk as a whole is gone: its cable, the way to it, the file system after too many errors. Every
 * file gives EIO then, and nothing is lost that will not be there again with the disk; a node that believed each of those
 * errors would forget its whole store within minutes, and write that down as soon as the disk is back. So the disk is
 * asked to take something first. If it does not, nothing is forgotten: who reads hears `no-disk`, and goes elsewhere. If it
 * does, the bytes are read once more, for it may have been away for a moment, and only what it cannot give then is damaged.
 */
import { closeSync, constants, fsync, futimesSync, openSync } from 'node:fs'
import { Failure } from '../failure.ts'
import { codeOf, isDiskFull } from './data-dir.ts'

/** Whether an error of reading is about the bytes, or about a disk that is gone. Never true of a {@link Failure}. */
export function isUnreadable(error: unknown): error is Error {
  return ['EIO', 'EUCLEAN', 'EBADMSG', 'EILSEQ'].includes(codeOf(error))
}

/**
 * Why the disk cannot give what `read` reads; undefined if it could.
 * @throws {Failure} `no-disk` where it gives nothing at all; any other error of `read`
 */
export async function unreadable(
  read: () => Promise<void>,
  answers: () => Promise<boolean>,
): Promise<Error | undefined> {
  let said: Error | undefined
  for (let tries = 0; tries < 2; tries++) {
    try {
      await read()
      return undefined
    } catch (error) {
      said = await damageIn(error, answers)
    }
  }
  return said
}

/** The error, if it is about bytes. @throws {Failure} `no-disk` if it is about the whole disk; the error, if about neither */
export async function damageIn(error: unknown, answers: () => Promise<boolean>): Promise<Error> {
  if (!isUnreadable(error)) throw error
  if (await answers()) return error
  throw new Failure('no-disk', `the disk does not answer: ${error.message}; check that disk`, { cause: error })
}

/**
 * Whether the disk below a folder takes anything. The folder's own time has to go there: that needs no room, and no memory
 * of the kernel's can stand in for the disk. A read-only one takes nothing; what is lost there could not be mended either.
 */
export async function diskAnswers(dir: string): Promise<boolean> {
  let fd: number | undefined
  try {
    fd = openSync(dir, constants.O_RDONLY)
    const now = Date.now() / 1000
    futimesSync(fd, now, now)
    await syncFolder(fd)
    return true
  } catch (error) {
    // One that is full is there.
    return isDiskFull(error)
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

function syncFolder(fd: number): Promise<void> {
  return new Promise((resolve, reject) => fsync(fd, (error) => (error ? reject(error) : resolve())))
}
