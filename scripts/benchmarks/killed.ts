/** What everybody depends on is killed (SIGKILL) when half of the shortest time is over; another one has to take over. */
import { type Cluster, type ClusterInit, splitModes } from '../../test/lab/cluster.ts'
import { until } from '../../test/lab/until.ts'
import { swarmScenario } from './swarm.ts'

/** Two schedulers and two seeds, as whoever cannot do without them would have. */
const doubled = (cluster: ClusterInit): ClusterInit => {
  const peers = cluster.members.length - 4
  if (peers < 1) throw new Error('two schedulers, two seeds and a peer take 5 hosts')
  return { ...cluster, members: splitModes(2, 2, peers), discovery: 'join' }
}

const killedAtHalfTime = (role: string, victim: (cluster: Cluster) => Promise<string | undefined>) =>
  swarmScenario({
    name: `${role}-killed`,
    title: `the ${role} at work is killed at half time; there is a second one`,
    shape: {},
    reach: { atMost: 1.5 },
    // What a torrent has of these is its one seed.
    without: new Set(['many', 'bittorrent']),
    course: (init, { say }) => ({
      cluster: doubled(init),
      meanwhile: async (cluster, plainSeconds) => {
        // It is looked for from the start: on a machine whose cores are full that takes its time.
        const half = Bun.sleep((plainSeconds / 2) * 1000)
        let name: string | undefined
        await until(`there is a ${role} at work`, plainSeconds, async () => {
          name = await victim(cluster)
          return name !== undefined
        })
        await half
        await cluster.node(name!).process.kill()
        say(`killed ${name}`)
      },
    }),
  })

export const killed = [
  killedAtHalfTime('seed', (cluster) => cluster.fetcher()),
  killedAtHalfTime('scheduler', (cluster) => cluster.owner()),
]
