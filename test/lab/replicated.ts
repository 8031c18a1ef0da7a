/**
 * Two clusters of one seed each, on loopback addresses of the machine: images are pushed to the first with skopeo, which
 * copies them to the second while that is killed and comes back, and while the first is. In the end every tag and every
 * digest has to be the same on both sides, and whole.
 */
import { join } from 'node:path'
import { z } from 'zod'
import { replicationSchema } from '../../src/admin/replication.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { acceptManifests, contentsOf } from '../../src/oci/media.ts'
import { pushImage, writeImage } from './image.ts'
import { syntheticLayer } from './layers.ts'
import { LabNode } from './node.ts'
import { until } from './until.ts'

export interface ReplicatedInit {
  readonly dir: string
  /** Two of 127.0.0.0/8. */
  readonly addresses: readonly [string, string]
  readonly pushes: number
  /** The target is away for so long, at least. */
  readonly outageSeconds: number
  /** The source is killed as well, and started again. */
  readonly killSource: boolean
}

export interface Replicated {
  readonly tags: number
  readonly digests: number
  /** Tags and manifests that waited when the target came back. */
  readonly waited: number
  /** From then on until everything was there, ms. */
  readonly caughtUpMs: number
  readonly failedTries: number
}

const repositories = ['apps.corp/team/app', 'apps.corp/team/tools', 'apps.corp/base']
const tagsSchema = z.object({ tags: z.array(z.string()) })

/** @throws when something differs, or does not come within two minutes */
export async function replicatedOverOutage(init: ReplicatedInit): Promise<Replicated> {
  const { dir, addresses, pushes, outageSeconds, killSource } = init
  const [here, there] = addresses
  const common = ['--no-mdns', '--push', '--home', 'apps.corp/**', '--only-listed-upstreams']
  const startTarget = () => new LabNode({ address: there, dir: join(dir, 'target'), flags: common }).ready()
  const rule = ['--replicate', `apps.corp/**=http://${there}:14880`]
  const startSource = () =>
    new LabNode({ address: here, dir: join(dir, 'source'), flags: [...common, ...rule] }).ready()
  let target = await startTarget()
  let source = await startSource()
  const nodes = new Set([target, source])
  try {
    const push = async (i: number) => {
      const layer = await syntheticLayer(join(dir, 'layers'), 20_000 + i, i)
      // A fifth of the pushes move a tag.
      const round = Math.floor(i / repositories.length)
      const tag = `v${round % Math.floor((pushes * 0.8) / repositories.length)}`
      const image = writeImage(join(dir, `image-${i}`), tag, { layers: [layer] })
      await pushImage(image, `${here}:14880`, repositories[i % repositories.length]!, tag)
    }
    const [away, back] = [Math.floor(pushes / 4), Math.floor((pushes * 3) / 4)]
    for (let i = 0; i < away; i++) await push(i)
    await target.process.kill()
    const gone = performance.now()
    for (let i = away; i < back; i++) {
      await push(i)
      if (killSource && i === Math.floor(pushes / 2)) {
        await source.process.kill()
        source = await startSource()
        nodes.add(source)
      }
    }
    while (performance.now() - gone < outageSeconds * 1000) await Bun.sleep(100)
    const waited = (await progress(source)).waiting
    target = await startTarget()
    nodes.add(target)
    const returned = performance.now()
    for (let i = back; i < pushes; i++) await push(i)
    await until('everything is at the target', 120, async () => (await progress(source)).waiting === 0)
    const caughtUpMs = performance.now() - returned
    const failedTries = await source.metric('shoal_replication_tasks_total', { result: 'failed' })
    return { ...(await compare(source, target)), waited, caughtUpMs, failedTries }
  } finally {
    for (const node of nodes) await node.process.stop()
  }
}

async function progress(node: LabNode) {
  const { rules } = replicationSchema.parse(JSON.parse(await node.get('/api/v1/replication')))
  return rules[0]!
}

/** @throws when a tag or a digest is not the same on both sides, or its bytes are not there */
async function compare(source: LabNode, target: LabNode): Promise<{ tags: number; digests: number }> {
  const digests = new Set<string>()
  let tags = 0
  for (const repository of repositories) {
    const [mine, theirs] = await Promise.all([tagsAt(source, repository), tagsAt(target, repository)])
    if (mine.join() !== theirs.join()) throw new Error(`${repository} has the tags ${mine}, and there ${theirs}`)
    for (const tag of mine) {
      tags++
      const [here, there] = await Promise.all([
        read(source, repository, 'manifests', tag),
        read(target, repository, 'manifests', tag),
      ])
      const digest = digestOf(here)
      if (digestOf(there) !== digest) throw new Error(`${repository}:${tag} is ${digest}, and there ${digestOf(there)}`)
      digests.add(digest)
      for (const blob of contentsOf(there).blobs) {
        digests.add(blob.digest)
        if (digestOf(await read(target, repository, 'blobs', blob.digest)) !== blob.digest) {
          throw new Error(`${repository} has other bytes there for ${blob.digest}`)
        }
      }
    }
  }
  return { tags, digests: digests.size }
}

async function tagsAt(node: LabNode, repository: string): Promise<string[]> {
  const answer = await fetch(`${node.mirror}/v2/${repository}/tags/list`)
  return tagsSchema.parse(await answer.json()).tags.sort()
}

async function read(
  node: LabNode,
  repository: string,
  kind: 'manifests' | 'blobs',
  reference: string,
): Promise<Uint8Array> {
  const url = `${node.mirror}/v2/${repository}/${kind}/${reference}`
  const answer = await fetch(url, { headers: { accept: acceptManifests } })
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`)
  return answer.bytes()
}
