import type { Command } from 'commander'
import { ConfigError } from '../config/problem.ts'
import { duration, type Size, size } from '../config/values.ts'
import { hostFacts, whyNot } from '../mount/kernel/support.ts'
import { usualDataDir } from '../mount/mounter/api.ts'
import type { Context, ExitCode } from './context.ts'
import { CommandError } from './exit.ts'
import { addMounterFlags } from './mounter-flags.ts'

/** The hidden command that `shoal mount` and the unit of the mounter start: one process of a host. */
export function mounter(program: Command, context: Context, done: (code: ExitCode) => void): void {
  const command = program
    .command('mounter', { hidden: true })
    .description('serve lazy root file systems to this host; shoal mount starts it')
  addMounterFlags(command)
    .option('--data-dir <dir>', 'unpacked layers, and what is written to root file systems', usualDataDir)
    .option('--limit <size>', 'what unpacked layers may take: 20GiB, or a share of what is free and theirs: 50%', '50%')
    .option('--idle <time>', 'end when nothing was mounted for so long; 0 for never', '60s')
    .option('--read-deadline <time>', 'a read whose bytes cannot be had by then fails', '30s')
    .action(async (options: { socket: string; dataDir: string; limit: string; idle: string; readDeadline: string }) => {
      const problem = whyNot(hostFacts())
      if (problem) throw new CommandError(problem)
      // Loaded when it is needed, as a node is.
      const { runMounter } = await import('../mount/mounter/run.ts')
      done(
        await runMounter(
          {
            socket: options.socket,
            dataDir: options.dataDir,
            limit: sizeOf(options.limit),
            idleMs: milliseconds('--idle', options.idle),
            readDeadlineMs: milliseconds('--read-deadline', options.readDeadline),
          },
          context,
        ),
      )
    })
}

/** @throws {ConfigError} */
function sizeOf(text: string): Size {
  const parsed = size.safeParse(text).data
  if (parsed) return parsed
  throw new ConfigError([`--limit "${text}": expected a size such as 20GiB, or a share such as 50%`])
}

/** @throws {ConfigError} */
function milliseconds(flag: string, text: string): number {
  const parsed = duration.safeParse(text).data
  if (parsed !== undefined) return parsed
  throw new ConfigError([`${flag} "${text}": expected a duration such as 30s or 10m`])
}
