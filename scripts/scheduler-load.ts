/** One scheduler process under the load of many nodes: what it sustains, how fast it decides, and what that costs. */
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { type LoadOutcome, load, type PhaseFigures } from '../test/load/load.ts'
import { failing, within } from './lib/options.ts'

const help = `usage: scripts/scheduler-load [--peers N] [--blobs N] [--seconds N] [--spread N] [--seed N] [--few N] [--sockets N] [--json]

  --peers N     simulated nodes (default 15000)
  --blobs N     blobs they hold and pull, four to an image (default 200)
  --seconds N   how long they pull; before that they join and rest (default 30)
  --spread N    seconds within which all of them begin to pull an image (default 10)
  --seed N      the same seed gives the same cluster (default 1)
  --few N       then so many nodes on a faster clock, so that they say as much; 0 leaves that out (default 100)
  --sockets N   connections that all nodes share (default 256)
  --binary FILE the node to load (default dist/shoal)
  --json        the figures as JSON`

const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(0)
const rate = (count: number, { seconds }: PhaseFigures) => (count / seconds).toFixed(0)
const ms = (value: number) => value.toFixed(value < 1 ? 2 : 1)

function tableOf(outcomes: readonly { readonly peers: number; readonly outcome: LoadOutcome }[]): string {
  const head = [
    ...['peers', 'phase', 'announces/s', 'schedules/s', 'ms p50', 'p99', 'max'],
    ...['decision ms mean', 'p99 <=', 'late or failed', 'CPU s/s', 'us per call', 'generator', 'MiB'],
  ]
  const table = new Table({ head, style: { head: [], border: [], compact: true } })
  for (const { peers, outcome } of outcomes) {
    for (const figures of outcome.phases) {
      const { phase, seconds, announces, schedules, cpuSeconds, failed } = figures
      const latency = schedules > 0 ? figures.scheduleMs : figures.announceMs
      table.push([
        ...[peers, phase, rate(announces, figures), rate(schedules, figures)],
        ...[ms(latency.p50), ms(latency.p99), ms(latency.max)],
        ...(schedules > 0 ? [figures.decisionMeanMs.toFixed(3), ms(figures.decisionP99Ms)] : ['', '']),
        ...[failed, (cpuSeconds / seconds).toFixed(2), microsPerCall(figures).toFixed(0)],
        ...[(figures.generatorCpuSeconds / seconds).toFixed(2), mib(figures.resident)],
      ])
    }
  }
  return table.toString()
}

function microsPerCall({ cpuSeconds, announces, schedules }: PhaseFigures): number {
  return (1e6 * cpuSeconds) / (announces + schedules)
}

const pullOf = ({ phases }: LoadOutcome) => phases.find(({ phase }) => phase === 'pull')!
const callsPerSecond = ({ announces, schedules, seconds }: PhaseFigures) => (announces + schedules) / seconds

await failing('scripts/scheduler-load', help, async (args) => {
  const { values } = parseArgs({
    args,
    options: {
      peers: { type: 'string', default: '15000' },
      blobs: { type: 'string', default: '200' },
      seconds: { type: 'string', default: '30' },
      spread: { type: 'string', default: '10' },
      seed: { type: 'string', default: '1' },
      few: { type: 'string', default: '100' },
      sockets: { type: 'string', default: '256' },
      binary: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })
  const init = {
    peers: within(values.peers, '--peers', 1, 60_000),
    blobs: within(values.blobs, '--blobs', 4, 100_000),
    seconds: within(values.seconds, '--seconds', 1, 3600),
    spread: within(values.spread, '--spread', 1, 3600),
    seed: within(values.seed, '--seed', 0, 0xffff_ffff),
    sockets: within(values.sockets, '--sockets', 1, 20_000),
    ...(values.binary === undefined ? {} : { binary: values.binary }),
  }
  const few = within(values.few, '--few', 0, 10_000)
  const say = values.json ? () => {} : console.log
  say(`${init.peers} peers, ${init.blobs} blobs ...`)
  const many = await load(init, say)
  const outcomes = [{ peers: init.peers, outcome: many }]
  if (few > 0) {
    // What one node says in a second, while it pulls, is known by now.
    const speed = Math.max(1, init.peers / few)
    say(`${few} peers on a clock ${speed.toFixed(0)} times as fast ...`)
    outcomes.push({ peers: few, outcome: await load({ ...init, peers: few, speed }, say) })
  }
  if (values.json) return console.log(JSON.stringify(outcomes))
  console.log(tableOf(outcomes))
  const { known, alive } = many.members
  console.log(
    `${known} of ${alive} living nodes known at the end; at most ${mib(many.peak)} MiB resident; ` +
      (many.pinned ? 'scheduler on one core, generator on another' : 'cores not pinned'),
  )
  const other = outcomes[1]
  if (!other) return
  const [large, small] = [pullOf(many), pullOf(other.outcome)]
  console.log(
    `a decision among ${init.peers} peers takes ${(large.decisionMeanMs / small.decisionMeanMs).toFixed(2)} times that ` +
      `among ${few}; a call ${(microsPerCall(large) / microsPerCall(small)).toFixed(2)} times the CPU, ` +
      `at ${callsPerSecond(large).toFixed(0)} and ${callsPerSecond(small).toFixed(0)} calls/s`,
  )
})
