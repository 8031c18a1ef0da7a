/** The journal of systemd as standard error: it takes a priority at the start of a line, and leaves it out of what it keeps. */
import { fstatSync } from 'node:fs'
import type { LogLevel } from './log.ts'

/** sd-daemon(3): those of syslog, by which `journalctl --priority` chooses. */
export const priorities: Readonly<Record<LogLevel, string>> = { debug: '<7>', info: '<6>', warn: '<4>', error: '<3>' }

/**
 * Whether standard error is the journal's. systemd.exec(5): JOURNAL_STREAM is `device:inode` of its stream, and is
 * inherited by programs whose standard error is another.
 */
export function toJournal(): boolean {
  const named = process.env.JOURNAL_STREAM
  if (named === undefined) return false
  const { dev, ino } = fstatSync(2)
  return named === `${dev}:${ino}`
}
