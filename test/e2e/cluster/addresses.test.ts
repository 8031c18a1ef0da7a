/** Hosts whose network comes after the node, or goes by another address in the middle, as a DHCP server has it. */
import { describe, expect, test } from 'bun:test'
import { Cluster } from '../../lab/cluster.ts'
import { Lab } from '../../lab/lab.ts'
import { until } from '../../lab/until.ts'

const obstacle = await Lab.obstacle()
if (obstacle) console.log(`skipped: hosts that get another address: ${obstacle}`)

describe.skipIf(obstacle !== undefined)('a host gets its address later, and then another one', () => {
  test.each(['open', 'keyed and encrypted'] as const)(
    'and its node serves the others from there; the cluster is %s',
    async (admission) => {
      // The one that moves is the only one that can read the registry for both.
      const members = [{ name: 'host1', mode: 'peer' }, { name: 'host2' }]
      const cluster = await Cluster.create({ members, discovery: 'mdns', size: 4e6, admission })
      try {
        const host = cluster.lab.host('host2')
        const ip = (...words: string[]) => host.exec(['ip', ...words])
        const seen = async () => {
          const { members } = JSON.parse(await cluster.node('host1').get('/api/v1/members')) as {
            members: { url: string; self: boolean }[]
          }
          return members.flatMap(({ url, self }) => (self ? [] : [new URL(url).hostname]))
        }
        await ip('address', 'flush', 'dev', 'eth0')
        for (const name of ['host1', 'host2']) await cluster.launch(name).ready()
        expect(await seen()).toEqual([])
        for (const address of ['10.77.7.201', '10.77.7.202']) {
          await ip('address', 'flush', 'dev', 'eth0')
          await ip('address', 'add', `${address}/24`, 'broadcast', '+', 'dev', 'eth0')
          await until(`host1 knows host2 at ${address}`, 60, async () => (await seen()).join() === address)
        }
        // What host2 reads, host1 gets from it.
        await cluster.pull('host1')
        expect(await cluster.node('host1').metric('shoal_peer_received_bytes_total')).toBeGreaterThanOrEqual(4e6)
      } finally {
        await cluster.close()
      }
    },
    180_000,
  )
})
