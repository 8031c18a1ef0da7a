/**
 * Preheated hosts: what their first pull still takes from the source, and whether the first byte of a layer comes as
 * soon as from a host that has served the image before.
 */
import { join } from 'node:path'
import { acquaintedAfter } from '../../src/cluster/acquaintance.ts'
import { Cluster } from '../../test/lab/cluster.ts'
import { preheated } from '../../test/lab/preheat.ts'
import { plan } from '../../test/lab/race.ts'
import type { Scenario } from './scenario.ts'
import { median } from './statistics.ts'

const client = join(import.meta.dir, 'first-byte-client.ts')
/** How often each host is asked again, when it is warm beyond doubt. */
const again = 5

export const preheat: Scenario = {
  name: 'preheat',
  title: 'preheat to all hosts, then a pull on all of them at once',
  against: 'the same hosts when they have served it before',
  shape: { hosts: 16, rate: '100mbit', size: 64 * 2 ** 20, layers: 1 },
  quick: { size: 8 * 2 ** 20 },
  async run({ shape, arrangement = 'all', say }) {
    const cluster = await Cluster.create(plan({ ...shape, arrangement }))
    try {
      const { pullers, image } = cluster
      const plain = await cluster.plain(pullers[0]!)
      await cluster.start()
      // One that has just started would wait for nodes that it might not know yet.
      await Bun.sleep(acquaintedAfter(cluster.running.length))
      const began = performance.now()
      const { nodes } = await preheated(cluster.running[0]!, 'registry.lab/lab/image:latest', '--scope', 'all')
      const seconds = (performance.now() - began) / 1000
      say(
        `${nodes.length} nodes preheated in ${seconds.toFixed(1)} s; one plain stream took ${plain.seconds.toFixed(1)} s`,
      )
      const before = await cluster.total('shoal_source_bytes_total')
      // One host after the other, and each at once again: what the machine does besides meets both alike.
      const [first, warm]: [number[], number[]] = [[], []]
      for (const name of pullers) {
        const host = cluster.lab.host(name)
        const manifest = `${cluster.node(name).mirror}/v2/registry.lab/lab/image/manifests/latest`
        await host.exec(['curl', '--silent', '--fail', '--output', '/dev/null', manifest])
        const ask = async () =>
          JSON.parse(await host.exec([process.execPath, client, '1', cluster.layerUrl(name)])) as number[]
        first.push(...(await ask()))
        for (let i = 0; i < again; i++) warm.push(...(await ask()))
      }
      const pulls = await Promise.all(pullers.map((name) => cluster.pull(name)))
      for (const { digest } of pulls) {
        if (digest !== image.digest) throw new Error(`a host got ${digest} instead of ${image.digest}`)
      }
      const read = (await cluster.total('shoal_source_bytes_total')) - before
      say(`pulls read ${read} bytes of the source; first byte ${shown(first)}, when warm ${shown(warm)}`)
      return [
        { name: 'pulls read of the source', value: read, unit: 'bytes', reach: { atMost: 0 } },
        {
          name: 'first byte, median',
          value: median(first) / median(warm),
          unit: 'times that of a warm host',
          reach: { atMost: 1.2 },
        },
        { name: 'preheat of all hosts', value: seconds / plain.seconds, unit: 'times one plain stream' },
      ]
    } finally {
      await cluster.close()
    }
  },
}

function shown(ms: readonly number[]): string {
  return `p50 ${median(ms).toFixed(2)} ms, at most ${Math.max(...ms).toFixed(2)} ms`
}
