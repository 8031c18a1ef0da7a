/** A swarm of many nodes in virtual time: how near each comes to what its link allows, and what the source sends. */
import { Command, InvalidArgumentError } from 'commander'
import { bitsPerSecond } from '../test/lab/host.ts'
import { type Scenario, simulate } from '../test/simulation/simulation.ts'
import { limitMs, summaryOf } from '../test/simulation/summary.ts'

interface Options {
  readonly nodes: number
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

function rate(text: string): number {
  try {
    return bitsPerSecond(text) / 8
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message)
  }
}

function scenarioOf(options: Options, seed: number): Scenario {
  const { nodes, size, latency, spread, kill, liars } = options
  const blobBytes = size * 1e6
  const limit = limitMs(blobBytes, options.rate)
  // The last ones lie, the ones before them die, at even distances over the shortest time the download can take.
  const dying = Array.from({ length: kill }, (_, i) => ({
    node: nodes - liars - i,
    at: (limit * (i + 1)) / (kill + 1),
  }))
  return {
    seed,
    nodes,
    blobBytes,
    rate: () => options.rate,
    sourceRate: options.sourceRate,
    latencyMs: latency,
    start: (_, random) => random() * spread,
    kill: dying,
    liars: new Set(Array.from({ length: liars }, (_, i) => nodes - i)),
  }
}

function report(options: Options, seed: number): boolean {
  const scenario = scenarioOf(options, seed)
  const started = performance.now()
  const outcome = simulate(scenario)
  const wall = (performance.now() - started) / 1000
  const { p50, p99, max, unfinished } = summaryOf(scenario, outcome)
  const times = (value: number) => value.toFixed(2)
  console.log(
    [
      `seed ${seed}: p50 ${times(p50)}, p99 ${times(p99)}, max ${times(max)} times ${(limitMs(scenario.blobBytes, options.rate) / 1000).toFixed(1)} s`,
      `source ${(outcome.bytesFromSource / 1e6).toFixed(1)} MB`,
      `seed copies ${times(outcome.seedCopies)}`,
      `pieces thrown away ${outcome.wasted}`,
      `bans ${outcome.banned}`,
      ...(unfinished > 0 ? [`${unfinished} NODES NEVER FINISHED`] : []),
      `${outcome.events} events in ${wall.toFixed(1)} s`,
    ].join('; '),
  )
  return unfinished === 0
}

const program = new Command('scripts/simulate')
  .description('One seed, one scheduler and N nodes that want the same blob, in virtual time.')
  .option('--nodes <n>', 'nodes that want the blob', whole(1, 20_000), 1000)
  .option('--size <megabytes>', 'size of the blob', whole(1, 100_000), 64)
  .option('--rate <rate>', 'of each link each way, as tc(8) writes it', rate, 12.5e6)
  .option('--source-rate <rate>', 'of the source', rate, 125e6)
  .option('--latency <ms>', 'one way', whole(0, 10_000), 1)
  .option('--spread <ms>', 'nodes start by chance within so long', whole(0, 3_600_000), 0)
  .option('--kill <n>', 'so many nodes die on the way', whole(0, 10_000), 0)
  .option('--liars <n>', 'so many nodes send wrong bytes', whole(0, 10_000), 0)
  .option('--seed <n>', 'the same seed gives the same run', whole(0, 0xffff_ffff), 1)
  .option('--runs <n>', 'so many runs, each with the next seed', whole(1, 1000), 1)
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .parse()

const options = program.opts<Options>()
if (options.kill + options.liars >= options.nodes) program.error('somebody has to be left: fewer --kill or --liars')
let finished = true
for (let i = 0; i < options.runs; i++) finished = report(options, options.seed + i) && finished
process.exit(finished ? 0 : 1)
