/** A quarter of the hosts is on links of a tenth: the others must not wait for them. */
import type { ClusterInit } from '../../test/lab/cluster.ts'
import { bitsPerSecond } from '../../test/lab/host.ts'
import { swarmScenario } from './swarm.ts'

/** The last quarter. They are peers only: whoever runs a cluster chooses its seeds and schedulers among the others. */
function slowed(cluster: ClusterInit, rate: string | undefined): ClusterInit & { slow: ReadonlySet<string> } {
  const tenth = `${Math.round(bitsPerSecond(rate ?? '100mbit') / 10 / 1000)}kbit`
  const slow = new Set(cluster.members.slice(-Math.floor(cluster.members.length / 4)).map(({ name }) => name))
  const members = cluster.members.map((member) =>
    slow.has(member.name) ? { ...member, mode: 'peer', rate: tenth } : member,
  )
  return { ...cluster, members, slow }
}

export const slowLinks = swarmScenario({
  name: 'slow-links',
  title: 'a quarter of the hosts, peers only, has links of a tenth; the time is that of the others',
  shape: {},
  reach: { atMost: 1.25 },
  // Plain pulls over the slow links would go on while the next contender runs.
  without: new Set(['many']),
  course: (init, { shape }) => {
    const { slow, ...cluster } = slowed(init, shape.rate)
    return { cluster, counts: (host) => !slow.has(host) }
  },
})
