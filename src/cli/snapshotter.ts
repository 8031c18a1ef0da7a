/** `shoal snapshotter`: what containerd asks for the file systems of containers, until it is told to end. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { duration } from '../config/values.ts'
import { type Address, formatAddress, parseAddress } from '../listen.ts'
import { usualSocket as usualMounter } from '../mount/mounter/api.ts'
import { notifier } from '../notify.ts'
import { type LogLevel, logLevels } from '../telemetry/log.ts'
import type { Context } from './context.ts'
import { CommandError } from './exit.ts'

interface Options {
  readonly socket: string
  readonly dataDir: string
  readonly mounter: string
  readonly containerd: string
  readonly node: Address
  readonly indexWait: number
  readonly metricsAddr?: Address
  readonly logLevel: LogLevel
  readonly logFormat: 'text' | 'json'
}

export function snapshotter(program: Command, context: Context): void {
  program
    .command('snapshotter')
    .description('serve containerd as a snapshotter: containers start while their image is still arriving')
    .option('--socket <file>', 'where containerd asks', '/run/shoal-snapshotter/snapshotter.sock')
    .option('--data-dir <dir>', 'where snapshots are kept', '/var/lib/shoal-snapshotter')
    .option('--mounter <file>', 'socket of the mounter, which mounts layers', usualMounter)
    .option(
      '--containerd <file>',
      'socket of containerd, which says what layers an image has',
      '/run/containerd/containerd.sock',
    )
    .addOption(
      new Option('--node <host:port>', 'registry port of the node that layers are read from')
        .argParser(address)
        .default({ host: '127.0.0.1', port: 4880 }, '127.0.0.1:4880'),
    )
    .addOption(
      new Option('--index-wait <time>', 'how long an image waits for its indexes to be made, before it is unpacked')
        .argParser(time)
        .default(10_000, '10s'),
    )
    .option('--metrics-addr <host:port>', 'where /metrics and /healthz are (default: nowhere)', address)
    .addOption(new Option('--log-level <level>', 'what is logged').choices(logLevels).default('info'))
    .addOption(
      new Option('--log-format <format>', 'lines for people or for machines')
        .choices(['text', 'json'])
        .default(context.screen ? 'text' : 'json', 'text on a terminal, else json'),
    )
    .action(async (options: Options) => {
      if (!context.host.root) throw new CommandError('a snapshotter makes folders that are mounted, which needs root')
      // Loaded when it is needed, as the node is.
      const [{ startSnapshotter }, { createLog }] = await Promise.all([
        import('../snapshotter/snapshotter.ts'),
        import('../telemetry/pino.ts'),
      ])
      const log = createLog({ level: options.logLevel, format: options.logFormat, color: context.screen !== undefined })
      const stopped = Promise.withResolvers<string>()
      const stopListening = context.onSignal((signal) => stopped.resolve(signal))
      const { socket, dataDir, mounter, containerd, indexWait: indexWaitMs, metricsAddr: metrics } = options
      const node = `http://${formatAddress(options.node)}`
      try {
        const running = await startSnapshotter(
          { socket, dataDir, mounter, containerd, node, indexWaitMs, metrics },
          log,
          context.clock,
        )
        const tell = notifier(context.variables)
        tell?.('READY=1')
        log.info('ending', { reason: await stopped.promise })
        tell?.('STOPPING=1')
        await running.close()
      } finally {
        stopListening()
      }
    })
}

function address(text: string): Address {
  const found = parseAddress(text)
  if (found) return found
  throw new InvalidArgumentError('Expected host:port.')
}

function time(text: string): number {
  const { data } = duration.safeParse(text)
  if (data !== undefined) return data
  throw new InvalidArgumentError('Expected a duration such as 10s.')
}
