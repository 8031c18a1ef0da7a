/** Runs readers over mutated inputs; what the quick test and the long soak have in common. */
import fc from 'fast-check'
import { mutated } from './mutations.ts'
import { isRefusal, type Parser } from './parsers.ts'

/** A reader that takes longer for one input holds up everybody; far above what any takes, below what anybody waits. */
const slowMs = 1000

/** @throws with the smallest input found, and the seed, when the reader throws what it may not, or takes too long */
export function fuzz({ name, corpus, read }: Parser, runs: number, seed: number): void {
  const property = fc.property(mutated(corpus), (input) => {
    const begun = performance.now()
    try {
      read(input)
    } catch (error) {
      if (!isRefusal(error)) throw new Error(`${name} ended in ${String(error)}`, { cause: error })
    }
    const ms = performance.now() - begun
    if (ms > slowMs) throw new Error(`${name} took ${Math.round(ms)} ms`)
  })
  const { failed, counterexample, errorInstance } = fc.check(property, { numRuns: runs, seed })
  if (!failed) return
  const input = JSON.stringify(counterexample?.[0])
  throw new Error(`seed ${seed}: ${(errorInstance as Error).message}, for ${input}`, { cause: errorInstance })
}
