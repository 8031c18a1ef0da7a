/** One round of each fault that is fast. `scripts/soak faults` tries all of them, many times. */
import { describe, expect, test } from 'bun:test'
import { faults } from '../faults/all.ts'
import { tryFault } from '../faults/run.ts'

const quick = await Promise.all(
  faults.filter((fault) => fault.quick).map(async (fault) => ({ fault, obstacle: await fault.obstacle?.() })),
)
for (const { fault, obstacle } of quick) if (obstacle) console.log(`skipped: ${fault.name}: ${obstacle}`)

describe('when', () => {
  for (const { fault, obstacle } of quick) {
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
