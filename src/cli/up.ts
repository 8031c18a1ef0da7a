/**
 * `shoal up`: runs a node until it is told to end. The first signal drains it, the second ends it at once; a drain
 * that takes too long is given up, because a service manager would kill the process soon after.
 */
import { statSync } from 'node:fs'
import type { Command } from 'commander'
import { pause } from '../clock.ts'
import { load } from '../config/load.ts'
import { changesOf } from '../config/reload.ts'
import type { Settings } from '../config/settings.ts'
import { Failure } from '../failure.ts'
import { accountIn } from '../install/account.ts'
import { places, user } from '../install/places.ts'
import type { Context, ExitCode, Reread } from './context.ts'
import { CommandError, report } from './exit.ts'
import { addFlags, flagsOf } from './flags.ts'

export const drainMs = 30_000

export function up(program: Command, context: Context, done: (code: ExitCode) => void): void {
  const command = program
    .command('up')
    .description('run a node on this host')
    .addHelpText(
      'after',
      '\nEach flag is also a key of the YAML file, and a variable: --tag-ttl, tag-ttl:, SHOAL_TAG_TTL.',
    )
  addFlags(command).action(async () => {
    const read = () => load(flagsOf(command), context.variables, context.host)
    const started = read()
    const { settings, file } = started
    let before = started
    const reread = (): Reread => {
      const now = read()
      const changes = changesOf(started, before, now)
      before = now
      return { settings: now.settings, changes }
    }
    if (file !== undefined && settings.log.format === 'text') context.out(`settings from ${file}`)
    try {
      refuseServiceData(settings, context)
      done(await runNode(settings, context, reread))
    } catch (error) {
      done(report(error, context, 'up', settings.log.level === 'debug'))
    }
  })
}

/** What root leaves there the service cannot open, and it would not start again. @throws {CommandError} */
function refuseServiceData({ store: { dataDir } }: Settings, { host }: Context): void {
  // Under systemd it is that service, as whoever a drop-in says.
  if (!host.root || host.service?.state !== undefined || !host.exists(places.unit)) return
  const account = accountIn(host.read(places.users), user)
  const owner = statSync(dataDir, { throwIfNoEntry: false })?.uid
  if (account === undefined || account.uid === 0 || owner !== account.uid) return
  throw new CommandError(
    `${dataDir} is the service's, which cannot open what root leaves there: systemctl start shoal, or choose another --data-dir`,
  )
}

/** Until the first signal. @throws whatever kept the node from starting, or from ending well */
export async function runNode(settings: Settings, context: Context, reread: () => Reread): Promise<ExitCode> {
  const first = Promise.withResolvers<string>()
  const second = Promise.withResolvers<never>()
  const over = new AbortController()
  const ending = new AbortController()
  let signals = 0
  let reload = () => {}
  // From the start: the signal's own meaning is to end the process.
  const stopReloading = context.onReload(() => reload())
  const stopListening = context.onSignal((signal) => {
    signals++
    if (signals === 1) {
      first.resolve(signal)
      ending.abort(new Failure('unavailable', signal))
    } else second.reject(new CommandError(`${signal} came a second time; ended without finishing what was under way`))
  })
  // Nobody waits for it before the first signal; a rejection must not count as unhandled then.
  second.promise.catch(() => {})
  try {
    const node = await Promise.race([context.start(settings, ending.signal), second.promise])
    reload = () => node.reload?.(reread)
    // Among JSON lines there is no place for sentences; the node logs the same.
    const readable = settings.log.format === 'text'
    if (readable) for (const line of node.summary()) context.out(line)
    const reason = await first.promise
    if (readable) context.err(`${reason}: finishing what is under way; once more ends at once`)
    await Promise.race([node.close(reason), second.promise, tooLong(context, over.signal)])
    return 0
  } catch (error) {
    // The node has logged it.
    if (ending.signal.aborted && error === ending.signal.reason) return 0
    throw error
  } finally {
    stopListening()
    stopReloading()
    over.abort()
  }
}

async function tooLong(context: Context, signal: AbortSignal): Promise<never> {
  await pause(context.clock, drainMs, signal)
  throw new CommandError(`not everything had finished after ${drainMs / 1000} s; ended nevertheless`)
}
