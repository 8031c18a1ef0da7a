/** A swarm of many nodes in virtual time: how near each comes to what its link allows, and what the source sends. */
import { Command, InvalidArgumentError } from 'commander'
import { type Layout, layoutOf } from '../src/piece/layout.ts'
import { bitsPerSecond } from '../test/lab/host.ts'
import { memoryOf } from '../test/load/process.ts'
import { type Account, arrivals, departures } from '../test/simulation/account.ts'
import type { PartsRead, Scenario } from '../test/simulation/scenario.ts'
import { simulate } from '../test/simulation/simulation.ts'
import { limitMs, summaryOf } from '../test/simulation/summary.ts'

interface Options {
  readonly nodes: number
  readonly seeds: number
  readonly blobs: number
  readonly piece?: number
  readonly batch: number
  readonly read?: number
  readonly atOnce: number
  readonly think: number
  readonly stocked: boolean
  readonly links: boolean
  readonly account: boolean
  readonly size: number
  readonly rate: number
  readonly sourceRate: number
  readonly latency: number
  readonly spread: number
  readonly kill: number
  readonly liars: number
  readonly seed: number
  readonly runs: number
}

function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (Number.isInteger(value) && value >= least && value <= most) return value
    throw new InvalidArgumentError(`It is a whole number from ${least} to ${most}.`)
  }
}

function fraction(text: string): number {
  const value = Number(text)
  if (value >= 0 && value <= 10_000) return value
  throw new InvalidArgumentError('It is a number from 0 to 10000.')
}

function rate(text: string): number {
  try {
    return bitsPerSecond(text) / 8
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message)
  }
}

function scenarioOf(options: Options, seed: number): Scenario {
  const { nodes, seeds, blobs, size, piece, batch, latency, spread, kill, liars, stocked } = options
  const blobBytes = size * 1e6
  const limit = limitMs(blobs * blobBytes, options.rate)
  // The last ones lie, the ones before them die, at even distances over the shortest time the download can take.
  const dying = Array.from({ length: kill }, (_, i) => ({
    node: seeds + nodes - 1 - liars - i,
    at: (limit * (i + 1)) / (kill + 1),
  }))
  return {
    seed,
    nodes,
    seeds,
    blobs,
    blobBytes,
    batchMs: batch,
    ...(piece === undefined ? {} : { pieceLength: 1024 * piece }),
    rate: () => options.rate,
    sourceRate: options.sourceRate,
    latencyMs: latency,
    start: (_, random) => random() * spread,
    kill: dying,
    stocked,
    ...(options.account ? { looks } : {}),
    liars: new Set(Array.from({ length: liars }, (_, i) => seeds + nodes - 1 - i)),
  }
}

/** The pieces are scattered over the blob, the same for all nodes. */
function partsOf({ read = 0, atOnce, think }: Options, { count }: Layout): PartsRead {
  const most = Math.max(1, count - 1)
  // No multiple of the step is one of the count: each is another piece until all of them are read.
  const step = [211, 223, 227, 229].find((prime) => most % prime !== 0)!
  return {
    pieces: Array.from({ length: Math.min(read, most) }, (_, i) => (i * step + 7) % most),
    atOnce,
    thinkMs: think,
  }
}

/** How often links are looked at for an account, while one of them could carry the blobs once. */
const looks = 500

const mebibytes = (bytes: number) => (bytes / 2 ** 20).toFixed(0)

/** How many times as long as one alone the slowest of them takes. */
function reportParts(scenario: Scenario, parts: PartsRead): boolean {
  const read = (what: Scenario) => {
    const outcome = simulate({ ...what, parts })
    const { unfinished } = summaryOf(what, outcome)
    return { ...outcome, unfinished, slowest: Math.max(...outcome.finished.map((ms) => ms ?? 0)) }
  }
  const [one, all] = [read({ ...scenario, nodes: 1, kill: [] }), read(scenario)]
  const { count } = layoutIn(scenario)
  console.log(
    [
      `seed ${scenario.seed}: ${parts.pieces.length} pieces; one alone ${(one.slowest / 1000).toFixed(2)} s`,
      `the slowest of ${scenario.nodes} ${(all.slowest / one.slowest).toFixed(2)} times that`,
      `seeds sent each ${((all.seedCopies * count) / parts.pieces.length).toFixed(2)} times`,
      `pieces thrown away ${all.wasted} of ${all.deliveries}`,
      ...(all.unfinished > 0 ? [`${all.unfinished} NODES NEVER FINISHED`] : []),
    ].join('; '),
  )
  return all.unfinished === 0
}

function layoutIn({ blobBytes: size, pieceLength }: Scenario): Layout {
  return pieceLength ? { size, pieceLength, count: Math.ceil(size / pieceLength) } : layoutOf(size)
}

function report(options: Options, seed: number): boolean {
  const scenario = scenarioOf(options, seed)
  if (options.read !== undefined) return reportParts(scenario, partsOf(options, layoutIn(scenario)))
  const started = performance.now()
  const outcome = simulate(scenario)
  const wall = (performance.now() - started) / 1000
  const { p50, p99, p999, max, unfinished } = summaryOf(scenario, outcome)
  const times = (value: number) => value.toFixed(2)
  console.log(
    [
      `seed ${seed}: p50 ${times(p50)}, p99 ${times(p99)}, p99.9 ${times(p999)}, max ${times(max)} times ${(limitMs(options.blobs * scenario.blobBytes, options.rate) / 1000).toFixed(1)} s`,
      `source ${times(outcome.bytesFromSource / (options.blobs * scenario.blobBytes))} of the content`,
      `pieces thrown away ${outcome.wasted} of ${outcome.deliveries}`,
      ...(outcome.banned > 0 ? [`bans ${outcome.banned}`] : []),
      ...(unfinished > 0 ? [`${unfinished} NODES NEVER FINISHED`] : []),
      `${outcome.events} events in ${wall.toFixed(1)} s, at most ${mebibytes(memoryOf(process.pid).peak)} MiB`,
    ].join('; '),
  )
  if (options.links)
    console.log(`  uplinks in use, %, by twentieths: ${outcome.uplinks.map((u) => Math.round(100 * u)).join(' ')}`)
  if (outcome.account) {
    const each = (messages: number) => (messages / outcome.deliveries).toFixed(2)
    console.log(
      `  for each piece: requests ${each(outcome.requests)}, taken back ${each(outcome.cancelled)}, news ${each(outcome.news)}`,
    )
    printAccount(outcome.account)
  }
  return unfinished === 0
}

function printAccount({ down, up }: Account): void {
  const line = (share: number, words: string) => console.log(`    ${share.toFixed(3)} ${words}`)
  console.log('  what comes to a host until it has everything, in multiples of that time:')
  for (const [key, words] of Object.entries(arrivals)) line(down[key as keyof Account['down']], words)
  console.log('  and what it does for others:')
  for (const [key, words] of Object.entries(departures)) line(up[key as keyof Account['up']], words)
}

const program = new Command('scripts/simulate')
  .description('A scheduler, some seeds, and N nodes that want the same blobs at once, in virtual time.')
  .option('--nodes <n>', 'nodes that want the blobs', whole(1, 20_000), 1000)
  .option('--seeds <n>', 'nodes that read the source for the others; 0: the others do it themselves', whole(0, 100), 1)
  .option('--blobs <n>', 'blobs of that size', whole(1, 100), 1)
  .option('--size <megabytes>', 'size of a blob', whole(1, 100_000), 64)
  .option('--piece <KiB>', 'another piece length than that of the size', whole(1, 65_536))
  .option('--batch <ms>', 'shortest time between two batches of news', whole(1, 10_000), 100)
  .option('--read <n>', 'only so many pieces of each blob are read, the same by all nodes', whole(1, 10_000))
  .option('--at-once <n>', 'of these, waited for at a time', whole(1, 10_000), 1)
  .option('--think <ms>', 'of these, from one to the next, give or take a fifth', fraction, 0)
  .option('--stocked', 'seeds have all of it beforehand', false)
  .option('--links', 'print how much of all uplinks was in use', false)
  .option('--account', 'print what links did, and how many messages went', false)
  .option('--rate <rate>', 'of each link each way, as tc(8) writes it', rate, 12.5e6)
  .option('--source-rate <rate>', 'of the source', rate, 125e6)
  .option('--latency <ms>', 'one way', fraction, 1)
  .option('--spread <ms>', 'nodes start by chance within so long', whole(0, 3_600_000), 0)
  .option('--kill <n>', 'so many nodes die on the way', whole(0, 10_000), 0)
  .option('--liars <n>', 'so many nodes send wrong bytes', whole(0, 10_000), 0)
  .option('--seed <n>', 'the same seed gives the same run', whole(0, 0xffff_ffff), 1)
  .option('--runs <n>', 'so many runs, each with the next seed', whole(1, 1000), 1)
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .parse()

const options = program.opts<Options>()
if (options.kill + options.liars >= options.nodes) program.error('somebody has to be left: fewer --kill or --liars')
if (options.stocked && options.seeds === 0) program.error('without --seeds nobody can be --stocked')
let finished = true
for (let i = 0; i < options.runs; i++) finished = report(options, options.seed + i) && finished
process.exit(finished ? 0 : 1)
