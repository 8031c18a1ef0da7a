/**
 * The data directory: made if missing, checked, and locked against a second process. The lock is an SQLite transaction
 * on an empty file, which is a POSIX record lock underneath: the kernel lets go of it however the process ends.
 */
import { Database } from 'bun:sqlite'
import {
  accessSync,
  chmodSync,
  constants,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { userInfo } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { Failure } from '../failure.ts'
import type { Log } from '../telemetry/log.ts'

/** Group and others. */
const others = 0o077

export interface DataDir {
  readonly catalog: string
  readonly spare: string
  readonly blobs: string
  /** Files that are being deleted; what is left there is deleted at the next start. */
  readonly trash: string
  /** What arrives before its digest is known; emptied at each start. */
  readonly spools: string
  unlock(): void
}

/**
 * @throws {Failure} `internal` that says what is wrong with the directory, and the remedy
 */
export function openDataDir(dir: string, log: Log): DataDir {
  const blobs = join(dir, 'blobs')
  const paths = {
    catalog: join(dir, 'shoal.db'),
    spare: join(dir, 'shoal.spare'),
    blobs,
    trash: join(blobs, '.trash'),
    spools: join(blobs, '.spool'),
  }
  try {
    // For this user alone: layers of private images lie here.
    mkdirSync(paths.trash, { recursive: true, mode: 0o700 })
    for (const path of [dir, paths.blobs, paths.trash]) {
      accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK)
    }
    const unlock = lock(dir)
    sweep(dir, log)
    shut(dir, log)
    return { ...paths, unlock }
  } catch (error) {
    throw unusable(dir, error)
  }
}

/** What is wrong with the directory, and the remedy; a {@link Failure} says it already. */
export function unusable(dir: string, error: unknown): Failure {
  if (error instanceof Failure) return error
  const mend = `${remedy(dir, error)}, or choose another --data-dir`
  return new Failure('internal', `cannot use ${dir} for data as ${whoami()}: ${messageOf(error)}; ${mend}`, {
    cause: error,
  })
}

/** What a process that was killed may have left beside what it was making, and damaged catalogs but the last one. */
function sweep(dir: string, log: Log): void {
  const names = readdirSync(dir)
  const stampOf = (name: string) => /^shoal\.db\.damaged-([^-]+-[^-]+-[^-.]+[^-]*)(?:-wal|-shm)?$/.exec(name)?.[1]
  const newest = names.map(stampOf).reduce((last, stamp) => (stamp && stamp > (last ?? '') ? stamp : last), undefined)
  const swept = names.filter((name) => {
    const stamp = stampOf(name)
    return /^node\.key\.\d+$/.test(name) || (stamp !== undefined && stamp !== newest)
  })
  for (const name of swept) rmSync(join(dir, name), { force: true })
  if (swept.length > 0) log.info('deleted what earlier runs had left', { dir, files: swept.join(', ') })
}

/**
 * Names of private images are in the catalog, and layers below `blobs`. Files of an older version may be open to others;
 * a directory that is may have been chosen so, and is only told of.
 */
function shut(dir: string, log: Log): void {
  for (const name of readdirSync(dir)) {
    if (!name.startsWith('shoal.') && name !== 'blobs') continue
    const path = join(dir, name)
    const stat = lstatSync(path)
    const { mode, uid } = stat
    if (stat.isSymbolicLink() || (mode & others) === 0) continue
    if (uid === process.getuid?.() || process.getuid?.() === 0) chmodSync(path, mode & 0o700)
  }
  const { mode } = statSync(dir)
  if ((mode & others) !== 0) {
    const mend = `chmod go= ${dir}`
    log.warn('others than its user may look into the data directory', { dir, mode: (mode & 0o777).toString(8), mend })
  }
}

function lock(dir: string): () => void {
  const pidFile = join(dir, 'shoal.pid')
  const db = new Database(join(dir, 'shoal.lock'), { create: true })
  try {
    // No journal file: nothing is ever written to it.
    db.exec('PRAGMA busy_timeout = 0; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
    writeFileSync(pidFile, `${process.pid}\n`)
  } catch (error) {
    db.close()
    if (codeOf(error) !== 'SQLITE_BUSY') throw error
    throw new Failure(
      'internal',
      `another shoal (pid ${pidIn(pidFile)}) uses ${dir}; stop it or choose another --data-dir`,
    )
  }
  return () => {
    rmSync(pidFile, { force: true })
    db.exec('ROLLBACK')
    db.close()
  }
}

function pidIn(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim() || 'unknown'
  } catch {
    return 'unknown'
  }
}

function remedy(dir: string, error: unknown): string {
  if (isDiskFull(error)) return 'free some space there'
  const code = codeOf(error)
  if (code === 'EROFS') return 'mount it writable'
  const refused = isRefusal(error) || ['SQLITE_CANTOPEN', 'SQLITE_READONLY'].includes(code)
  return (refused ? admission(resolve(dir), error) : undefined) ?? 'make it a directory that this user owns'
}

/** How to let this user in: past a folder above that is shut to it, or to what a node of another user has left there. */
function admission(dir: string, error: unknown): string | undefined {
  const own = process.geteuid?.()
  const usual = ['blobs', 'blobs/.trash', 'shoal.lock', 'shoal.pid'].map((name) => join(dir, name))
  const named = error instanceof Error && 'path' in error ? resolve(String(error.path)) : dir
  const parts = named.startsWith(`${dir}/`) ? [...usual, named] : usual
  try {
    if (lstatSync(dir).uid !== own) return undefined
    const foreign = parts.find((path) => (lstatSync(path, { throwIfNoEntry: false })?.uid ?? own) !== own)
    return foreign && `${foreign} is another user's: chown -R ${own}: ${dir}`
  } catch (error) {
    return codeOf(error) === 'EACCES' ? `let this user enter ${shutAbove(dir)}` : undefined
  }
}

/** The highest folder that cannot be looked into. */
function shutAbove(path: string): string {
  const above = dirname(path)
  try {
    lstatSync(above)
    return above
  } catch {
    return shutAbove(above)
  }
}

function whoami(): string {
  const uid = process.getuid?.() ?? -1
  try {
    // The runtime takes the name from $USER, and says "unknown" where a service manager sets none.
    const { username } = userInfo()
    return username === 'unknown' ? `uid ${uid}` : `user ${username} (uid ${uid})`
  } catch {
    return `uid ${uid}`
  }
}

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

/** This user may not do that there. */
export function isRefusal(error: unknown): boolean {
  return ['EACCES', 'EPERM'].includes(codeOf(error))
}

export function isDiskFull(error: unknown): boolean {
  const code = codeOf(error)
  return code === 'ENOSPC' || code === 'EDQUOT'
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
