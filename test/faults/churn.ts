/**
 * Half an hour of everything at once: clients that pull all the time, images that come and go, nodes that are killed, end
 * and come back with and without what they had, and a registry that does wrong now and then. Three nodes stay, and are
 * watched.
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
const sampleEvery = 5
/** No pull may take longer, whatever is done. */
const pullSeconds = 150

const mebi = 1024 * 1024
/** A shorter run is warm-up. */
const leastMinutes = 5
const mostRise = 48 * mebi
const mostFilesRise = 16

interface World {
  readonly stage: Stage
  readonly random: Random
  readonly incidents: Incidents
  /** Since the load began. */
  seconds(): number
  readonly end: number
  readonly tags: string[]
  readonly pulls: { done: number; bytes: number; readonly failed: Failed[] }
}

export function churn(minutes: number): Fault {
  return {
    name: `${minutes} minutes of mixed load with churn`,
    family: 'crowd',
    outcome:
      'no client sees a failure but those of what was done to its node or to the registry, and the nodes that stay do not grow',
    quick: false,
    boundSeconds: minutes * 60 + 900,
    round: (scene) => round(scene, minutes),
  }
}

async function round(scene: Scene, minutes: number): Promise<string> {
  const stage = await Stage.open(scene, { nodes, layers, flags: ['--cache-size', cacheSize, '--tag-ttl', '5s'] })
  const begun = performance.now()
  const world: World = {
    stage,
    random: scene.random,
    incidents: new Incidents(),
    seconds: () => (performance.now() - begun) / 1000,
    end: minutes * 60,
    tags: ['v1'],
    pulls: { done: 0, bytes: 0, failed: [] },
  }
  const watched = Array.from({ length: staying }, () => ({ memory: [] as Sample[], files: [] as Sample[] }))
  await Promise.all([
    ...Array.from({ length: clients }, () => client(world)),
    releases(world),
    nodesChurn(world),
    registryFails(world),
    watch(world, watched),
  ])
  stage.registry.mend()
  const told = judge(world)
  scene.notes.push(...told)
  await stage.audit()
  await stage.nobodyBanned()
  const judged = minutes >= leastMinutes
  const steady = watched.map(({ memory, files }, place) => {
    const [resident, open] = [steadinessOf(memory), steadinessOf(files)]
    const inMebi = (bytes: number) => (bytes / mebi).toFixed(bytes < 10 * mebi ? 1 : 0)
    scene.notes.push(
      `node ${place + 1}, least MiB of each minute: ${resident.minutes.map(inMebi).join(', ')}; ${inMebi(resident.slope)} MiB a minute`,
      `node ${place + 1}, least open files of each minute: ${open.minutes.join(', ')}; ${open.slope.toFixed(2)} a minute`,
    )
    if (!judged) return 'too short to say'
    must(resident.rise < mostRise, `node ${place + 1} grew by ${inMebi(resident.rise)} MiB after the warm-up`)
    must(open.rise < mostFilesRise, `node ${place + 1} has ${open.rise.toFixed(0)} more open files`)
    return `${inMebi(resident.slope)} MiB and ${open.slope.toFixed(2)} files a minute`
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

async function client({ stage, random, seconds, end, tags, pulls }: World): Promise<void> {
  while (seconds() < end) {
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
async function releases({ stage, random, seconds, end, tags }: World): Promise<void> {
  for (let seed = 2; seconds() < end; seed++) {
    if (seed > images) await Bun.sleep(newImageEvery * 1000)
    if (random() < 0.2) stage.publish(tags[0]!, seed)
    else {
      stage.publish(`v${seed}`, seed)
      tags.unshift(`v${seed}`)
      tags.splice(images)
    }
  }
}

async function nodesChurn({ stage, random, incidents, seconds, end }: World): Promise<void> {
  while (seconds() < end) {
    await Bun.sleep(3000 + random() * 9000)
    const place = staying + Math.floor(random() * (nodes - staying))
    const { process, dataDir } = stage.node(place)
    const kind = random()
    const over = incidents.begin(
      kind < 0.5 ? 'node killed' : kind < 0.8 ? 'node stopped' : 'node replaced',
      seconds(),
      place,
    )
    if (kind < 0.5) await process.kill()
    else await process.stop(30_000)
    if (kind >= 0.8) rmSync(dataDir, { recursive: true })
    await Bun.sleep(random() * 6000)
    await stage.launch(place).ready(60)
    over(seconds())
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

async function registryFails({ stage, random, incidents, seconds, end }: World): Promise<void> {
  while (seconds() < end) {
    // Most of the time it is well, or failures would explain everything.
    await Bun.sleep(25_000 + random() * 20_000)
    const [what, deviation] = deviations[Math.floor(random() * deviations.length)]!
    const over = incidents.begin(what, seconds())
    stage.deviate(deviation)
    await Bun.sleep(1000 + random() * 6000)
    stage.registry.mend()
    over(seconds())
  }
}

async function watch(
  { stage, seconds, end }: World,
  watched: readonly { readonly memory: Sample[]; readonly files: Sample[] }[],
): Promise<void> {
  while (seconds() < end) {
    for (const [place, { memory, files }] of watched.entries()) {
      const { process } = stage.node(place)
      must(process.running, `node ${place + 1}, which nobody touched, ended: ${process.logged().slice(-500)}`)
      memory.push({ seconds: seconds(), value: memoryOf(process.pid).resident })
      files.push({ seconds: seconds(), value: readdirSync(`/proc/${process.pid}/fd`).length })
    }
    await Bun.sleep(sampleEvery * 1000)
  }
}
