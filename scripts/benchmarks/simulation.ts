/**
 * Fifteen thousand hosts in virtual time: the real decisions on links of 300 MB/s, two layers of 1.5 GB at once, three
 * seeds that read the source. It says what the decisions are worth, for no machine can be in the way.
 */
import { layoutOf } from '../../src/piece/layout.ts'
import { defaultTuning } from '../../src/swarm/download/tuning.ts'
import { bitsPerSecond } from '../../test/lab/host.ts'
import { memoryOf } from '../../test/load/process.ts'
import type { Scenario as Setting } from '../../test/simulation/scenario.ts'
import { simulate } from '../../test/simulation/simulation.ts'
import { summaryOf } from '../../test/simulation/summary.ts'
import type { Figure, Run, Scenario } from './scenario.ts'

/**
 * Longer pieces than nodes cut such layers into: a run in minutes needs few of them, and a swarm is slower the longer
 * they are, so that what is found here is no better than what shorter ones would give. Of the longer ones as many are in
 * flight as of those that nodes cut; fewer would say something about blobs beyond 16 GiB, whose pieces are as long.
 */
const pieceLength = 4 * 1024 * 1024
const seeds = 3
/** Ms between two hosts of a data centre. */
const latencyMs = 0.5

async function run({ shape, seed, say }: Run): Promise<readonly Figure[]> {
  const rate = bitsPerSecond(shape.rate ?? '2400mbit') / 8
  const blobBytes = Math.round(shape.size / shape.layers)
  const longer = pieceLength / layoutOf(blobBytes).pieceLength
  const setting: Setting = {
    seed,
    nodes: shape.hosts,
    seeds,
    blobs: shape.layers,
    blobBytes,
    rate: () => rate,
    sourceRate: rate,
    latencyMs,
    pieceLength,
    tuning: { mostBytesInFlight: longer * defaultTuning.mostBytesInFlight },
  }
  const started = performance.now()
  const outcome = simulate(setting)
  const { p50, p99, p999, unfinished } = summaryOf(setting, outcome)
  const mebibytes = memoryOf(process.pid).peak / 2 ** 20
  say(
    `${outcome.deliveries} pieces in ${((performance.now() - started) / 1000).toFixed(0)} s, ` +
      `at most ${mebibytes.toFixed(0)} MiB`,
  )
  if (unfinished > 0) throw new Error(`${unfinished} hosts never finished`)
  const unit = 'times the limit'
  return [
    { name: 'p50 of hosts', value: p50, unit, reach: { atMost: 1.15 } },
    { name: 'p99 of hosts', value: p99, unit, reach: { atMost: 1.3 } },
    { name: 'p99.9 of hosts', value: p999, unit, reach: { atMost: 1.5 } },
    {
      name: 'source sent',
      value: outcome.bytesFromSource / shape.size,
      unit: 'times the image',
      reach: { atMost: 1.01 },
    },
  ]
}

export const simulation: Scenario = {
  name: 'simulation',
  title: '15,000 hosts in virtual time, 3 GB in two layers, 300 MB/s each',
  against: 'the time in which one link carries the image once',
  shape: { hosts: 15_000, rate: '2400mbit', size: 3e9, layers: 2 },
  quick: { hosts: 200, size: 1e9 },
  run,
}
