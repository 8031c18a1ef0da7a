/** A round of each of these faults, as a test. */
import { describe, expect, test } from 'bun:test'
import type { Fault } from './fault.ts'
import { tryFault } from './run.ts'

export async function asTests(faults: readonly Fault[]): Promise<void> {
  const tried = await Promise.all(faults.map(async (fault) => ({ fault, obstacle: await fault.obstacle?.() })))
  for (const { fault, obstacle } of tried) if (obstacle) console.log(`skipped: ${fault.name}: ${obstacle}`)

  describe('when', () => {
    for (const { fault, obstacle } of tried) {
      test.skipIf(obstacle !== undefined)(
        `${fault.name}: ${fault.outcome}`,
        async () => {
          const seed = Date.now() % 100_000
          const { remark, held } = await tryFault(fault, seed)
          expect({ seed, remark, held }).toEqual({ seed, remark, held: true })
        },
        (fault.boundSeconds + 30) * 1000,
      )
    }
  })
}
