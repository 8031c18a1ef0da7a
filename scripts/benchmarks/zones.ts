/** Two sites with a thin line between them: what is at both ends already need not cross it again. */
import type { ClusterInit } from '../../test/lab/cluster.ts'
import { words } from './laps.ts'
import { swarmScenario } from './swarm.ts'

const line = '20mbit'

/** The registry and the first half of the hosts are in zone `a`, the others in `b`. */
function divided(cluster: ClusterInit): ClusterInit & { far: NonNullable<ClusterInit['far']> } {
  const half = Math.ceil(cluster.members.length / 2)
  const members = cluster.members.map((member, i) => ({
    ...member,
    flags: ['--zone', i < half ? 'a/1' : 'b/1', '--source-zone', 'a/1'],
  }))
  return { ...cluster, members, far: { members: members.slice(half).map(({ name }) => name), rate: line } }
}

export const zones = swarmScenario({
  name: 'zones',
  title: `half of the hosts is in a zone across a line of ${line}`,
  against: 'one plain stream across that line',
  shape: { size: 64 * 2 ** 20 },
  quick: { size: 16 * 2 ** 20 },
  course: (init) => {
    const cluster = divided(init)
    return { cluster, limit: cluster.far.members.at(-1)! }
  },
  more: ({ crossed }, { shape }) =>
    [...crossed].flatMap(([contender, { in: there, out: back }]) => {
      const unit = 'times the image'
      const reach = contender === 'shoal' ? { reach: { atMost: 1.1 } } : {}
      const name = words[contender]
      return [
        { name: `${name}, crossed the line`, value: (there + back) / shape.size, unit, ...reach },
        { name: `${name}, of that from the registry's side`, value: there / shape.size, unit },
      ]
    }),
})
