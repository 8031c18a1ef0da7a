/**
 * Files that hold secrets: keys, tokens, logins. Who else may read one is told at every start, and when the file was
 * changed, with the command that mends it.
 *
 * Told, and not refused as ssh does: the secret is as well known as it was before, and a node that does not start for it
 * leaves its host to the registry. In the middle of a change of the cluster's key it would be worse: copied to a hundred
 * hosts by somebody whose umask is the usual one, the file would cut the cluster into nodes that have read it and nodes
 * that have not. The group may read: that is how a service that is not root is given a file of root's.
 */
import { statSync } from 'node:fs'
import type { Log } from '../telemetry/log.ts'

const groupWrites = 0o020
const others = 0o007
const othersWrite = 0o002

/** What is wrong with a mode for a secret, and what to give chmod(1) for it; undefined if nothing. Pure. */
export function exposure(mode: number): { readonly what: string; readonly chmod: string } | undefined {
  const writable = (mode & (groupWrites | othersWrite)) !== 0
  if ((mode & others) === 0 && !writable) return undefined
  const chmod = [...((mode & groupWrites) === 0 ? [] : ['g-w']), ...((mode & others) === 0 ? [] : ['o='])].join(',')
  return { what: `others than its owner may ${writable ? 'change' : 'read'} it`, chmod }
}

/** Undefined for a file that is not there, or that this process cannot look at: whoever reads it says so. */
export function modeOf(path: string): number | undefined {
  try {
    return statSync(path).mode
  } catch {
    return undefined
  }
}

export function tellExposed(path: string, log: Log): void {
  const mode = modeOf(path)
  const wrong = mode === undefined ? undefined : exposure(mode)
  if (wrong)
    log.warn('a file with a secret in it is open', {
      file: path,
      what: wrong.what,
      mend: `chmod ${wrong.chmod} ${path}`,
    })
}
