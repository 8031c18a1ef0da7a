/** A thing that goes wrong, what is promised for that case, and one round of trying it. */
import type { Random } from '../../src/clock.ts'
import type { LabProcess } from '../lab/process.ts'

export interface Fault {
  readonly name: string
  readonly family: 'source' | 'kill' | 'network' | 'disk' | 'clock' | 'crowd' | 'peer'
  /** What is promised, in one sentence; a round that ends otherwise has failed. */
  readonly outcome: string
  /** Fast enough for every run of the tests. */
  readonly quick: boolean
  /** No round may take longer. */
  readonly boundSeconds: number
  /** Undefined where it can be tried here, else why not. */
  obstacle?(): Promise<string | undefined>
  /** Injects it and checks the outcome. Resolves with a remark for the report; @throws when the outcome is another. */
  round(scene: Scene): Promise<string>
}

/** What a round has to itself. */
export interface Scene {
  /** Gone after the round. */
  readonly dir: string
  readonly random: Random
  /** Ended after the round, last first, also when it failed. */
  readonly undo: AsyncDisposableStack
  /** Programs of the round: killed when it is interrupted; what they logged is kept when it fails. */
  readonly processes: LabProcess[]
  /** Lines for the report, beyond the remark. */
  readonly notes: string[]
}

/** What becomes of a promise that must not hang. @throws after `seconds` */
export async function within<T>(what: string, seconds: number, promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`still going on after ${seconds} s: ${what}`)), seconds * 1000)
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** @throws with what was seen, unless it holds */
export function must(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what)
}
