/** A disk with bad sectors, and one that is gone: what reading says is made up, the files are real. */
import { readlinkSync } from 'node:fs'
import { readAt } from '../../src/store/open-files.ts'

export class BadDisk {
  /** Bytes of files that it cannot read, by the end of the path. */
  bad: { readonly file: string; readonly at: number }[] = []
  /** As errors are numbered by the kernel. */
  code = 'EIO'
  gone = false
  /** How many reads it still refuses; without end by default. */
  times = Number.POSITIVE_INFINITY

  readonly read = async (fd: number, into: Uint8Array, position: number): Promise<number> => {
    const path = readlinkSync(`/proc/self/fd/${fd}`)
    const hit = this.bad.some(
      ({ file, at }) => path.endsWith(file) && at >= position && at < position + Math.max(1, into.length),
    )
    if ((hit || this.gone) && this.times-- > 0) throw errorOf(this.code)
    return readAt(fd, into, position)
  }

  readonly answers = async (): Promise<boolean> => !this.gone
}

export function errorOf(code: string, syscall = 'read'): Error {
  return Object.assign(new Error(`${code}: ${syscall}`), { code, syscall })
}
