/** What a node has of preheating: it takes errands whatever it is, and runs preheats where it is a scheduler. */
import { Acquaintance } from '../cluster/acquaintance.ts'
import type { Mode } from '../cluster/node-info.ts'
import type { Jobs } from '../state/state.ts'
import type { Calls } from '../wire/calls.ts'
import { Bringer, type BringerOptions } from './bringer.ts'
import { errandCall } from './errand.ts'
import { ForwardedPreheats } from './forwarded.ts'
import { PreheatJobs, type PreheatJobsOptions } from './preheat-jobs.ts'
import type { Preheats } from './preheats.ts'
import { answerFor, preheatsCall } from './preheats-call.ts'

export interface PreheatDeps extends Omit<PreheatJobsOptions, 'metrics' | 'jobs' | 'acquaintance'>, BringerOptions {
  readonly metrics: PreheatJobsOptions['metrics'] & BringerOptions['metrics']
  /** Undefined where nothing is kept: such a node runs no preheats. */
  readonly jobs: Jobs | undefined
  readonly modes: readonly Mode[]
  readonly calls: Calls
}

export function preheatOf(deps: PreheatDeps): { readonly preheats: Preheats; close(): Promise<void> } {
  const { modes, calls, membership, outbound, jobs, clock } = deps
  const bringer = new Bringer(deps)
  calls.on(errandCall, async (errand) => bringer.answer(errand))
  if (!modes.includes('scheduler') || !jobs) {
    return { preheats: new ForwardedPreheats(membership, outbound), close: async () => bringer.close() }
  }
  const preheats = new PreheatJobs({ ...deps, jobs, acquaintance: new Acquaintance(membership, clock) })
  calls.on(preheatsCall, (asked) => answerFor(preheats, asked))
  return {
    preheats,
    async close() {
      await preheats.close()
      bringer.close()
    },
  }
}
