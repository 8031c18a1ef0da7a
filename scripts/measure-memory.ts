/**
 * Measures what a node keeps in memory: idle, and while it fetches a large blob from its source and serves it to another
 * node at the same time. Two sizes, so that growth with the blob's size would show.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { allModes, Cluster } from '../test/lab/cluster.ts'
import { bitsPerSecond } from '../test/lab/host.ts'
import { Lab } from '../test/lab/lab.ts'
import { failing, within } from './lib/options.ts'

const help = `usage: scripts/measure-memory [--size MEGABYTES]... [--rate RATE] [--idle SECONDS] [--timeline]

  --size N      size of a blob in MB; repeatable (default 512 and 2048)
  --rate RATE   what each link carries each way, as tc(8) writes it (default 1gbit)
  --idle N      how long a node is left alone before it counts as idle (default 20)
  --timeline    also print a sample for every second of the pull`

const roles = ['reads the source and serves', 'fetches from the other'] as const

interface Memory {
  /** Resident now, and the most there ever was. */
  readonly rss: number
  readonly peak: number
  /** The part of what is resident that is no file's. */
  readonly anonymous: number
}

/** As /proc/PID/status has it, in bytes. */
function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+([0-9]+) kB`, 'm').exec(status)?.[1]) * 1024
  return { rss: field('VmRSS'), peak: field('VmHWM'), anonymous: field('RssAnon') }
}

const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(0)

class Samples {
  readonly timeline: Memory[] = []
  readonly #pid: number
  readonly #timer: ReturnType<typeof setInterval>

  constructor(pid: number) {
    this.#pid = pid
    this.#timer = setInterval(() => this.timeline.push(memoryOf(pid)), 1000)
  }

  /** The mean of what was sampled, and how it ended. */
  end(): { mean: number; anonymous: number; last: Memory } {
    clearInterval(this.#timer)
    const last = memoryOf(this.#pid)
    const all = [...this.timeline, last]
    const anonymous = Math.max(...all.map((memory) => memory.anonymous))
    return { mean: all.reduce((sum, { rss }) => sum + rss, 0) / all.length, anonymous, last }
  }
}

async function measure(size: number, rate: string, idle: number, timeline: boolean, table: Table.Table) {
  console.log(`${size / 1e6} MB: making the blob ...`)
  const cluster = await Cluster.create({ members: allModes(2), discovery: 'join', size, rate })
  try {
    await cluster.start()
    console.log(`  idle for ${idle} s ...`)
    await Bun.sleep(idle * 1000)
    const pids = cluster.pullers.map((name) => cluster.node(name).process.pid)
    const before = pids.map(memoryOf)
    const samples = pids.map((pid) => new Samples(pid))
    const start = performance.now()
    const ended = await Promise.allSettled(cluster.pullers.map((name) => cluster.pull(name)))
    const seconds = (performance.now() - start) / 1000
    const after = samples.map((sample) => sample.end())
    for (const pull of ended) if (pull.status === 'rejected') throw pull.reason
    const readers = await Promise.all(
      cluster.pullers.map((name) => cluster.node(name).metric('shoal_source_bytes_total')),
    )
    console.log(`  both had it after ${seconds.toFixed(1)} s`)
    for (const [i, { mean, anonymous, last }] of after.entries()) {
      const role = roles[readers[i]! > size / 2 ? 0 : 1]
      const columns = [before[i]!.rss, mean, last.peak, anonymous, last.rss].map(mib)
      table.push([`${size / 1e6} MB`, role, ...columns])
      if (timeline) console.log(`  ${role}: ${samples[i]!.timeline.map(({ rss }) => mib(rss)).join(' ')}`)
    }
  } finally {
    await cluster.close()
  }
}

await failing('scripts/measure-memory', help, async (args) => {
  const { values } = parseArgs({
    args,
    options: {
      size: { type: 'string', multiple: true, default: ['512', '2048'] },
      rate: { type: 'string', default: '1gbit' },
      idle: { type: 'string', default: '20' },
      timeline: { type: 'boolean', default: false },
    },
  })
  bitsPerSecond(values.rate)
  const sizes = values.size.map((text) => within(text, '--size', 1, 20_000) * 1e6)
  const idle = within(values.idle, '--idle', 0, 600)
  const obstacle = await Lab.obstacle()
  if (obstacle) throw new Error(`no network namespaces here: ${obstacle}`)
  const head = ['blob', 'the node', 'MiB idle', 'mean', 'peak', 'peak of no file', 'at the end']
  const table = new Table({ head, style: { head: [], border: [], compact: true } })
  for (const size of sizes) await measure(size, values.rate, idle, values.timeline, table)
  console.log(table.toString())
})
