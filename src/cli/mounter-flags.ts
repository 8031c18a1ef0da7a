/** How commands find the mounter of this host, and start it when there is none. */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Command } from 'commander'
import { pause } from '../clock.ts'
import { ownCommand } from '../mount/kernel/child.ts'
import { usualDataDir, usualSocket } from '../mount/mounter/api.ts'
import { MounterClient, NoAnswer, NoMounter } from '../mount/mounter/client.ts'
import { placesOf } from '../mount/mounter/places.ts'
import type { Context } from './context.ts'
import { CommandError } from './exit.ts'

export function addMounterFlags(command: Command): Command {
  return command.option('--socket <file>', 'where the mounter of this host listens', usualSocket)
}

export function mounterOf(command: Command): MounterClient {
  return new MounterClient(command.opts<{ socket: string }>().socket)
}

const unit = 'shoal-mounter.service'
const unitFile = `/etc/systemd/system/${unit}`
const startsWithinMs = 15_000
const lookEveryMs = 50

/** The mounter, started if need be: by its unit where there is one, and as a process of its own elsewhere. */
export async function startedMounter(command: Command, { clock }: Context): Promise<MounterClient> {
  const { socket } = command.opts<{ socket: string }>()
  const client = new MounterClient(socket)
  const endsAt = clock.now() + startsWithinMs
  for (let started = false; ; ) {
    try {
      await client.facts()
      return client
    } catch (error) {
      // The one that was there is just ending, or becoming another program.
      const left = error instanceof NoAnswer && clock.now() <= endsAt
      if (!left) {
        if (!(error instanceof NoMounter)) throw error
        if (socket !== usualSocket) {
          throw new CommandError(`${error.message}; start one: shoal mounter --socket ${socket} --data-dir DIR`)
        }
        if (clock.now() > endsAt) {
          throw new CommandError(`the mounter does not start; ${logOf(existsSync(unitFile))} says why`)
        }
        if (!started) start()
        started = true
      }
      await pause(clock, lookEveryMs)
    }
  }
}

/** Where the mounter of this host says what went wrong. */
export function logOf(asUnit: boolean): string {
  return asUnit ? `journalctl -u ${unit}` : placesOf(usualSocket, usualDataDir).log
}

function start(): void {
  if (existsSync(unitFile)) {
    const { exitCode, stderr } = Bun.spawnSync(['systemctl', 'start', unit], { stdin: 'ignore' })
    if (exitCode !== 0) throw new CommandError(`${unit} does not start: ${stderr.toString().trim()}`)
    return
  }
  const log = logOf(false)
  mkdirSync(dirname(log), { recursive: true, mode: 0o700 })
  const output = openSync(log, 'a', 0o600)
  const [program = '', ...args] = ownCommand
  // In a session of its own: it outlives the terminal that it was started from.
  spawn(program, [...args, 'mounter'], { detached: true, stdio: ['ignore', output, output], cwd: '/' }).unref()
}
