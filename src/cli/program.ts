/** The command line: every command, and the way from arguments to an exit code. */
import { Command } from 'commander'
import { buildInfo } from '../build-info.ts'
import { completions } from './completions.ts'
import { configure } from './configure.ts'
import type { Context, ExitCode } from './context.ts'
import { doctor } from './doctor.ts'
import { report } from './exit.ts'
import { gc } from './gc.ts'
import { get } from './get.ts'
import { help } from './help.ts'
import { install } from './install.ts'
import { keygen } from './keygen.ts'
import { layerIndex } from './layer-index.ts'
import { logLevel } from './log-level.ts'
import { mount, mounts, umount } from './mount.ts'
import { mountCalls } from './mount-calls.ts'
import { mounter } from './mounter.ts'
import { pin, unpin } from './pin.ts'
import { preheat } from './preheat.ts'
import { replication } from './replication.ts'
import { snapshotter } from './snapshotter.ts'
import { status } from './status.ts'
import { tags } from './tags.ts'
import { uninstall } from './uninstall.ts'
import { unpackLayer } from './unpack-layer.ts'
import { up } from './up.ts'
import { version } from './version.ts'

/** Runs one command line, given without the names of runtime and script. Never throws. */
export async function run(args: readonly string[], context: Context): Promise<ExitCode> {
  let code: ExitCode = 0
  const program = programOf(context, (result) => {
    code = result
  })
  try {
    await program.parseAsync(args, { from: 'user' })
    return code
  } catch (error) {
    return report(error, context)
  }
}

/** Every command, ready to parse. `done` is told the exit code of those that choose it. */
export function programOf(context: Context, done: (code: ExitCode) => void): Command {
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
  up(program, context, done)
  status(program, context)
  doctor(program, context, done)
  logLevel(program, context)
  get(program, context)
  preheat(program, context)
  mount(program, context)
  umount(program, context)
  mounts(program, context)
  mounter(program, context, done)
  tags(program, context)
  gc(program, context)
  pin(program, context)
  unpin(program, context)
  replication(program, context)
  configure(program, context)
  keygen(program, context)
  snapshotter(program, context)
  install(program, context)
  uninstall(program, context)
  version(program, context)
  layerIndex(program, context)
  mountCalls(program, context)
  unpackLayer(program, context)
  completions(program, context)
  help(program, context)
  for (const command of program.commands) command.showHelpAfterError(`shoal ${command.name()} --help lists its flags`)
  program.showHelpAfterError('shoal --help lists the commands')
  return program
}
