/** Who got what from where: the first thing to look at when a figure is not what it should be. */
import Table from 'cli-table3'
import type { Cluster } from '../../test/lab/cluster.ts'
import { type Lap, secondsOf } from './laps.ts'

const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1)

/** One row for each node that still runs. */
export async function perHost(cluster: Cluster, laps: readonly Lap[]): Promise<string> {
  const head = ['host', 'seconds', 'MB from peers', 'MB from source', 'MB to peers']
  const table = new Table({ head, style: { head: [], border: [], compact: true } })
  for (const node of cluster.running) {
    const name = node.host?.name ?? ''
    const lap = laps.find(({ host }) => host === name)
    const metrics = ['shoal_peer_received_bytes_total', 'shoal_source_bytes_total', 'shoal_peer_sent_bytes_total']
    const bytes = await Promise.all(metrics.map((metric) => node.metric(metric)))
    table.push([name, lap ? secondsOf(lap).toFixed(1) : 'not measured', ...bytes.map(megabytes)])
  }
  return table.toString()
}
