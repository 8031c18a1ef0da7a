/**
 * An image is pushed to a seed whose repositories are kept in an object store, and pulled by hosts at once; then every
 * node ends as a crash would end it and its disk is gone. What of the image is left?
 */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, parseDigest } from '../../src/oci/digest.ts'
import { Dockerd } from './engines/dockerd.ts'
import type { Host } from './host.ts'
import { pushImage, type Written, writeImage } from './image.ts'
import { Lab } from './lab.ts'
import { layerSizes, syntheticLayers } from './layers.ts'
import { LabNode } from './node.ts'
import { type Pulled, pullOn } from './pull.ts'
import { LabS3 } from './s3.ts'
import { until } from './until.ts'

export interface LostSeedInit {
  /** Of the image. */
  readonly bytes: number
  readonly layers: number
  /** That pull it at once. */
  readonly hosts: number
  /** What each host's link carries each way. */
  readonly rate?: string
  /** `through` or `back`. */
  readonly write: string
  /** Who pushes. Default `skopeo`. */
  readonly client?: 'skopeo' | 'docker'
  /** Told of each step. */
  readonly say?: (what: string) => void
}

export interface LostSeed {
  readonly digest: Digest
  readonly size: number
  /** Until the client that pushed heard that it is done, and until nothing was owed to the store. */
  readonly pushSeconds: number
  readonly owedSeconds: number
  /** Of each host. */
  readonly pulls: readonly Pulled[]
  /** What all nodes read of the object store for them. */
  readonly readForPulls: number
  /** By a host that had nothing, from a seed that had lost all. */
  readonly after: Pulled
  readonly readAfter: number
  readonly tagsAfter: readonly string[]
}

const repository = 'apps.corp/team/app'
const tag = 'v1'
const name = `127.0.0.1:4880/${repository}:${tag}`

/** @throws when anything of it fails */
export async function lostSeed(init: LostSeedInit): Promise<LostSeed> {
  const { bytes, layers, hosts, rate, write, client = 'skopeo', say = () => {} } = init
  const names = Array.from({ length: hosts }, (_, i) => `h${i + 1}`)
  const lab = await Lab.create({ hosts: ['store', 'seed', 'late', ...names], ...(rate ? { rate } : {}) })
  try {
    const [store, seedHost] = [lab.host('store'), lab.host('seed')]
    const s3 = await LabS3.start({ host: store, dir: join(store.dir, 's3') })
    const startSeed = () =>
      new LabNode({
        host: seedHost,
        env: s3.env,
        flags: [
          ...['--no-mdns', '--mode', 'scheduler,seed', '--push', '--home', `apps.corp/**=${s3.url('home')}`],
          ...['--home-write', write],
        ],
      }).ready()
    const startPeer = (name: string) =>
      new LabNode({ host: lab.host(name), flags: ['--no-mdns', '--mode', 'peer', '--join', seedHost.address] }).ready()
    say('an object store')
    let seed = await startSeed()
    const peers = await Promise.all(names.map(startPeer))
    await until(
      'the seed knows all peers',
      30,
      async () => (await seed.metric('shoal_members', { mode: 'peer' })) === hosts,
    )

    const folder = join(lab.dir, 'layers')
    mkdirSync(folder)
    const made = await syntheticLayers(folder, layerSizes(bytes, layers), 1)
    const image = writeImage(join(lab.dir, 'layout'), tag, { layers: made })
    const engine = client === 'docker' ? await loaded(seedHost, image) : undefined
    say('nodes, and an image')
    const begun = performance.now()
    if (engine) await engine.docker('push', '--quiet', name)
    else await pushImage(image, '127.0.0.1:4880', repository, tag, { from: seedHost })
    const pushed = performance.now()
    const owed = async () => (JSON.parse(await seed.get('/api/v1/home')) as { waiting: number }).waiting
    await until('the object store has all of it', 300, async () => (await owed()) === 0)
    const kept = performance.now()
    say('pushed')

    const read = async (nodes: readonly LabNode[]) =>
      (await Promise.all(nodes.map((node) => node.metric('shoal_source_bytes_total')))).reduce((a, b) => a + b, 0)
    const before = await read([seed, ...peers])
    const at = Date.now() + 1000
    const pulls = await Promise.all(peers.map((peer) => pullOn(peer.host!, peer.mirror, repository, tag, at)))
    const readForPulls = (await read([seed, ...peers])) - before

    say('pulled')
    await Promise.all([seed, ...peers].map((node) => node.process.kill()))
    for (const node of [seed, ...peers]) rmSync(node.dataDir, { recursive: true })
    seed = await startSeed()
    const late = await startPeer('late')
    await until('the seed is known', 30, async () => (await late.metric('shoal_members', { mode: 'seed' })) === 1)
    say('started anew')
    const after = await pullOn(late.host!, late.mirror, repository, tag)
    say('pulled again')
    const list = await late.host!.get(`${late.mirror}/v2/${repository}/tags/list`)
    return {
      // dockerd compresses the layers anew.
      digest: engine ? await digestOfPushed(engine) : image.digest,
      size: after.bytes,
      pushSeconds: (pushed - begun) / 1000,
      owedSeconds: (kept - pushed) / 1000,
      pulls,
      readForPulls,
      after,
      readAfter: await read([seed, late]),
      tagsAfter: (JSON.parse(list) as { tags: string[] }).tags,
    }
  } finally {
    await lab.close()
  }
}

/** A dockerd that has the image, with a name to push it by. */
async function loaded(host: Host, { dir, tag }: Written): Promise<Dockerd> {
  const archive = join(dir, 'image.tar')
  await host.exec([
    'skopeo',
    '--insecure-policy',
    'copy',
    '--quiet',
    `oci:${dir}:${tag}`,
    `docker-archive:${archive}:${name}`,
  ])
  const engine = await Dockerd.start({ host, mirrors: [] })
  await engine.docker('load', '--quiet', '--input', archive)
  rmSync(archive)
  return engine
}

async function digestOfPushed(engine: Dockerd): Promise<Digest> {
  const [pushed = ''] = await engine.digestsOf(name)
  return parseDigest(pushed.split('@')[1] ?? '')
}
