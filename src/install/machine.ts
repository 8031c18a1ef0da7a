/** The host as an installation finds and changes it. Files are put in place whole, by a rename. */
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fchownSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { asideOf, intoPlace, removeLeftovers } from '../aside.ts'
import { accountIn } from './account.ts'
import { ownData, places } from './places.ts'
import type { Systemd } from './plan.ts'
import { type Running, resting, runningOf, shown } from './running.ts'
import type { Step } from './step.ts'
import type { Folder } from './way-in.ts'

export interface Machine {
  readonly systemd: Systemd
  /** The file of the program that runs. */
  readonly program: string
  /** The path as this process has it. */
  at(path: string): string
  exists(path: string): boolean
  /** Undefined: it is not there. */
  read(path: string): string | undefined
  /** Undefined: it is not there. */
  names(directory: string): string[] | undefined
  /** Undefined: it is not there. */
  folder(path: string): Folder | undefined
  sameFile(one: string, other: string): boolean
  unit(name: string): Running
  /** Words that a process was started with; none: it is not there. */
  commandOf(pid: number): string[]
  /** The node that has this data directory. */
  nodeOn(dataDir: string): number | undefined
  /** @throws {Error} with one sentence */
  carryOut(step: Step): void
}

export interface Calls {
  readonly intoPlace: (aside: string, path: string) => void
  /** Ms since 1970. */
  readonly now: () => number
}

/** `root`: the folder that stands for `/`, in tests. */
export function machineAt(root = '/', calls: Calls = { intoPlace, now: Date.now }): Machine {
  const at = (path: string) => join(root, path)
  const read = (path: string) => (existsSync(at(path)) ? readFileSync(at(path), 'utf8') : undefined)
  const systemd = existsSync(at('/run/systemd/system'))
    ? 'running'
    : ['/usr/bin/systemctl', '/bin/systemctl'].some((path) => existsSync(at(path)))
      ? 'present'
      : 'absent'
  return {
    systemd,
    program: '/proc/self/exe',
    at,
    exists: (path) => existsSync(at(path)),
    read,
    names: (directory) => (existsSync(at(directory)) ? readdirSync(at(directory)).sort() : undefined),
    folder: (path) => folderAt(at(path)),
    sameFile: (one, other) => existsSync(at(other)) && sameBytes(one, at(other)),
    unit: (name) => {
      if (systemd !== 'running') return resting
      return runningOf(Bun.spawnSync(shown(name)).stdout.toString(), at(places.binary))
    },
    commandOf,
    nodeOn: (dataDir) => {
      const pid = Number(read(join(dataDir, 'shoal.pid')) ?? Number.NaN)
      // After a crash of the host the number may be another's, which was not started as a node is.
      return commandOf(pid).includes('up') ? pid : undefined
    },
    carryOut: (step) => carryOut(step, at, calls),
  }
}

function folderAt(path: string): Folder | undefined {
  const found = statSync(path, { throwIfNoEntry: false })
  return found && { mode: found.mode & 0o7777, uid: found.uid, gid: found.gid }
}

function sameBytes(one: string, other: string): boolean {
  if (statSync(one).size !== statSync(other).size) return false
  return Buffer.compare(readFileSync(one), readFileSync(other)) === 0
}

function carryOut(step: Step, at: (path: string) => string, calls: Calls): void {
  switch (step.do) {
    case 'binary':
      return put(at(step.path), calls, (aside) => {
        copyFileSync('/proc/self/exe', aside)
        chmodSync(aside, 0o755)
      })
    case 'write':
      return put(at(step.path), calls, (aside) => {
        writeFileSync(aside, step.text)
        chmodSync(aside, 0o644)
      })
    case 'copy':
      return copy(step, at, calls)
    case 'directory':
      makeFolder(at(step.path), step.owner ? 0o700 : 0o755)
      if (step.owner) giveData(at(step.path), ...idsOf(step.owner, at))
      return
    case 'let-in':
      return letIn(step, at)
    case 'remove':
      return rmSync(at(step.path), { recursive: true, force: true })
    case 'remove-directory':
      return removeDirectory(at(step.path))
    case 'disown':
      return disown(step, at)
    case 'end-mounter':
      return endMounter(step.pid)
    case 'run':
      return run(step.command, step.mayFail ?? false)
  }
}

/** With those above it that are missing, through which whoever it is for gets in. Whatever the umask of this shell is. */
function makeFolder(path: string, mode: number): void {
  const first = mkdirSync(path, { recursive: true })
  if (first === undefined) return
  chmodSync(path, mode)
  for (let above = dirname(path); above.length >= first.length; above = dirname(above)) chmodSync(above, 0o755)
}

/** The data directory, and what a node that ran as another user has left there; what is not shoal's own stays as it is. */
function giveData(path: string, uid: number, gid: number): void {
  const folder = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    fchownSync(folder, uid, gid)
    for (const name of readdirSync(insideOf(folder))) if (ownData.test(name)) give(folder, name, uid, gid)
  } finally {
    closeSync(folder)
  }
}

/**
 * With all that is in it, and never through a link. By the open folder and not by its path: who owns a folder already
 * could put a link to another place into the path meanwhile.
 */
function give(parent: number, name: string, uid: number, gid: number): void {
  const path = join(insideOf(parent), name)
  try {
    if (!lstatSync(path).isDirectory()) return lchownSync(path, uid, gid)
    const folder = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
    try {
      for (const inside of readdirSync(insideOf(folder))) give(folder, inside, uid, gid)
      fchownSync(folder, uid, gid)
    } finally {
      closeSync(folder)
    }
  } catch (error) {
    // The service may run, and have removed it meanwhile.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

const insideOf = (folder: number) => `/proc/self/fd/${folder}`

/** A binary that runs cannot be written to; one that is renamed over stays what it was for whoever runs it. */
function put(path: string, calls: Calls, make: (aside: string) => void): void {
  mkdirSync(dirname(path), { recursive: true })
  removeLeftovers(path, calls.now())
  const aside = asideOf(path)
  try {
    make(aside)
    calls.intoPlace(aside, path)
  } catch (error) {
    rmSync(aside, { force: true })
    throw error
  }
}

function copy({ from, path, group }: Extract<Step, { do: 'copy' }>, at: (path: string) => string, calls: Calls): void {
  const secret = (file: string) => {
    chmodSync(file, group ? 0o640 : 0o600)
    if (group) chownSync(file, 0, idsOf(group, at)[1])
  }
  if (from === path) return secret(at(path))
  // With all that makes it readable: one that is in its place is not copied again.
  put(at(path), calls, (aside) => {
    copyFileSync(from, aside)
    secret(aside)
  })
}

/** The group first: a mode with bits for it is not for the group before. */
function letIn({ path, mode, group }: Extract<Step, { do: 'let-in' }>, at: (path: string) => string): void {
  if (group) chownSync(at(path), statSync(at(path)).uid, idsOf(group, at)[1])
  chmodSync(at(path), mode)
}

function disown({ path, user }: Extract<Step, { do: 'disown' }>, at: (path: string) => string): void {
  const found = folderAt(at(path))
  if (!found) return
  const [uid, gid] = idsOf(user, at)
  chownSync(at(path), found.uid === uid ? 0 : found.uid, found.gid === gid ? 0 : found.gid)
}

/** User and group of that user. @throws {Error} when there is none */
function idsOf(user: string, at: (path: string) => string): [number, number] {
  const account = accountIn(readFileSync(at(places.users), 'utf8'), user)
  if (!account) throw new Error(`there is no user ${user} in ${places.users}`)
  return [account.uid, account.gid]
}

/** Where a disk is mounted there is nothing to remove. */
function removeDirectory(path: string): void {
  try {
    rmdirSync(path)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EBUSY')) throw error
  }
}

function commandOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1)
  } catch {
    return []
  }
}

/** As long as its unit would be given. */
const endsWithinMs = 40_000

function endMounter(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM')
  } catch (error) {
    // It does so by itself when it was idle for a while.
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return
    throw error
  }
  for (let waited = 0; existsSync(`/proc/${pid}/exe`); waited += 50) {
    if (waited >= endsWithinMs) {
      throw new Error(`the mounter (process ${pid}) does not end: end it, and run this again for the rest`)
    }
    Bun.sleepSync(50)
  }
}

function run(command: readonly string[], mayFail: boolean): void {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { stdin: 'ignore' })
  if (exitCode === 0 || mayFail) return
  const said = `${stderr}${stdout}`.trim().replaceAll(/\s+/g, ' ')
  throw new Error(`${command.join(' ')} failed${said ? `: ${said}` : ''}`)
}
