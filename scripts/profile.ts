/** What the processor time of a swarm's nodes goes into, by the concepts of the program, while hosts pull one image at once. */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { allModes, Cluster } from '../test/lab/cluster.ts'
import { Lab } from '../test/lab/lab.ts'
import { type MainThread, mainThread } from './benchmarks/machine.ts'
import { type CpuProfile, samplesByConcept } from './lib/cpu-profile.ts'
import { rate as checkedRate, failing, within } from './lib/options.ts'

const help = `usage: scripts/profile [OPTION]...

  --hosts N     that pull together, each a node in all modes (default 8)
  --rate RATE   what each link carries each way, as tc(8) writes it (default 100mbit)
  --size N      size of the image in MiB (default 256)
  --layers N    layers it has (default 1)
  --keep DIR    leaves the nodes' profiles there, for any viewer of .cpuprofile files

Nodes run from the source, for a binary has no names; so all takes longer than it does otherwise, and the shares tell.`

/** A node that ends writes its profile first. */
const endSeconds = 60

await failing('scripts/profile', help, async (args) => {
  const { values } = parseArgs({
    args,
    options: {
      hosts: { type: 'string', default: '8' },
      rate: { type: 'string', default: '100mbit' },
      size: { type: 'string', default: '256' },
      layers: { type: 'string', default: '1' },
      keep: { type: 'string' },
    },
  })
  const shape = {
    hosts: within(values.hosts, '--hosts', 1, 100),
    rate: checkedRate(values.rate, '--rate'),
    size: within(values.size, '--size', 1, 20_000) * 2 ** 20,
    layers: within(values.layers, '--layers', 1, 120),
  }
  const obstacle = await Lab.obstacle()
  if (obstacle) throw new Error(`no network namespaces here: ${obstacle}`)
  const dir = values.keep ?? mkdtempSync(join(tmpdir(), 'shoal-profile-'))
  mkdirSync(dir, { recursive: true })
  try {
    console.log(await profileOf(shape, dir))
  } finally {
    if (values.keep === undefined) rmSync(dir, { recursive: true, force: true })
  }
})

interface Shape {
  readonly hosts: number
  readonly rate: string
  readonly size: number
  readonly layers: number
}

async function profileOf(shape: Shape, dir: string): Promise<string> {
  const cluster = await Cluster.create({
    members: allModes(shape.hosts),
    discovery: 'mdns',
    ...{ size: shape.size, layers: shape.layers, rate: shape.rate, binary: profiled(dir) },
  })
  try {
    await cluster.start()
    const nodes = cluster.running
    const before = nodes.map(({ process }) => mainThread(process.pid))
    const from = Date.now()
    await Promise.all(cluster.pullers.map((host) => cluster.pull(host)))
    const to = Date.now()
    const after = nodes.map(({ process }) => mainThread(process.pid))
    await Promise.all(nodes.map(({ process }) => process.stop(endSeconds * 1000)))
    return tableOf(spent(before, after), samplesIn(dir, from, to), (shape.hosts * cluster.image.size) / 1e9)
  } finally {
    await cluster.close()
  }
}

/** A program that is a node whose profile is written to that folder. */
function profiled(dir: string): string {
  const main = join(import.meta.dir, '..', 'src', 'main.ts')
  const path = join(dir, 'node')
  const options = `--cpu-prof --cpu-prof-interval 500 --cpu-prof-dir '${dir}' --cpu-prof-name "node-$$.cpuprofile"`
  writeFileSync(path, `#!/bin/sh\nexec '${process.execPath}' ${options} '${main}' "$@"\n`)
  chmodSync(path, 0o755)
  return path
}

function spent(before: readonly MainThread[], after: readonly MainThread[]): MainThread {
  const sum = (of: (thread: MainThread) => number) =>
    after.reduce((seconds, thread, i) => seconds + of(thread) - of(before[i]!), 0)
  return { program: sum(({ program }) => program), kernel: sum(({ kernel }) => kernel) }
}

function samplesIn(dir: string, from: number, to: number): Map<string, number> {
  const all = new Map<string, number>()
  for (const name of readdirSync(dir).filter((name) => name.endsWith('.cpuprofile'))) {
    const profile = JSON.parse(readFileSync(join(dir, name), 'utf8')) as CpuProfile
    for (const [what, count] of samplesByConcept(profile, from, to)) all.set(what, (all.get(what) ?? 0) + count)
  }
  if (all.size === 0) throw new Error('no node left a profile')
  return all
}

function tableOf({ program, kernel }: MainThread, samples: ReadonlyMap<string, number>, gigabytes: number): string {
  const total = [...samples.values()].reduce((sum, count) => sum + count, 0)
  const perGb = (seconds: number) => (seconds / gigabytes).toFixed(2)
  const percent = (share: number) => (100 * share).toFixed(1)
  const table = new Table({
    head: ['main threads of the nodes', '% of samples', 'CPU-seconds per GB'],
    style: { head: [], border: [], compact: true },
  })
  table.push(['all', '', perGb(program + kernel)], ['of that: in the kernel', '', perGb(kernel)])
  const ordered = [...samples].sort((a, b) => b[1] - a[1])
  for (const [what, count] of ordered.slice(0, 25)) table.push([what, percent(count / total), ''])
  const rest = ordered.slice(25).reduce((sum, [, count]) => sum + count, 0)
  table.push([`${Math.max(0, ordered.length - 25)} others`, percent(rest / total), ''])
  return table.toString()
}
