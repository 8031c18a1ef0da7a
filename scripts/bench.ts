/** The benchmark: what shoal is judged by, measured against other ways to bring the same bytes to the same hosts. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { Lab } from '../test/lab/lab.ts'
import { builtBinary } from '../test/lab/node.ts'
import { arrangements } from '../test/lab/race.ts'
import { chartsOf } from './benchmarks/charts.ts'
import { busySince, load, machine } from './benchmarks/machine.ts'
import { type Entry, markdownOf, merged, type Report, rowsOf, shapeText } from './benchmarks/report.ts'
import { measure, type RunnerOptions } from './benchmarks/runner.ts'
import { contenders, type Scenario } from './benchmarks/scenario.ts'
import { scenarios } from './benchmarks/scenarios.ts'
import { rate as checkedRate, choice, failing, within } from './lib/options.ts'

const help = `usage: scripts/bench [--scenario NAME]... [--quick] [--runs N] [--out FOLDER] [OPTION]...
       scripts/bench --list

  --scenario NAME  only this one; repeatable (default: all)
  --list           print the scenarios and end
  --quick          smaller images, and one run of each unless --runs says otherwise
  --runs N         so many runs of each; medians are judged (default 3)
  --compare LIST   of ${contenders.join(', ')}, comma separated (default plain,bittorrent,shoal);
                   many is every host on its own, and takes hosts times as long as plain
  --out FOLDER     where results.json, results.md and the charts go (default bench-results); what this machine
                   measured there of other scenarios stays

What scenarios are made of; what differs from their own is measured, and not judged:

  --hosts N        hosts in all, the registry's not counted
  --rate RATE      what each link carries each way, as tc(8) writes it
  --size N         size of the image in MiB
  --layers N       layers it has
  --modes M        all: every node does everything, mDNS finds them
                   join: the same, but without mDNS and with a seed list
                   split: one scheduler, one seed, the others are peers`

interface Options extends RunnerOptions {
  readonly list: boolean
  readonly out: string
  readonly scenarios: readonly Scenario[]
}

function optionsOf(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      scenario: { type: 'string', multiple: true },
      list: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      runs: { type: 'string' },
      compare: { type: 'string', default: 'plain,bittorrent,shoal' },
      out: { type: 'string', default: 'bench-results' },
      hosts: { type: 'string' },
      rate: { type: 'string' },
      size: { type: 'string' },
      layers: { type: 'string' },
      modes: { type: 'string' },
    },
  })
  const { scenario, quick, runs, compare, hosts, rate, size, layers, modes } = values
  const names = scenarios.map(({ name }) => name)
  const wanted = scenario?.map((name) => choice(name, '--scenario', names)) ?? names
  return {
    list: values.list,
    out: resolve(values.out),
    scenarios: scenarios.filter(({ name }) => wanted.includes(name)),
    quick,
    runs: runs === undefined ? (quick ? 1 : 3) : within(runs, '--runs', 1, 100),
    compare: new Set(compare.split(',').map((word) => choice(word, '--compare', contenders))),
    shape: {
      ...(hosts === undefined ? {} : { hosts: within(hosts, '--hosts', 1, 200) }),
      ...(rate === undefined ? {} : { rate: checkedRate(rate, '--rate') }),
      ...(size === undefined ? {} : { size: within(size, '--size', 1, 20_000) * 2 ** 20 }),
      ...(layers === undefined ? {} : { layers: within(layers, '--layers', 1, 120) }),
    },
    arrangement: modes === undefined ? undefined : choice(modes, '--modes', arrangements),
  }
}

function listing(): string {
  const table = plainTable(['scenario', 'shape', 'what happens'])
  for (const { name, title, shape } of scenarios) table.push([name, shapeText(shape), title])
  return table.toString()
}

function plainTable(head: string[]): Table.Table {
  return new Table({ head, style: { head: [], border: [], compact: true } })
}

function keep(out: string, entry: Entry): void {
  const file = join(out, 'results.json')
  const before = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Report) : undefined
  const names = scenarios.map(({ name }) => name)
  const report = merged(before, machine(), entry, names)
  mkdirSync(out, { recursive: true })
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`)
  writeFileSync(join(out, 'results.md'), markdownOf(report))
  for (const [name, svg] of chartsOf(report.results)) writeFileSync(join(out, name), svg)
}

/** Somebody else's work takes cores from the hosts, and a reader of the figures ought to know. */
async function lookAround(): Promise<void> {
  const before = load()
  await Bun.sleep(1000)
  const busy = busySince(before)
  if (busy > 0.1) console.log(`the machine is not idle: ${Math.round(busy * 100)}% of its cores do something else`)
}

await failing('scripts/bench', help, async (args) => {
  const options = optionsOf(args)
  if (options.list) return console.log(listing())
  const obstacle = await Lab.obstacle()
  if (obstacle) throw new Error(`no network namespaces here: ${obstacle}`)
  const about = {
    date: new Date().toISOString().slice(0, 10),
    version: Bun.spawnSync([builtBinary, 'version']).stdout.toString().split('\n', 1)[0]!.trim(),
    command: ['scripts/bench', ...args].join(' '),
  }
  const results: Entry[] = []
  for (const scenario of options.scenarios) {
    await lookAround()
    const entry = { ...(await measure(scenario, options, console.log)), ...about }
    results.push(entry)
    // After each, so that a run that is cut off leaves what it had.
    keep(options.out, entry)
  }
  const table = plainTable(['scenario', 'figure', 'median', 'min..max', 'unit', 'reach', 'met'])
  table.push(...rowsOf(results))
  console.log(table.toString())
  console.log(`written: ${options.out}/results.md, results.json and charts`)
  const failed = results.filter((result) => result.failed !== undefined).map(({ scenario }) => scenario)
  if (failed.length > 0) throw new Error(`no figures of all runs from ${failed.join(', ')}`)
})
