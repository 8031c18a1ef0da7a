/** Tries faults round by round. Whatever a round leaves behind is removed before the next one. */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { seededRandom } from '../../src/clock.ts'
import { scratchRoot } from '../lab/lab.ts'
import { type Fault, within } from './fault.ts'

export interface Tried {
  readonly seed: number
  readonly seconds: number
  /** How the round ended, or why the outcome was not the promised one. */
  readonly remark: string
  readonly held: boolean
}

/** The same seed chooses the same way of doing wrong; what else happens at the same time is up to the machine. */
export async function tryFault(fault: Fault, seed: number): Promise<Tried> {
  const dir = mkdtempSync(join(scratchRoot, 'shoal-fault-'))
  const undo = new AsyncDisposableStack()
  const begun = performance.now()
  const seconds = () => (performance.now() - begun) / 1000
  try {
    const remark = await within(fault.name, fault.boundSeconds, fault.round({ dir, random: seededRandom(seed), undo }))
    return { seed, seconds: seconds(), remark, held: true }
  } catch (error) {
    return { seed, seconds: seconds(), remark: error instanceof Error ? error.message : String(error), held: false }
  } finally {
    await undo.disposeAsync()
    rmSync(dir, { recursive: true, force: true })
  }
}
