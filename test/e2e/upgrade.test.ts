import { expect, test } from 'bun:test'
import { tryFault } from '../faults/run.ts'
import { upgrade } from '../faults/upgrade.ts'
import { builtBinary } from '../lab/node.ts'
import { binaryOf, historyObstacle, oldestRelease } from '../lab/old-binary.ts'

const obstacle = await historyObstacle(oldestRelease)
if (obstacle) console.log(`skipped: upgrades: ${obstacle}`)

test.skipIf(obstacle !== undefined)(
  'nodes of the oldest release are brought to this one under load: no pull fails, all that was stored is there, and the old one refuses it',
  async () => {
    const { held, remark } = await tryFault(upgrade({ old: await binaryOf(oldestRelease), next: builtBinary }, 3), 1)
    console.log(remark)
    expect([held, remark]).toEqual([true, remark])
  },
  180_000,
)
