/**
 * What a node gives up before it opens anything, whoever runs it: files for others than its user, core dumps, which would
 * have keys and passwords in them, and new privileges. The last two are told to the kernel (prctl(2)); a host on which
 * that is not to be had loses nothing else.
 */
import { FFIType } from 'bun:ffi'
import { cLibrary } from './c-library.ts'

const { i32, u64 } = FFIType

const setDumpable = 4
const setNoNewPrivileges = 38

/** Returns what could not be had, in a sentence for the log; undefined if all could. */
export function harden(): string | undefined {
  // Data, keys and sockets are made for this user alone, also by those who do not think of it, such as SQLite.
  process.umask(0o077)
  if (process.platform !== 'linux') return undefined
  try {
    const { prctl } = cLibrary({ prctl: { args: [i32, u64, u64, u64, u64], returns: i32 } })
    // Neither is dumped nor can be looked into by other processes of its user. Programs it starts can be.
    const dumped = prctl(setDumpable, 0, 0, 0, 0)
    // For this thread and what it starts, such as credential helpers: a setuid bit means nothing to them.
    const privileged = prctl(setNoNewPrivileges, 1, 0, 0, 0)
    return dumped === 0 && privileged === 0 ? undefined : 'the kernel refused: a crash may leave a core dump'
  } catch (error) {
    return `${(error as Error).message}: a crash may leave a core dump`
  }
}
