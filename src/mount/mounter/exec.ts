/** Turning into another program with the same process number, and what goes on in it. */
import { ptr } from 'bun:ffi'
import { readlinkSync } from 'node:fs'
import { cString, errno, keepOnExec, libc, systemError } from '../../fuse/libc.ts'

/** Descriptors that the program before kept: `fuse=12,lock=13`. */
const variable = 'SHOAL_MOUNTER_KEPT'

export interface Kept {
  readonly fuse: number
  readonly lock: number
}

/** What the program before this one, in the same process, left; undefined where there was none. */
export function keptFrom(variables: Readonly<Record<string, string | undefined>>): Kept | undefined {
  const found = /^fuse=(\d+),lock=(\d+)$/.exec(variables[variable] ?? '')
  if (!found) return undefined
  const kept = { fuse: Number(found[1]), lock: Number(found[2]) }
  // Children have no business with them.
  for (const fd of [kept.fuse, kept.lock]) keepOnExec(fd, false)
  return kept
}

/** The file of the program that runs, as it is now: another version may have taken its place. */
export function installedProgram(): string {
  return readlinkSync('/proc/self/exe').replace(/ \(deleted\)$/, '')
}

/** This very program, also when its file is gone or has become another one. */
const itself = '/proc/self/exe'

/**
 * Becomes the program that `command` begins with, or itself anew where the kernel does not start that. Does not return.
 * @param instead told why it is itself
 * @throws when the kernel starts neither
 */
export function turnInto(command: readonly string[], kept: Kept, instead: (error: Error) => void): never {
  const variables = { ...process.env, [variable]: `fuse=${kept.fuse},lock=${kept.lock}` }
  const texts = (all: readonly string[]) => all.map(cString)
  const [args, environment] = [
    texts(command),
    texts(Object.entries(variables).map(([key, value]) => `${key}=${value}`)),
  ]
  const list = (all: readonly Uint8Array[]) => new BigUint64Array([...all.map((text) => BigInt(ptr(text))), 0n])
  const [argList, environmentList] = [list(args), list(environment)]
  for (const fd of [kept.fuse, kept.lock]) keepOnExec(fd, true)
  const start = (program: Uint8Array, name: string): Error => {
    libc().execve(ptr(program), ptr(argList), ptr(environmentList))
    return systemError(errno(), `start ${name}`)
  }
  instead(start(args[0]!, command[0]!))
  throw start(cString(itself), itself)
}
