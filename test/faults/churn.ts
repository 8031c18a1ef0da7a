/**
 * Half an hour of everything at once: clients that pull all the time, images that come and go, nodes that are killed, end
 * and come back with and without what they had, and a registry that does wrong now and then. Three nodes stay, and are
 * watched. Now and then all of it rests for a while, and then it is seen what these nodes have kept.
 */
import { readdirSync, rmSync } from 'node:fs'
import type { Random } from '../../src/clock.ts'
import type { Fault as Deviation } from '../fakes/registry.ts'
import { pull } from '../lab/pull.ts'
import { memoryOf } from '../load/process.ts'
import { type Fault, must, type Scene, within } from './fault.ts'
import { type Failed, Incidents } from './incidents.ts'
import { Stage } from './stage.ts'
import { type Sample, steadinessOf } from './steadiness.ts'

const nodes = 8
/** Those of the first places are left alone. */
const staying = 3
const clients = 6
/** Images that clients choose from; an older one goes when a new one comes. */
const images = 6
const layers = [3_000_000, 400_000]
/** Less than the images take together: the store has to drop some all the time. */
const cacheSize = '16MB'
const newImageEvery = 30
const watchEvery = 5
const mostRests = 10
/** After which connections that nobody uses are closed, and garbage was collected. Shorter where the load before it was short. */
const restSeconds = 40
/** No pull may take longer, whatever is done. */
const pullSeconds = 150

const mebi = 1024 * 1024
/** A shorter run is warm-up. */
const leastMinutes = 20
/** A minute: in twenty of them a tenth of what such a node has. */
const mostSlope = 0.8 * mebi
/** What the script itself uses has no such excuses as what the process takes: in all the rests. */
const mostHeapRise = 4 * mebi
const mostFilesRise = 8

/** What is known of a node that stays. */
interface Watched {
  readonly memory: Sample[]
  readonly heap: Sample[]
  readonly files: Sample[]
  /** Under load, before each rest. */
  readonly peaks: number[]
  mostFiles: number
}

interface World {
  readonly stage: Stage
  readonly random: Random
  readonly incidents: Incidents
  /** Since the load began. */
  seconds(): number
  /** When it rests next, or is over. */
  end: number
  /** Images so far. */
  released: number
  readonly tags: string[]
  readonly pulls: { done: number; bytes: number; readonly failed: Failed[] }
}

export function churn(minutes: number): Fault {
  return {
    name: `${minutes < 1 ? `${minutes * 60} seconds` : `${minutes} minutes`} of mixed load with churn`,
    family: 'crowd',
    outcome:
      'no client sees a failure but those of what was done to its node or to the registry, and the nodes that stay do not grow',
    quick: minutes < 1,
    boundSeconds: minutes * 60 + restsIn(minutes) * (restSeconds + pullSeconds) + 300,
    round: (scene) => round(scene, minutes),
  }
}

function restsIn(minutes: number): number {
  return Math.min(mostRests, Math.ceil(minutes))
}

async function round(scene: Scene, minutes: number): Promise<string> {
  const stage = await Stage.open(scene, { nodes, layers, flags: ['--cache-size', cacheSize, '--tag-ttl', '5s'] })
  const begun = performance.now()
  const world: World = {
    stage,
    random: scene.random,
    incidents: new Incidents(),
    seconds: () => (performance.now() - begun) / 1000,
    end: 0,
    released: 1,
    tags: ['v1'],
    pulls: { done: 0, bytes: 0, failed: [] },
  }
  const watched = Array.from(
    { length: staying },
    (): Watched => ({
      ...{ memory: [], heap: [], files: [], peaks: [], mostFiles: 0 },
    }),
  )
  const rests = restsIn(minutes)
  const shares: string[] = []
  const loadSeconds = (minutes * 60) / rests
  for (let rest = 1; rest <= rests; rest++) {
    for (const { peaks } of watched) peaks.push(0)
    world.end = world.seconds() + loadSeconds
    await Promise.all([
      ...Array.from({ length: clients }, () => client(world)),
      releases(world),
      nodesChurn(world),
      registryFails(world),
      watch(world, watched),
    ])
    shares.push(`${(stage.registry.sentBytes() / stage.size).toFixed(0)} for ${world.pulls.done}`)
    await settle(world, watched, { load: rest * loadSeconds, rest: Math.min(restSeconds, loadSeconds / 4) })
  }
  const told = judge(world)
  scene.notes.push(...told, `images that the registry sent, by the pulls done, until each rest: ${shares.join(', ')}`)
  await stage.audit()
  await stage.nobodyBanned()
  const judged = minutes >= leastMinutes
  const steady = watched.map(({ memory, heap, files, peaks, mostFiles }, place) => {
    const [resident, used, open] = [steadinessOf(memory, peaks), steadinessOf(heap), steadinessOf(files)]
    const inMebi = (bytes: number) => (bytes / mebi).toFixed(Math.abs(bytes) < 10 * mebi ? 1 : 0)
    scene.notes.push(
      `node ${place + 1}, MiB at each rest: ${resident.rests.map(inMebi).join(', ')}; ${inMebi(resident.slope)} a minute; at most ${peaks.map(inMebi).join(', ')} under load before them`,
      `node ${place + 1}, MiB of them that the script uses: ${used.rests.map(inMebi).join(', ')}; ${inMebi(used.slope)} a minute`,
      `node ${place + 1}, open files at each rest: ${open.rests.join(', ')}; ${open.slope.toFixed(2)} a minute; at most ${mostFiles} under load`,
    )
    if (!judged) return 'too short to say'
    must(
      resident.slope < mostSlope,
      `node ${place + 1} grew by ${inMebi(resident.slope)} MiB a minute after the warm-up`,
    )
    must(used.rise < mostHeapRise, `what node ${place + 1} uses grew by ${inMebi(used.rise)} MiB after the warm-up`)
    must(open.rise < mostFilesRise, `node ${place + 1} has ${open.rise.toFixed(0)} more open files`)
    return `${inMebi(resident.slope)} MiB, ${inMebi(used.slope)} MiB in use, and ${open.slope.toFixed(2)} files a minute`
  })
  const share = stage.registry.sentBytes() / stage.size
  return `${told[0]}; the nodes that stay grew by: ${steady.join(', ')}; the registry sent ${share.toFixed(0)} images`
}

/** What clients saw. @throws when a failure is not of what was done */
function judge({ pulls, incidents }: World): string[] {
  const causes = new Map<string, number>()
  const unexplained: Failed[] = []
  for (const failed of pulls.failed) {
    const cause = incidents.explains(failed)
    if (cause) causes.set(cause.what, (causes.get(cause.what) ?? 0) + 1)
    else unexplained.push(failed)
  }
  const list = (counts: Map<string, number>) => [...counts].map(([what, times]) => `${what} ${times}`).join(', ')
  const tell = ({ node, from, until, said }: Failed) =>
    `node ${node + 1} at ${from.toFixed(0)} s for ${(until - from).toFixed(0)} s: ${said.slice(0, 300)}`
  must(
    unexplained.length === 0,
    `${unexplained.length} pulls failed for no reason: ${unexplained.map(tell).join('; ')}`,
  )
  const megabytes = Math.round(pulls.bytes / 1e6)
  return [
    `${pulls.done} pulls, ${megabytes} MB, ${pulls.failed.length} failed, all of what was done`,
    `done: ${list(incidents.counts())}`,
    `pulls failed by: ${list(causes) || 'nothing'}`,
  ]
}

async function client(world: World): Promise<void> {
  const { stage, random, seconds, tags, pulls } = world
  while (!over(world)) {
    const node = Math.floor(random() * nodes)
    // The newest is what most want.
    const tag = tags[Math.floor(random() ** 2 * tags.length)]!
    const from = seconds()
    try {
      const pulled = await within('a pull', pullSeconds, pull(stage.node(node).mirror, 'team/app', tag))
      pulls.done++
      pulls.bytes += pulled.bytes
    } catch (error) {
      pulls.failed.push({ node, from, until: seconds(), said: String(error) })
    }
    await Bun.sleep(200 + random() * 1500)
  }
}

/** New images under new tags, and new ones under old tags. */
async function releases(world: World): Promise<void> {
  const { stage, random, tags } = world
  for (;;) {
    if (world.released >= images) await pass(world, newImageEvery)
    if (over(world)) return
    const seed = ++world.released
    if (random() < 0.2) stage.publish(tags[0]!, seed)
    else {
      stage.publish(`v${seed}`, seed)
      tags.unshift(`v${seed}`)
      tags.splice(images)
    }
  }
}

async function nodesChurn(world: World): Promise<void> {
  const { stage, random, incidents, seconds } = world
  for (;;) {
    await pass(world, 3 + random() * 9)
    if (over(world)) return
    const place = staying + Math.floor(random() * (nodes - staying))
    const { process, dataDir } = stage.node(place)
    const kind = random()
    const back = incidents.begin(
      kind < 0.5 ? 'node killed' : kind < 0.8 ? 'node stopped' : 'node replaced',
      seconds(),
      place,
    )
    if (kind < 0.5) await process.kill()
    else await process.stop(30_000)
    if (kind >= 0.8) rmSync(dataDir, { recursive: true })
    await Bun.sleep(random() * 6000)
    await stage.launch(place).ready(60)
    back(seconds())
  }
}

const deviations: readonly (readonly [string, Deviation])[] = [
  ['HTTP 500', { status: 500 }],
  ['HTTP 503', { status: 503 }],
  ['HTTP 404 of blobs', { status: 404, path: '/blobs/' }],
  ['HTTP 429 for a second', { status: 429, headers: { 'retry-after': '1' } }],
  ['bodies cut', { cutAfter: 500_000, path: '/blobs/', times: 20 }],
  ['a body stalls', { stallAfter: 700_000, path: '/blobs/', times: 1 }],
  ['no answers', { silent: true }],
  ['slow bodies', { rate: 1e6, path: '/blobs/' }],
]

async function registryFails(world: World): Promise<void> {
  const { stage, random, incidents, seconds } = world
  for (;;) {
    // Most of the time it is well, or failures would explain everything.
    await pass(world, 25 + random() * 20)
    if (over(world)) return
    const [what, deviation] = deviations[Math.floor(random() * deviations.length)]!
    const well = incidents.begin(what, seconds())
    stage.deviate(deviation)
    await Bun.sleep(1000 + random() * 6000)
    stage.registry.mend()
    well(seconds())
  }
}

async function watch(world: World, watched: readonly Watched[]): Promise<void> {
  while (!over(world)) {
    for (const [place, node] of watched.entries()) {
      const { memory, files } = look(world, place)
      node.peaks.push(Math.max(node.peaks.pop() ?? 0, memory))
      node.mostFiles = Math.max(node.mostFiles, files)
    }
    await pass(world, watchEvery)
  }
}

/** Nobody asks for anything: what is there now is there for no reason but the past. */
async function settle(
  world: World,
  watched: readonly Watched[],
  { load, rest }: { load: number; rest: number },
): Promise<void> {
  for (let second = 0; second < rest; second++) {
    await Bun.sleep(1000)
    for (const [place, node] of watched.entries()) {
      const { memory, files } = look(world, place)
      node.memory.push({ seconds: load, value: memory })
      node.files.push({ seconds: load, value: files })
      if (second % 5 > 0) continue
      node.heap.push({ seconds: load, value: await world.stage.node(place).metric('process_heap_bytes') })
    }
  }
}

function look({ stage }: World, place: number): { memory: number; files: number } {
  const { process } = stage.node(place)
  must(process.running, `node ${place + 1}, which nobody touched, ended: ${process.logged().slice(-500)}`)
  return { memory: memoryOf(process.pid).resident, files: readdirSync(`/proc/${process.pid}/fd`).length }
}

function over({ seconds, end }: World): boolean {
  return seconds() >= end
}

/** Waits for so long, or until the load rests. */
async function pass({ seconds, end }: World, most: number): Promise<void> {
  await Bun.sleep(Math.max(0, Math.min(most, end - seconds()) * 1000))
}
