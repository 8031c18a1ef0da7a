/**
 * What lets the service into a folder that others than `shoal install` made: with a umask such as 077 it is shut to the
 * service's user, who has to enter it, and no more than that. Pure.
 */
import type { Account } from './account.ts'

export interface Folder extends Account {
  readonly mode: number
}

export interface WayIn {
  readonly mode: number
  /** It is to be the service's group that has it. */
  readonly group: boolean
}

/** `service`: whom it runs as, where there is that user yet. Undefined: it can enter. */
export function wayIn({ mode, uid, gid }: Folder, service: Account | undefined): WayIn | undefined {
  const needed = uid === service?.uid ? 0o100 : gid === service?.gid ? 0o010 : 0o001
  if ((mode & needed) !== 0) return undefined
  if (needed !== 0o001) return { mode: mode | needed, group: false }
  // Root's group has no need of what its bits say. People of another group keep what they have, so all may enter then.
  const free = gid === 0 || (mode & 0o070) === 0
  return free ? { mode: (mode & ~0o070) | 0o010, group: true } : { mode: mode | 0o001, group: false }
}
