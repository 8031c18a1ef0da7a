/**
 * Tries faults round by round. Whatever a round leaves behind is removed before the next one, and also when the run is
 * interrupted: by then nothing can be waited for, so programs are killed.
 */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { seededRandom } from '../../src/clock.ts'
import { scratchRoot } from '../lab/lab.ts'
import type { LabProcess } from '../lab/process.ts'
import { type Fault, type Scene, within } from './fault.ts'

export interface Tried {
  readonly seed: number
  readonly seconds: number
  /** How the round ended, or why the outcome was not the promised one. */
  readonly remark: string
  readonly held: boolean
  readonly notes: readonly string[]
}

export type Attempt = Pick<Fault, 'name' | 'boundSeconds' | 'round'>

/**
 * The same seed chooses the same way of doing wrong; what else happens at the same time is up to the machine.
 * @param logs folder for what the round's programs logged, if it fails
 */
export async function tryFault(fault: Attempt, seed: number, logs?: string): Promise<Tried> {
  const dir = mkdtempSync(join(scratchRoot, 'shoal-fault-'))
  const scene: Scene = { dir, random: seededRandom(seed), undo: new AsyncDisposableStack(), processes: [], notes: [] }
  const begun = performance.now()
  const ended = (held: boolean, remark: string): Tried => {
    return { seed, seconds: (performance.now() - begun) / 1000, remark, held, notes: scene.notes }
  }
  const interrupted = onInterruption(() => {
    killAll(scene.processes)
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  })
  try {
    return ended(true, await within(fault.name, fault.boundSeconds, fault.round(scene)))
  } catch (error) {
    if (logs !== undefined) keepLogs(scene.processes, join(logs, `${fault.name.replaceAll(/\W+/g, '-')}-${seed}`))
    return ended(false, error instanceof Error ? error.message : String(error))
  } finally {
    await scene.undo.disposeAsync()
    rmSync(dir, { recursive: true, force: true })
    interrupted.disarm()
  }
}

/** Runs `clean` if this process ends meanwhile, by a signal too. */
function onInterruption(clean: () => void): { disarm(): void } {
  // Ends the process, and with it come the listeners to its exit: this one's and those of a lab.
  const end = (signal: NodeJS.Signals) => process.exit(signal === 'SIGINT' ? 130 : 143)
  process.on('exit', clean)
  process.on('SIGINT', end)
  process.on('SIGTERM', end)
  return {
    disarm() {
      process.off('exit', clean)
      process.off('SIGINT', end)
      process.off('SIGTERM', end)
    },
  }
}

/** Returns when they are gone, or would not go for 2 s. */
function killAll(processes: readonly LabProcess[]): void {
  for (const process of processes) if (process.running) process.signal('SIGKILL')
  // What has ended and was not waited for yet has no files open any more.
  const gone = ({ running, pid }: LabProcess) => !running || !existsSync(`/proc/${pid}/exe`)
  for (let time = 0; time < 100 && !processes.every(gone); time++) Bun.sleepSync(20)
}

/** A host's nodes have logs of the same name, in folders with the host's. */
function keepLogs(processes: readonly LabProcess[], folder: string): void {
  mkdirSync(folder, { recursive: true })
  for (const log of new Set(processes.map(({ log }) => log))) {
    if (!existsSync(log)) continue
    const host = basename(dirname(log)) === 'shoal' ? dirname(dirname(log)) : dirname(log)
    copyFileSync(log, join(folder, `${basename(host)}.log`))
  }
}
