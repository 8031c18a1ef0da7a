/** Hosts that read the same scattered parts of a layer at once, each through its own node: what that costs whom. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { seededRandom } from '../../src/clock.ts'
import { layoutOf, pieceAt, pieceBytes } from '../../src/piece/layout.ts'
import { allModes, Cluster } from './cluster.ts'
import { type PartsRead, type Reading, readPartsOn } from './read-parts.ts'
import { until } from './until.ts'

export interface LazyReadersInit {
  readonly hosts: number
  /** Bytes of the layer. */
  readonly size: number
  /** Share of it that is read. */
  readonly share: number
  /** Bytes of each range. */
  readonly rangeBytes: number
  readonly atOnce: number
  readonly prefetch?: string
  /** What each link carries each way. Default: no limit. */
  readonly rate?: string
}

export interface LazyReadersOutcome {
  /** Bytes that each host asked for, and bytes of the pieces that those touch. */
  readonly read: number
  readonly touched: number
  readonly hosts: readonly (PartsRead & { readonly held: number })[]
  readonly slowestSeconds: number
  /** Bytes of the layer that the registry sent. */
  readonly sourceBytes: number
}

const startMs = 1500

/** Ranges at random places that do not overlap, in no order. */
export function scattered({ size, share, rangeBytes }: LazyReadersInit, seed = 1): Reading['ranges'] {
  const random = seededRandom(seed)
  const places = Math.floor(size / rangeBytes)
  const chosen = new Set<number>()
  while (chosen.size < Math.max(1, Math.round(places * share))) chosen.add(Math.floor(random() * places))
  return [...chosen].map((place) => [place * rangeBytes, (place + 1) * rangeBytes - 1])
}

/** @throws when a host reads other bytes than another */
export async function lazyReaders(init: LazyReadersInit): Promise<LazyReadersOutcome> {
  const { hosts, size, rate, atOnce, prefetch } = init
  const cluster = await Cluster.create({
    ...{ members: allModes(hosts), discovery: 'join', size },
    ...(rate ? { rate } : {}),
  })
  try {
    await cluster.start()
    const { layer } = cluster
    const ranges = scattered({ ...init, size: layer.size })
    const file = join(cluster.lab.dir, 'reading.json')
    writeFileSync(file, JSON.stringify({ ranges, atOnce, ...(prefetch ? { prefetch } : {}) } satisfies Reading))
    const before = cluster.sent()
    const at = Date.now() + startMs
    const reads = await Promise.all(
      cluster.pullers.map((name) => readPartsOn(cluster.lab.host(name), cluster.layerUrl(name), layer.size, file, at)),
    )
    const digests = new Set(reads.map(({ digest }) => digest))
    if (digests.size !== 1) throw new Error(`hosts read different bytes: ${[...digests].join(', ')}`)
    const received = await cluster.total('shoal_source_bytes_total')
    await until('the registry has logged what it sent', 10, () => cluster.sent() - before >= received)
    const layout = layoutOf(layer.size)
    const pieces = new Set(ranges.flatMap(([first, last]) => [pieceAt(layout, first), pieceAt(layout, last)]))
    return {
      read: reads[0]!.bytes,
      touched: [...pieces].reduce((sum, piece) => sum + pieceBytes(layout, piece), 0),
      hosts: await Promise.all(
        reads.map(async (read, i) => ({ ...read, held: await cluster.held(cluster.pullers[i]!) })),
      ),
      slowestSeconds: Math.max(...reads.map(({ seconds }) => seconds)),
      sourceBytes: cluster.sent() - before,
    }
  } finally {
    await cluster.close()
  }
}
