/** What settings depend on besides what was written down: an argument, so that loading stays a function. */
import { accessSync, existsSync, lstatSync, readdirSync, readFileSync, statfsSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'

export interface Space {
  /** Bytes that an unprivileged writer could still write on the file system of the data directory. */
  readonly free: number
  /** Bytes of disk that the store of this node takes already. */
  readonly held: number
}

export interface Host {
  readonly root: boolean
  readonly home: string
  /** Where a service manager wants data and finds secrets for a service; absent: this is none. */
  readonly service?: { readonly state?: string; readonly credentials?: string }
  /** Standard error is a terminal. */
  readonly terminal: boolean
  /** Colours are welcome there. */
  readonly color: boolean
  exists(path: string): boolean
  /** Nothing is there, and that is sure: what this user is kept from looking at may be there. */
  absent(path: string): boolean
  /** The whole file as text; throws as node:fs does. */
  read(path: string): string
  /** The directory need not exist yet. */
  space(dataDir: string): Space
}

export const thisHost: Host = {
  root: process.getuid?.() === 0,
  home: homedir(),
  service: serviceOf(process.env),
  terminal: process.stderr.isTTY === true,
  // no-color.org: any value but an empty one says no.
  color: process.stderr.isTTY === true && !process.env.NO_COLOR,
  exists: existsSync,
  absent,
  read: (path) => readFileSync(path, 'utf8'),
  space(dataDir) {
    let there = dataDir
    while (!existsSync(there) && dirname(there) !== there) there = dirname(there)
    const { bavail, bsize } = statfsSync(there)
    return { free: bavail * bsize, held: bytesBelow(join(dataDir, 'blobs')) + bytesBelow(dataDir, /^shoal\./) }
  },
}

function absent(path: string): boolean {
  try {
    statSync(path)
    return false
  } catch (error) {
    return ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')
  }
}

/** systemd.exec(5): the variables of StateDirectory= and LoadCredential=; of several directories the first is meant. */
export function serviceOf({ STATE_DIRECTORY, CREDENTIALS_DIRECTORY }: Readonly<Record<string, string | undefined>>) {
  const state = STATE_DIRECTORY?.split(':')[0]
  return {
    ...(state ? { state } : {}),
    ...(CREDENTIALS_DIRECTORY ? { credentials: CREDENTIALS_DIRECTORY } : {}),
  }
}

/** Blocks, not lengths: files of blobs are sparse while incomplete. What cannot be read counts as nothing. */
function bytesBelow(directory: string, named = /./): number {
  try {
    accessSync(directory)
    return readdirSync(directory, { withFileTypes: true }).reduce((sum, entry) => {
      if (!named.test(entry.name)) return sum
      const path = join(directory, entry.name)
      return sum + (entry.isDirectory() ? bytesBelow(path) : lstatSync(path).blocks * 512)
    }, 0)
  } catch {
    return 0
  }
}
