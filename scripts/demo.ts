/**
 * The newcomer's first look: a registry and some hosts, each on a link of its own; one image, pulled by all hosts at
 * once; first plainly from the registry, then through a node on each host that was told nothing but where the registry
 * is. Prints what each host got from where, and what the registry had to send.
 */
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { bitsPerSecond } from '../test/lab/host.ts'
import { Lab } from '../test/lab/lab.ts'
import type { LabNode } from '../test/lab/node.ts'
import type { Pulled } from '../test/lab/pull.ts'
import { labStage } from './stages/lab-stage.ts'
import { loopbackStage } from './stages/loopback-stage.ts'
import type { Stage } from './stages/stage.ts'

const help = `usage: scripts/demo [--hosts N] [--rate RATE] [--size MEGABYTES] [--loopback]

  --hosts N      hosts that pull (default 8)
  --rate RATE    what each link carries each way, as tc(8) writes it (default 100mbit)
  --size N       size of the image in MB (default 100)
  --loopback     no network namespaces: nodes on loopback addresses that limit themselves`

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`
const seconds = (value: number) => `${value.toFixed(1)} s`
const say = (text: string) => console.log(text)

async function main(): Promise<number> {
  const options = optionsOf(process.argv.slice(2))
  if (!options) return 2
  const obstacle = options.loopback ? 'asked for by --loopback' : await Lab.obstacle()
  if (obstacle) say(`No network namespaces (${obstacle}): nodes run on loopback addresses and limit themselves.`)
  // Both stages remove at exit what they made.
  process.on('SIGINT', () => process.exit(130))
  process.on('SIGTERM', () => process.exit(143))
  const stage = await (obstacle ? loopbackStage : labStage)(options, say)
  try {
    return await play(stage, options)
  } finally {
    await stage.close()
  }
}

interface Options {
  readonly hosts: number
  readonly rate: string
  readonly size: number
  readonly loopback: boolean
}

async function play(stage: Stage, options: Options): Promise<number> {
  const { image, places } = stage
  const n = places.length
  const stream = image.size / (bitsPerSecond(options.rate) / 8)

  let one = { seconds: stream, sent: image.size }
  let all = { seconds: stream * n, sent: image.size * n }
  const plain = stage.plain
  if (plain) {
    say(`Plain: one host pulls ${megabytes(image.size)} from the registry ...`)
    one = await timed(stage, () => Promise.all([plain(0)]))
    say(`  ${seconds(one.seconds)}`)
    say(`Plain: ${n} hosts at once (about ${seconds(one.seconds * n)}) ...`)
    all = await timed(stage, () => Promise.all(places.map((_, i) => plain(i))))
    say(`  ${seconds(all.seconds)}`)
  }

  say(`Starting ${n} nodes ...`)
  const nodes = await stage.startNodes()
  await acquainted(nodes)
  say(`shoal: ${n} hosts at once ...`)
  const before = await stage.registrySent()
  const pulls = await Promise.allSettled(places.map((_, i) => stage.pull(i)))
  const sent = (await stage.registrySent()) - before

  say('')
  say(await tableOf(stage, nodes, pulls))
  const failures = pulls.flatMap((pull) => (pull.status === 'rejected' ? [String(pull.reason)] : []))
  for (const failure of new Set(failures)) say(failure)
  if (failures.length > 0) return 1

  const slowest = Math.max(...pulls.map((pull) => (pull.status === 'fulfilled' ? pull.value.seconds : 0)))
  const how = plain ? '' : ' (computed from the rate)'
  const multiple = (bytes: number) => `${(bytes / image.size).toFixed(2)} x the image`
  const summary = tableWith(`${megabytes(image.size)}, links of ${options.rate}`, 'last host done', 'registry sent')
  summary.push(
    [`1 plain pull${how}`, seconds(one.seconds), multiple(one.sent)],
    [`${n} plain pulls at once${how}`, seconds(all.seconds), multiple(all.sent)],
    [`${n} pulls through shoal`, seconds(slowest), multiple(sent)],
  )
  say(summary.toString())
  return 0
}

/** The slowest of some pulls, and what the registry sent for them. */
async function timed(stage: Stage, pulls: () => Promise<Pulled[]>): Promise<{ seconds: number; sent: number }> {
  const before = await stage.registrySent()
  const slowest = Math.max(...(await pulls()).map((pulled) => pulled.seconds))
  return { seconds: slowest, sent: (await stage.registrySent()) - before }
}

function tableWith(...head: string[]): Table.Table {
  return new Table({ head, style: { head: [], border: [], compact: true } })
}

/** Waits until every node knows every other; goes on without after a while, because a pull must work then too. */
async function acquainted(nodes: readonly LabNode[]): Promise<void> {
  const start = performance.now()
  for (;;) {
    const known = await Promise.all(nodes.map((node) => node.members()))
    const elapsed = (performance.now() - start) / 1000
    if (known.every((count) => count >= nodes.length)) return say(`  all know each other after ${seconds(elapsed)}`)
    if (elapsed > 30)
      return say(`  after ${seconds(elapsed)} they know only ${known.join(', ')} nodes; pulling all the same`)
    await Bun.sleep(250)
  }
}

async function tableOf(
  stage: Stage,
  nodes: readonly LabNode[],
  pulls: readonly PromiseSettledResult<Pulled>[],
): Promise<string> {
  const table = tableWith('host', 'seconds', 'from peers', 'from the registry', 'to peers')
  for (const [i, pull] of pulls.entries()) {
    const node = nodes[i]!
    const bytes = async (metric: string) => megabytes(await node.metric(metric))
    table.push([
      stage.places[i]!,
      pull.status === 'fulfilled' ? pull.value.seconds.toFixed(1) : 'failed',
      await bytes('shoal_peer_received_bytes_total'),
      await bytes('shoal_source_bytes_total'),
      await bytes('shoal_peer_sent_bytes_total'),
    ])
  }
  return table.toString()
}

/** Undefined when there is nothing to do but to say so. */
function optionsOf(args: string[]): Options | undefined {
  try {
    const { values } = parseArgs({
      args,
      options: {
        hosts: { type: 'string', default: '8' },
        rate: { type: 'string', default: '100mbit' },
        size: { type: 'string', default: '100' },
        loopback: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    if (values.help) {
      say(help)
      process.exit(0)
    }
    bitsPerSecond(values.rate)
    return {
      hosts: within(values.hosts, '--hosts', 2, 100),
      rate: values.rate,
      size: within(values.size, '--size', 2, 2000) * 1e6,
      loopback: values.loopback,
    }
  } catch (error) {
    console.error(`scripts/demo: ${error instanceof Error ? error.message : error}\n${help}`)
  }
}

function within(text: string, flag: string, least: number, most: number): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw new Error(`${flag} takes a whole number from ${least} to ${most}, not "${text}"`)
}

try {
  process.exit(await main())
} catch (error) {
  console.error(`scripts/demo: ${error instanceof Error ? error.message : error}`)
  process.exit(1)
}
