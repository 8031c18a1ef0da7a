/**
 * The data directory: made if missing, checked, and locked against a second process. The lock is an SQLite transaction
 * on an empty file, which is a POSIX record lock underneath: the kernel lets go of it however the process ends.
 */
import { Database } from 'bun:sqlite'
import { accessSync, constants, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { Failure } from '../failure.ts'

export interface DataDir {
  readonly catalog: string
  readonly spare: string
  readonly blobs: string
  /** Files that are being deleted; what is left there is deleted at the next start. */
  readonly trash: string
  unlock(): void
}

/** @throws {Failure} `internal` that says what is wrong with the directory, and the remedy */
export function openDataDir(dir: string): DataDir {
  const blobs = join(dir, 'blobs')
  const paths = { catalog: join(dir, 'shoal.db'), spare: join(dir, 'shoal.spare'), blobs, trash: join(blobs, '.trash') }
  try {
    // For this user alone: layers of private images lie here.
    mkdirSync(paths.trash, { recursive: true, mode: 0o700 })
    for (const path of [dir, paths.blobs, paths.trash]) {
      accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK)
    }
    return { ...paths, unlock: lock(dir) }
  } catch (error) {
    if (error instanceof Failure) throw error
    throw new Failure('internal', `cannot use ${dir} for data as ${whoami()}: ${messageOf(error)}; ${remedy(error)}`, {
      cause: error,
    })
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

function remedy(error: unknown): string {
  if (isDiskFull(error)) return 'free some space there or choose another --data-dir'
  if (codeOf(error) === 'EROFS') return 'mount it writable or choose another --data-dir'
  return 'make it a directory that this user owns, or choose another --data-dir'
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

export function isDiskFull(error: unknown): boolean {
  const code = codeOf(error)
  return code === 'ENOSPC' || code === 'EDQUOT'
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
