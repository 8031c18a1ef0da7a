/**
 * Carries out {@link Call}s in this very process; only the short-lived child does. Mounts are made by fsopen(2) and its
 * siblings: options have no common limit of a page, as those of mount(2) have (an image may have 127 layers), and the
 * kernel says in words what it does not like.
 */
import { ptr } from 'bun:ffi'
import { closeSync, openSync, readdirSync, realpathSync, statSync } from 'node:fs'
import { cString, directAlignment, errno, errnos, libc } from '../../fuse/libc.ts'
import { type Call, type Outcome, overlaidStep, type Seen } from './calls.ts'
import { makeAlike, makeFolders } from './implied-folders.ts'
import { readAheads } from './read-ahead.ts'

/** The same on all machines. */
const numbers = { moveMount: 429, fsopen: 430, fsconfig: 431, fsmount: 432 } as const
const command = { flag: 0, string: 1, create: 6 } as const
const closeOnExec = 1
const here = -100
const emptyFrom = 4
const detach = 2

export function carryOut(call: Call): Outcome {
  switch (call.do) {
    case 'mount':
      return mount(call)
    case 'unmount': {
      const path = cString(call.target)
      const failed = libc().umount2(ptr(path), call.lazy ? detach : 0) !== 0
      return { errno: failed ? errno() : 0, said: [] }
    }
    case 'look':
      return { errno: 0, said: [], seen: look(call.path) }
    case 'overlaid':
      return overlaid(call)
    case 'folders':
      return working(() => ({ errno: 0, said: [], made: makeFolders(call) }))
    case 'alike':
      return working(() => {
        makeAlike(call.like, call.folder)
        return { errno: 0, said: [] }
      })
  }
}

function mount({ type, options, device, onDisk, flags, target }: Extract<Call, { do: 'mount' }>): Outcome {
  return configured(type, options, (context, failed) => {
    // Since Linux 6.13; a kernel that does not know it reads through the page cache, twice.
    if (device !== undefined && onDisk && canBeDirect(device))
      system(numbers.fsconfig, context, command.flag, cString('directio'), 0, 0)
    const before = new Set(device === undefined ? [] : readAheads())
    if (system(numbers.fsconfig, context, command.create, 0, 0, 0) < 0) return failed(`make ${type}`)
    const made = system(numbers.fsmount, context, closeOnExec, flags)
    if (made < 0) return failed(`mount ${type}`)
    try {
      const empty = cString('')
      if (system(numbers.moveMount, made, empty, here, cString(target), emptyFrom) < 0)
        return failed(`mount at ${target}`)
    } finally {
      libc().close(made)
    }
    const fresh = device === undefined ? [] : readAheads().filter((name) => !before.has(name))
    return { errno: 0, said: [], ...(fresh.length === 1 ? { readAhead: fresh[0] } : {}) }
  })
}

/** It is asked for with an index, which the kernel makes for folders that nobody else writes to, and for no others. */
function overlaid({ upper, work, lower }: Extract<Call, { do: 'overlaid' }>): Outcome {
  const options: [string, string][] = [
    ['lowerdir+', lower],
    ['upperdir', upper],
    ['workdir', work],
    ['index', 'on'],
  ]
  return configured('overlay', options, (context, failed) =>
    system(numbers.fsconfig, context, command.create, 0, 0, 0) < 0 ? failed(overlaidStep) : { errno: 0, said: [] },
  )
}

/** Of a file system that is about to be made; `failed` says of the last call why it failed. */
function configured(
  type: string,
  options: readonly (readonly [string] | readonly [string, string])[],
  make: (context: number, failed: (step: string) => Outcome) => Outcome,
): Outcome {
  const context = system(numbers.fsopen, cString(type), closeOnExec)
  if (context < 0) return { errno: errno(), step: `open ${type}`, said: [] }
  const failed = (step: string): Outcome => {
    // Before the messages are read, which ends in an error of its own.
    const number = errno()
    return { errno: number, step, said: messagesOf(context) }
  }
  try {
    for (const [key, value] of options) {
      const kind = value === undefined ? command.flag : command.string
      const given = value === undefined ? 0 : cString(value)
      if (system(numbers.fsconfig, context, kind, cString(key), given, 0) < 0) {
        return failed(value === undefined ? key : `${key}=${value}`)
      }
    }
    return make(context, failed)
  } finally {
    // A child that goes on would keep alive what was made and not mounted.
    libc().close(context)
  }
}

function working(work: () => Outcome): Outcome {
  try {
    return work()
  } catch (error) {
    const number = Math.abs((error as NodeJS.ErrnoException).errno ?? errnos.EIO)
    return { errno: number, step: (error as Error).message, said: [] }
  }
}

/** EROFS reads in blocks of 512 bytes; a disk with larger sectors would refuse them. */
function canBeDirect(path: string): boolean {
  const fd = openSync(path, 'r')
  try {
    const alignment = directAlignment(fd)
    return alignment !== undefined && alignment <= 512
  } finally {
    closeSync(fd)
  }
}

function system(number: number, ...args: (number | Uint8Array)[]): number {
  const [a = 0, b = 0, c = 0, d = 0, e = 0] = args.map((value) => (typeof value === 'number' ? value : ptr(value)))
  return Number(libc().syscall(number, a, b, c, d, e, 0))
}

/** The kernel keeps the last few; each read gives one, such as `e overlay: maximum fs stacking depth exceeded`. */
function messagesOf(context: number): string[] {
  const room = new Uint8Array(1024)
  const said: string[] = []
  while (said.length < 8) {
    const length = Number(libc().read(context, ptr(room), room.length))
    if (length <= 0) break
    said.push(
      new TextDecoder()
        .decode(room.subarray(0, length))
        .replace(/^[ewi] /, '')
        .trim(),
    )
  }
  return said
}

function look(path: string): Seen {
  try {
    const real = realpathSync(path)
    const found = statSync(real)
    const directory = found.isDirectory()
    return {
      kind: directory ? 'directory' : 'other',
      real,
      empty: directory && readdirSync(real).length === 0,
      mode: found.mode & 0o7777,
      uid: found.uid,
      gid: found.gid,
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // A mount whose server is gone says so to whoever looks.
    return { kind: code === 'ENOENT' ? 'nothing' : 'broken', real: path, empty: false, mode: 0, uid: 0, gid: 0 }
  }
}
