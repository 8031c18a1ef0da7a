/** From whatever a command throws to what is printed and the exit code: the one place that knows both. */
import { CommanderError } from 'commander'
import { ConfigError } from '../config/problem.ts'
import type { Context, ExitCode } from './context.ts'

/** A command could not do its work; the message is one sentence for the operator, with the remedy. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}

/** By which flag a command is told of another place for what it writes. */
const placeFlags: Readonly<Record<string, string>> = {
  up: '--data-dir',
  mounter: '--data-dir',
  snapshotter: '--data-dir',
  get: '--output',
}

/** Prints the error of `command` unless commander did. `stack`: also where it came from. */
export function report(
  error: unknown,
  context: Pick<Context, 'err'>,
  command: string | undefined,
  stack = false,
): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  if (error instanceof ConfigError) {
    for (const problem of error.problems) context.err(`shoal: ${problem}`)
    return 2
  }
  context.err(`shoal: ${explain(error, placeFlags[command ?? ''])}`)
  if (stack && error instanceof Error) context.err(Bun.inspect(error))
  return 1
}

/** System errors say "EACCES: permission denied, mkdir '/var/lib/shoal'"; people are told what to do. */
function explain(error: unknown, flag: string | undefined): string {
  if (!(error instanceof Error)) return String(error)
  const path = 'path' in error && typeof error.path === 'string' ? error.path : undefined
  const code = 'code' in error ? error.code : undefined
  const elsewhere = flag === undefined ? '' : `, or choose another place with ${flag}`
  if (path && (code === 'EACCES' || code === 'EPERM')) {
    return `this user may not use ${path}; run as root${flag === undefined ? ' or' : ','} change who owns it${elsewhere}`
  }
  if (path && code === 'EROFS') return `${path} is on a read-only file system; make that writable${elsewhere}`
  if (path && (code === 'ENOTDIR' || (code === 'EEXIST' && 'syscall' in error && error.syscall === 'mkdir'))) {
    return `${path} cannot be made: part of the path is a file${flag === undefined ? '' : `; choose another ${flag}`}`
  }
  if (code === 'ENOSPC') return `there is no space left${path ? ` for ${path}` : ''}; free some${elsewhere}`
  return error.message.replaceAll('\n', ' ')
}
