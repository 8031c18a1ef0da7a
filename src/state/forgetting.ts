/** Rows that nobody asks for any more go: what tags pointed to long ago, jobs that are long over, what was removed. */
import { type Clock, every } from '../clock.ts'
import { Failure } from '../failure.ts'
import type { Repository } from '../oci/reference.ts'
import type { Log } from '../telemetry/log.ts'
import type { Lasting, State } from './state.ts'

const everyMs = 6 * 3_600_000
const jobsMs = 30 * 86_400_000

export interface ForgettingOptions {
  readonly state: Pick<State, 'tags' | 'jobs' | 'contents'>
  readonly tagHistoryMs: number
  readonly lasting: (repository: Repository) => Lasting
  readonly clock: Clock
  readonly log: Log
}

/** Calling the result stops it. */
export function startForgetting(options: ForgettingOptions): () => void {
  return every(options.clock, everyMs, () => {
    forget(options).catch((error) => {
      options.log.debug('what is old could not be forgotten', { error: Failure.from(error).message })
    })
  })
}

async function forget({ state, tagHistoryMs, lasting, clock }: ForgettingOptions): Promise<void> {
  const before = clock.wall() - tagHistoryMs
  await state.tags.forget(before, lasting)
  await state.contents.forget(before, lasting)
  await state.jobs.forget(clock.wall() - jobsMs)
}
