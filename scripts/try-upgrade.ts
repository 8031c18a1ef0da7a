/** See `help`. */
import { parseArgs } from 'node:util'
import { tryFault } from '../test/faults/run.ts'
import { upgrade } from '../test/faults/upgrade.ts'
import { builtBinary } from '../test/lab/node.ts'
import { binaryOf, historyObstacle, oldestRelease } from '../test/lab/old-binary.ts'
import { failing, within } from './lib/options.ts'

const help = `usage: scripts/try-upgrade [--from COMMIT] [--nodes N] [--rounds N]

N nodes (default 8) of COMMIT (default the oldest that upgrades are promised from) are brought to what is built from this
tree, one after the other, while every host pulls new images all the time, as an engine does: from its own node, from
another one as a stand-by, from the registry. Then what the nodes had stored is looked for, and the old release is started
on what the new one has written, which it must refuse in words. Needs no privileges.`

await failing('scripts/try-upgrade', help, async (args) => {
  const { values } = parseArgs({
    args,
    options: {
      from: { type: 'string', default: oldestRelease },
      nodes: { type: 'string', default: '8' },
      rounds: { type: 'string', default: '1' },
    },
  })
  const obstacle = await historyObstacle(values.from)
  if (obstacle !== undefined) throw new Error(obstacle)
  const fault = upgrade({ old: await binaryOf(values.from), next: builtBinary }, within(values.nodes, '--nodes', 2, 32))
  const rounds = within(values.rounds, '--rounds', 1, 1000)
  for (let round = 1; round <= rounds; round++) {
    const { held, remark, seconds, notes } = await tryFault(fault, round, 'soak-results/upgrade-logs')
    console.log([...(round === 1 ? notes : []), `${seconds.toFixed(1)} s: ${remark}`].join('\n'))
    if (!held) throw new Error('that is not as promised')
  }
})
