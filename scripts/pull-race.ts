/** Measures one cold pull by many hosts at once; the numbers that a change of the swarm is judged by. */
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { bitsPerSecond } from '../test/lab/host.ts'
import { Lab } from '../test/lab/lab.ts'
import { arrangements, type RaceInit, type RaceOutcome, race } from '../test/lab/race.ts'
import { choice, failing, within } from './lib/options.ts'

const help = `usage: scripts/pull-race [--hosts N] [--size MEGABYTES] [--rate RATE] [--modes ARRANGEMENT] [--runs N]

  --hosts N    hosts in all, the registry's not counted (default 8)
  --size N     size of the image in MB, one layer (default 64)
  --rate RATE  what each link carries each way, as tc(8) writes it (default 100mbit)
  --modes M    all: every node does everything, mDNS finds them (default)
               join: the same, but without mDNS and with a seed list
               split: one scheduler, one seed, the others are peers
  --runs N     so many runs, one after the other (default 1)`

const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1)

function tableOf({ runners }: RaceOutcome): string {
  const head = ['host', 'seconds', 'MB from peers', 'MB from source', 'MB to peers']
  const table = new Table({ head, style: { head: [], border: [], compact: true } })
  for (const { host, seconds, fromPeers, fromSource, toPeers } of runners) {
    table.push([host, seconds?.toFixed(1) ?? 'serves', megabytes(fromPeers), megabytes(fromSource), megabytes(toPeers)])
  }
  return table.toString()
}

function optionsOf(args: string[]): RaceInit & { readonly runs: number } {
  const { values } = parseArgs({
    args,
    options: {
      hosts: { type: 'string', default: '8' },
      size: { type: 'string', default: '64' },
      rate: { type: 'string', default: '100mbit' },
      modes: { type: 'string', default: 'all' },
      runs: { type: 'string', default: '1' },
    },
  })
  bitsPerSecond(values.rate)
  const arrangement = choice(values.modes, '--modes', arrangements)
  return {
    arrangement,
    hosts: within(values.hosts, '--hosts', arrangement === 'split' ? 3 : 1, 100),
    size: within(values.size, '--size', 1, 20_000) * 1e6,
    rate: values.rate,
    runs: within(values.runs, '--runs', 1, 100),
  }
}

await failing('scripts/pull-race', help, async (args) => {
  const { runs, ...init } = optionsOf(args)
  const obstacle = await Lab.obstacle()
  if (obstacle) throw new Error(`no network namespaces here: ${obstacle}`)
  for (let i = 0; i < runs; i++) {
    const outcome = await race(init, console.log)
    console.log(tableOf(outcome))
    const { plainSeconds, slowestSeconds, ratio, sourceShare } = outcome
    console.log(
      `plain ${plainSeconds.toFixed(1)} s, slowest host ${slowestSeconds.toFixed(1)} s: ${ratio.toFixed(2)} times; ` +
        `the source sent ${sourceShare.toFixed(3)} times the image`,
    )
  }
})
