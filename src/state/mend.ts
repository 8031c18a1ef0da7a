/** What to do about a file that SQLite or the system refuses: for the end of a message, empty where nobody knows. */
import { statSync } from 'node:fs'
import { isDamage } from '../store/catalog.ts'
import { codeOf } from '../store/data-dir.ts'

export function mendOf(path: string, error: unknown): string {
  if (isDamage(error)) {
    return `; end the node, move ${path}* away, put a backup there if you have one, and start it again: what other seeds know comes back`
  }
  const code = codeOf(error)
  if (code === 'EROFS') return '; mount it writable'
  if (!/^(?:EACCES|EPERM|SQLITE_CANTOPEN|SQLITE_READONLY)/.test(code)) return ''
  const own = process.geteuid?.()
  // A backup that root has put there.
  const foreign = ['', '-wal', '-shm'].map((end) => path + end).find((file) => (ownerOf(file) ?? own) !== own)
  return foreign ? `; ${foreign} is another user's: chown ${own}: ${path}*` : ''
}

function ownerOf(path: string): number | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })?.uid
  } catch {
    return undefined
  }
}
