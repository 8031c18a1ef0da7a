/** The cluster's key is changed while hosts pull, as an operator does it: one host after the other, in three steps. */
import { copyFileSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { newClusterKey } from '../../src/cli/keygen.ts'
import { builtBinary, type LabNode } from '../lab/node.ts'
import { run } from '../lab/run.ts'
import { until } from '../lab/until.ts'
import { type Fault, must, type Scene } from './fault.ts'
import { type End, Stage } from './stage.ts'

const hosts = 4
const name = 'cluster.key'

interface KeyFacts {
  readonly key?: string
  readonly alsoAdmit?: readonly string[]
}

/** Fingerprints of what admits there, the one in use first. */
async function keysOf(node: LabNode): Promise<string> {
  const { cluster } = JSON.parse(await node.get('/api/v1/node')) as { cluster: KeyFacts }
  return [cluster.key, ...(cluster.alsoAdmit ?? [])].join()
}

async function rotated(scene: Scene): Promise<string> {
  const master = join(scene.dir, name)
  await Bun.write(master, newClusterKey(), { mode: 0o600 })
  const folder = (place: number) => join(scene.dir, `node${place + 1}`)
  /** As a tool that copies files to hosts does it: beside the old one, and then in its place. */
  const give = (place: number) => {
    copyFileSync(master, join(folder(place), `${name}.new`))
    renameSync(join(folder(place), `${name}.new`), join(folder(place), name))
  }
  for (let place = 0; place < hosts; place++) {
    mkdirSync(folder(place), { recursive: true })
    give(place)
  }
  // A node runs in its own folder.
  const encrypted = scene.random() < 0.5
  const flags = ['--cluster-key-file', name, ...(encrypted ? ['--encrypt'] : [])]
  const stage = await Stage.open(scene, { nodes: hosts, layers: [3_000_000, 1_000_000], flags })
  // Slow enough for every step to come in the middle of a pull.
  stage.deviate({ rate: 2e6, path: '/blobs/' })
  const first = await keysOf(stage.node(0))

  let over = false
  let images = 0
  const ends: End[] = []
  const pulling = (async () => {
    while (!over) {
      const tag = `load${++images}`
      stage.publish(tag, 1 + images)
      ends.push(...(await Promise.all(stage.nodes.map((_, place) => stage.pull(place, 90, tag)))))
    }
  })()
  // Its end is looked at below.
  pulling.catch(() => {})
  try {
    await until('a pull is done', 60, () => ends.length > 0)
    for (let step = 1; step <= 3; step++) {
      const said = await run([builtBinary, 'keygen', '--rotate', master])
      must(said.startsWith(`step ${step} of 3`), `keygen said ${said}`)
      for (const [place, node] of stage.nodes.entries()) {
        const before = await keysOf(node)
        give(place)
        // Some are told, the others look by themselves.
        if (scene.random() < 0.5) node.process.signal('SIGHUP')
        await until(`node ${place + 1} has taken step ${step}`, 20, async () => (await keysOf(node)) !== before, 50)
        await Bun.sleep(scene.random() * 500)
      }
    }
    const pulls = ends.length
    await until('pulls go on after the last step', 90, () => ends.length >= pulls + 2 * hosts)
  } finally {
    over = true
  }
  await pulling

  const failed = ends.filter((end) => !end.worked)
  must(failed.length === 0, `${failed.length} of ${ends.length} pulls failed: ${JSON.stringify(failed[0])}`)
  const keys = new Set(await Promise.all(stage.nodes.map(keysOf)))
  const [last = ''] = keys
  must(keys.size === 1 && !last.includes(',') && last !== first, `keys at the end: ${[...keys].join(' and ')}`)
  must(!readFileSync(master, 'utf8').includes('# next'), 'the file is in the middle of a change')
  await stage.acquainted()
  const refused = await Promise.all(stage.nodes.map((node) => node.metric('shoal_peer_refused_total')))
  must(
    refused.every((count) => count === 0),
    `members refused each other's requests: ${refused.join(', ')}`,
  )
  await stage.audit()
  await stage.nobodyBanned()
  const bytes = await Promise.all(stage.nodes.map((node) => node.metric('shoal_source_bytes_total')))
  const share = bytes.reduce((a, b) => a + b, 0) / (images * stage.size)
  must(share < 2, `the source sent ${share.toFixed(2)} times what there is`)
  return `${encrypted ? 'encrypted, ' : ''}${ends.length} pulls of ${images} images by ${hosts} hosts; the source sent ${share.toFixed(2)} times each, and no request was refused`
}

export const keyFaults: readonly Fault[] = [
  {
    name: 'the cluster key is changed while hosts pull',
    family: 'network',
    outcome:
      'every pull works, no member refuses another at any step, in whatever order hosts get the file, and at the end the new key alone admits',
    quick: false,
    boundSeconds: 400,
    round: rotated,
  },
]
