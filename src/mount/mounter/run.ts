/** The mounter's process: from its start to its end, and what signals mean to it. */
import { mkdirSync, statfsSync } from 'node:fs'
import type { Clock } from '../../clock.ts'
import type { Size } from '../../config/values.ts'
import { Failure } from '../../failure.ts'
import { notifier } from '../../notify.ts'
import { createLog } from '../../telemetry/pino.ts'
import { Children, ownCommand } from '../kernel/child.ts'
import { diskOf, foldersIn, layerFolder } from '../unpacked/layer-folder.ts'
import { UnpackedLayers } from '../unpacked/layers.ts'
import { installedProgram, keptFrom } from './exec.ts'
import { startMounter } from './mounter.ts'
import { placesOf } from './places.ts'

export interface RunOptions {
  readonly socket: string
  readonly dataDir: string
  /** What unpacked layers may take, as `--cache-size` of a node has it. */
  readonly limit: Size
  readonly idleMs: number
  readonly readDeadlineMs: number
}

/** What the process gives it. */
export interface Surroundings {
  readonly clock: Clock
  readonly variables: Readonly<Record<string, string | undefined>>
  onSignal(listener: (signal: string) => void): () => void
  onReload(listener: () => void): () => void
}

/** @returns the exit code */
export async function runMounter(options: RunOptions, around: Surroundings): Promise<0> {
  const { clock, variables, onSignal, onReload } = around
  const { socket, dataDir, idleMs, readDeadlineMs, limit } = options
  const log = createLog({ level: 'info', format: 'json', color: false })
  const places = placesOf(socket, dataDir)
  const children = new Children()
  children.warm()
  mkdirSync(places.unpacked, { recursive: true, mode: 0o700 })
  const limitBytes = limitOf(limit, places.unpacked)
  const unpacked = new UnpackedLayers({
    dir: places.unpacked,
    clock,
    limitBytes,
    log: (sentence) => log.info(sentence),
  })
  const mounter = await startMounter({
    places,
    clock,
    log,
    open: (spec, start) => unpacked.open(spec, start),
    carry: children.carry,
    makeRoom: () => unpacked.makeRoom(),
    kept: keptFrom(variables),
    readDeadlineMs,
    idleMs,
    async settled() {
      await children.close()
      await unpacked.close()
    },
    successor: async () => worksAsSuccessor([...programNow(), ...process.argv.slice(2)]),
  })
  if (!mounter) {
    await unpacked.close()
    log.info('another mounter serves this host', { socket })
    return 0
  }
  const told = Promise.withResolvers<string>()
  const stopListening = onSignal(told.resolve)
  const stopReloading = onReload(() => {
    mounter.upgrade().catch((error: Error) => log.error('it stays what it is', { error: error.message }))
  })
  const tell = notifier(variables)
  tell?.(`READY=1\nSTATUS=${socket}`)
  const reason = await Promise.race([told.promise, mounter.ended])
  tell?.('STOPPING=1')
  log.info('ends', { reason })
  stopReloading()
  await mounter.close()
  stopListening()
  return 0
}

/** Bytes of the disk. A share is of what is free and what layers take already, so that it does not shrink with them. */
function limitOf(limit: Size, dir: string): number {
  if ('bytes' in limit) return limit.bytes
  const { bavail, bsize } = statfsSync(dir)
  const held = foldersIn(dir).reduce((sum, digest) => sum + diskOf(layerFolder(dir, digest)), 0)
  return Math.floor(limit.share * (bavail * bsize + held))
}

/** The binary as it is installed now; run from source, the source as it is now. */
function programNow(): readonly string[] {
  return ownCommand.length === 1 ? [installedProgram()] : ownCommand
}

/** @throws {Failure} when it does not even say its version: the mounter must not become that */
async function worksAsSuccessor(command: readonly string[]): Promise<readonly string[]> {
  const [program = ''] = command
  const words = [...command.slice(0, command.indexOf('mounter')), 'version']
  try {
    const child = Bun.spawn(words, { stdin: 'ignore', stdout: 'ignore', stderr: 'ignore', timeout: 10_000 })
    if ((await child.exited) === 0) return command
  } catch {
    // Not there, or nothing that can be started.
  }
  throw new Failure('bad-request', `${program} is no working program; install it again, and upgrade then`)
}
