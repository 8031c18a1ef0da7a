/**
 * A cluster is brought to another release node by node, while every host pulls: new images all the time, through its own
 * node, which is away for a moment once. What nodes had stored is there afterwards, in the form of the new release.
 */
import { join } from 'node:path'
import { pullAsEngine } from '../lab/engine-pull.ts'
import { run, tryRun } from '../lab/run.ts'
import { until } from '../lab/until.ts'
import { type Fault, must, type Scene, within } from './fault.ts'
import { Stage } from './stage.ts'

export interface Releases {
  /** Binaries. */
  readonly old: string
  readonly next: string
}

const layers = [4_000_000, 1_000_000, 200_000]
const newImageEveryMs = 1_000
/** A pull may take as long, whatever is done. */
const pullSeconds = 60
/** A node has half a minute to end. */
const stopMs = 35_000

interface Load {
  tag: string
  over: boolean
  pulls: number
  bytes: number
  elsewhere: number
  resumed: number
  readonly failed: string[]
}

/** @param nodes how many */
export function upgrade(releases: Releases, nodes = 8): Fault {
  return {
    name: `${nodes} nodes are brought to another release under load`,
    family: 'crowd',
    outcome: 'no pull fails, and what the nodes had stored is still theirs',
    quick: true,
    boundSeconds: 600,
    round: (scene) => round(scene, releases, nodes),
  }
}

async function round(scene: Scene, { old, next }: Releases, nodes: number): Promise<string> {
  const [from, to] = await Promise.all([old, next].map(versionOf))
  const upgraded = new Set<number>()
  const stage = await Stage.open(scene, {
    nodes,
    layers,
    binary: (place) => (upgraded.has(place) ? next : old),
  })
  const load: Load = { tag: 'v1', over: false, pulls: 0, bytes: 0, elsewhere: 0, resumed: 0, failed: [] }
  const begun = performance.now()
  const clients = stage.nodes.map((_, place) => client(stage, place, load))
  const releasing = newImages(stage, load)
  let away = 0
  try {
    await until('every host has pulled', 60, () => load.pulls >= nodes)
    for (const place of stage.nodes.keys()) {
      const stopped = performance.now()
      const code = await stage.node(place).process.stop(stopMs)
      must(code === 0, `node ${place + 1} of the old release ended with ${code}`)
      upgraded.add(place)
      await stage.launch(place).ready(60)
      away = Math.max(away, (performance.now() - stopped) / 1000)
      await until(`node ${place + 1} knows the others`, 60, async () => (await stage.node(place).members()) === nodes)
    }
  } finally {
    load.over = true
    await Promise.all([...clients, releasing])
  }
  const seconds = (performance.now() - begun) / 1000
  must(load.failed.length === 0, `${load.failed.length} of ${load.pulls} pulls failed: ${load.failed.join('; ')}`)
  await stage.acquainted()
  await kept(stage)
  await stage.audit()
  await stage.nobodyBanned()
  const refusal = await olderOn(scene, stage, old)
  scene.notes.push(`from ${from}`, `to ${to}`, refusal)
  return (
    `${load.pulls} pulls of ${Math.round(load.bytes / 1e6)} MB in ${seconds.toFixed(1)} s, 0 failed; ` +
    `a node was away for ${away.toFixed(1)} s at most; ${load.elsewhere} requests were answered by the stand-by or the ` +
    `registry, ${load.resumed} bodies went on there`
  )
}

/** Its own node, the next one as a stand-by, then the registry: as `shoal configure` has it. */
async function client(stage: Stage, place: number, load: Load): Promise<void> {
  while (!load.over) {
    const places = [
      stage.node(place).mirror,
      stage.node((place + 1) % stage.nodes.length).mirror,
      `http://${stage.registry.host}`,
    ]
    try {
      const pulled = await within('a pull', pullSeconds, pullAsEngine(places, 'team/app', load.tag))
      load.bytes += pulled.bytes
      load.elsewhere += pulled.elsewhere
      load.resumed += pulled.resumed
    } catch (error) {
      load.failed.push(`host ${place + 1}: ${String(error).slice(0, 300)}`)
    }
    load.pulls++
    await Bun.sleep(50)
  }
}

async function newImages(stage: Stage, load: Load): Promise<void> {
  for (let image = 2; !load.over; image++) {
    await Bun.sleep(newImageEveryMs)
    stage.publish(`v${image}`, image)
    load.tag = `v${image}`
  }
}

/** What every node had before: the first image, which the registry is not asked for again. */
async function kept(stage: Stage): Promise<void> {
  const before = stage.registry.sentBytes()
  for (const place of stage.nodes.keys()) {
    const end = await stage.pull(place, pullSeconds)
    must(end.worked, `node ${place + 1} does not have the image that it had`)
  }
  const again = stage.registry.sentBytes() - before
  must(again < 1_000_000, `the registry was asked for ${again} bytes that all nodes had before`)
}

/** @throws unless the old release refuses what the new one has written, in words; @returns what it says */
async function olderOn(scene: Scene, stage: Stage, old: string): Promise<string> {
  const { process, dataDir } = stage.node(0)
  await process.stop(stopMs)
  const ports = ['registry', 'peer', 'p2p', 'admin'].flatMap((name) => [`--${name}-addr`, '127.0.0.1:0'])
  const command = [old, 'up', '--no-mdns', '--data-dir', dataDir, ...ports, '--log-level', 'error']
  const { code, stdout, stderr } = await within('the old release', 30, tryRun(['timeout', '20', ...command]))
  const said = `${stdout}${stderr}`.trim()
  must(code === 1, `the old release, given what the new one wrote, ended with ${code}: ${said.slice(-500)}`)
  must(/was written by a newer shoal \(schema \d+, this one knows \d+\)/.test(said), `the old release said: ${said}`)
  return `the old release on the new one's data: ${said.split('\n').at(-1)!.replaceAll(join(scene.dir, ''), '')}`
}

async function versionOf(binary: string): Promise<string> {
  return (await run([binary, 'version'])).trim()
}
