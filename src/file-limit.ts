/**
 * How many files, sockets among them, this process may have open, and what it gives up before it has too many. At the
 * limit a server cannot even refuse: the kernel keeps who comes waiting, and a runtime that is told of them again and
 * again does nothing else. The runtime has raised the limit to the hard one by itself.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { type Clock, every } from './clock.ts'
import type { Log } from './telemetry/log.ts'
import { Seldom } from './telemetry/seldom.ts'

/** A thousand clients, each with a connection and a file, some hundred peers, and the store's own. */
export const enoughFiles = 8192

/** Of all that may be open, connections of one kind of client; each has another file open behind it. */
const shareOfClients = 1 / 4
const lookEveryMs = 2_000

/** Undefined where the system does not tell. */
export function fileLimit(limits = limitsOf()): number | undefined {
  const soft = /^Max open files +(\d+|unlimited)/m.exec(limits)?.[1]
  if (soft === undefined) return undefined
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft)
}

/** How many of `most` connections a port may take with so many files. */
export function connectionsFor(most: number, files: number | undefined): number {
  return Math.max(16, Math.min(most, Math.floor((files ?? enoughFiles) * shareOfClients)))
}

/** Files of this process that are open; 0 where the system does not tell. */
export function openFiles(): number {
  try {
    // Since Linux 6.2 the folder's size is the number; before, it was 0.
    return statSync('/proc/self/fd').size || readdirSync('/proc/self/fd').length
  } catch {
    return 0
  }
}

export interface FileWatchInit {
  readonly clock: Clock
  readonly log: Log
  readonly limit: number | undefined
  readonly open: () => number
  /** Closes connections that rest between requests. */
  readonly relieve: () => void
}

/** Has resting connections closed while three quarters of what may be open is. The result ends it. */
export function watchFiles({ clock, log, limit, open, relieve }: FileWatchInit): () => void {
  if (limit === undefined) return () => {}
  if (limit < enoughFiles) {
    log.warn(`this process may have ${limit} files open; raise LimitNOFILE of its unit, or ulimit -n`, {
      enough: enoughFiles,
    })
  }
  const seldom = new Seldom(clock)
  return every(clock, lookEveryMs, () => {
    const now = open()
    if (now < (limit * 3) / 4) return
    relieve()
    const fields = { open: now, limit, left: open() }
    seldom.tell('files', (others) =>
      log.warn('many files are open: closed connections that rest', { ...fields, ...others }),
    )
  })
}

/** What the kernel says of a process; nothing where it is not to be had. */
export function limitsOf(pid: number | 'self' = 'self'): string {
  try {
    return readFileSync(`/proc/${pid}/limits`, 'utf8')
  } catch {
    return ''
  }
}
