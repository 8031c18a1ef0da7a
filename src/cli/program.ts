/** The command line: every command, and the way from arguments to an exit code. */
import { Command } from 'commander'
import { buildInfo } from '../build-info.ts'
import { completions } from './completions.ts'
import type { Context, ExitCode } from './context.ts'
import { report } from './exit.ts'
import { help } from './help.ts'

type Adding = (program: Command, context: Context, done: (code: ExitCode) => void) => void

/** In the order in which help lists them. A node lives for long: what other commands need is not to be in its memory. */
const commands: readonly (readonly [name: string, load: () => Promise<Adding>])[] = [
  ['up', async () => (await import('./up.ts')).up],
  ['status', async () => (await import('./status.ts')).status],
  ['doctor', async () => (await import('./doctor.ts')).doctor],
  ['log-level', async () => (await import('./log-level.ts')).logLevel],
  ['get', async () => (await import('./get.ts')).get],
  ['preheat', async () => (await import('./preheat.ts')).preheat],
  ['mount', async () => (await import('./mount.ts')).mount],
  ['umount', async () => (await import('./mount.ts')).umount],
  ['mounts', async () => (await import('./mount.ts')).mounts],
  ['mounter', async () => (await import('./mounter.ts')).mounter],
  ['tags', async () => (await import('./tags.ts')).tags],
  ['gc', async () => (await import('./gc.ts')).gc],
  ['pin', async () => (await import('./pin.ts')).pin],
  ['unpin', async () => (await import('./pin.ts')).unpin],
  ['replication', async () => (await import('./replication.ts')).replication],
  ['configure', async () => (await import('./configure.ts')).configure],
  ['keygen', async () => (await import('./keygen.ts')).keygen],
  ['snapshotter', async () => (await import('./snapshotter.ts')).snapshotter],
  ['install', async () => withoutDone((await import('./install.ts')).install)],
  ['uninstall', async () => withoutDone((await import('./uninstall.ts')).uninstall)],
  ['version', async () => (await import('./version.ts')).version],
  ['layer-index', async () => (await import('./layer-index.ts')).layerIndex],
  ['mount-calls', async () => (await import('./mount-calls.ts')).mountCalls],
  ['unpack-layer', async () => (await import('./unpack-layer.ts')).unpackLayer],
]

/** Runs one command line, given without the names of runtime and script. Never throws. */
export async function run(args: readonly string[], context: Context): Promise<ExitCode> {
  let code: ExitCode = 0
  try {
    const done = (result: ExitCode) => {
      code = result
    }
    const program = await programOf(context, done, args[0])
    await program.parseAsync(args, { from: 'user' })
    return code
  } catch (error) {
    return report(error, context, args[0])
  }
}

/**
 * Every command, ready to parse; only one where `word`, the first on the command line, is its name. `done` is told the exit
 * code of those that choose it.
 */
export async function programOf(context: Context, done: (code: ExitCode) => void, word?: string): Promise<Command> {
  const program = new Command('shoal')
    .description(
      'Hosts that need the same container image fetch it from each other, so that the registry sends it once.',
    )
    .version(buildInfo.version, '-V, --version', 'print the version')
    .configureOutput({
      writeOut: (text) => context.out(text.trimEnd()),
      writeErr: (text) => context.err(text.trimEnd().replace(/^error:/, 'shoal:')),
    })
    .exitOverride()
  // Commands inherit output and exit handling at the moment they are made, so they come last.
  const named = commands.filter(([name]) => name === word)
  for (const [, load] of named.length > 0 ? named : commands) (await load())(program, context, done)
  if (named.length === 0) {
    // These two are about all others.
    completions(program, context)
    help(program, context)
  }
  for (const command of program.commands) command.showHelpAfterError(`shoal ${command.name()} --help lists its flags`)
  program.showHelpAfterError('shoal --help lists the commands')
  return program
}

/** Tests give these another machine there. */
function withoutDone(adds: (program: Command, context: Context) => void): Adding {
  return (program, context) => adds(program, context)
}
