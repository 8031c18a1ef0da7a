/** One mounter for its places: a lock that ends with the process that holds it, however it ends. */
import { errno, libc, openFile, systemError } from '../../fuse/libc.ts'

const create = 0o100
const readWrite = 2
const exclusive = 2
const notWaiting = 4
const wouldBlock = 11

/** The descriptor that holds it; undefined when another process does. */
export function lockFile(path: string): number | undefined {
  const fd = openFile(path, create | readWrite, 0o600)
  if (libc().flock(fd, exclusive | notWaiting) === 0) return fd
  const failed = errno()
  libc().close(fd)
  if (failed !== wouldBlock) throw systemError(failed, `lock ${path}`)
  return undefined
}
