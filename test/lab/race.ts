/**
 * A cold image pulled by all hosts at once, against one plain stream of it measured on the same links in the same run:
 * tests assert bounds on the outcome.
 */
import { allModes, Cluster, type ClusterInit, splitModes } from './cluster.ts'
import { until } from './until.ts'

/** `all` finds its members by mDNS, `join` from a seed list; `split` has one scheduler, one seed, and peers. */
export const arrangements = ['all', 'join', 'split'] as const
export type Arrangement = (typeof arrangements)[number]

export interface RaceInit {
  readonly arrangement: Arrangement
  /** Hosts in all, the registry's not counted. */
  readonly hosts: number
  /** Bytes of the image. */
  readonly size: number
  /** Default 1. */
  readonly layers?: number
  /** What each link carries each way. Default: no limit. */
  readonly rate?: string | undefined
}

export interface Runner {
  readonly host: string
  /** Absent on a host that only serves. */
  readonly seconds?: number
  readonly fromPeers: number
  readonly fromSource: number
  readonly toPeers: number
}

export interface RaceOutcome {
  readonly runners: readonly Runner[]
  /** One stream of the image from the registry to one host. */
  readonly plainSeconds: number
  readonly slowestSeconds: number
  /** Bodies that the registry sent, as a multiple of the image. */
  readonly sourceShare: number
  /** Slowest over plain. */
  readonly ratio: number
}

/** The cluster of an arrangement. */
export function plan({ arrangement, hosts, size, layers = 1, rate }: RaceInit): ClusterInit {
  const members = arrangement === 'split' ? splitModes(1, 1, hosts - 2) : allModes(hosts)
  return { members, discovery: arrangement === 'all' ? 'mdns' : 'join', size, layers, ...(rate ? { rate } : {}) }
}

/** @throws when a host does not get the image, or gets another one */
export async function race(init: RaceInit, say: (text: string) => void = () => {}): Promise<RaceOutcome> {
  const cluster = await Cluster.create(plan(init))
  try {
    const { pullers } = cluster
    say('one plain stream ...')
    const plainSeconds = (await cluster.plain(pullers[0]!)).seconds
    say(`  ${plainSeconds.toFixed(1)} s; starting ${init.hosts} nodes ...`)
    await cluster.start()
    const before = cluster.sent()
    say(`${pullers.length} hosts at once ...`)
    const pulls = await Promise.all(pullers.map((name) => cluster.pull(name)))
    for (const { digest } of pulls) {
      if (digest !== cluster.image.digest) throw new Error(`a host got ${digest} instead of ${cluster.image.digest}`)
    }
    // Requests are logged a moment after they end, and a seed may still be reading its last bytes.
    const received = await cluster.total('shoal_source_bytes_total')
    await until('the registry has logged what it sent', 10, () => cluster.sent() - before >= received)
    const runners = await Promise.all(
      cluster.lab.hosts.slice(1).map(async ({ name }): Promise<Runner> => {
        const node = cluster.node(name)
        const place = pullers.indexOf(name)
        return {
          host: name,
          ...(place < 0 ? {} : { seconds: pulls[place]!.seconds }),
          fromPeers: await node.metric('shoal_peer_received_bytes_total'),
          fromSource: await node.metric('shoal_source_bytes_total'),
          toPeers: await node.metric('shoal_peer_sent_bytes_total'),
        }
      }),
    )
    const slowestSeconds = Math.max(...pulls.map(({ seconds }) => seconds))
    return {
      runners,
      plainSeconds,
      slowestSeconds,
      sourceShare: (cluster.sent() - before) / cluster.image.size,
      ratio: slowestSeconds / plainSeconds,
    }
  } finally {
    await cluster.close()
  }
}
