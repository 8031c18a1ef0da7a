import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, parseDigest } from '../../src/oci/digest.ts'
import { pushImage, type Written, writeImage } from '../lab/image.ts'
import { scratchRoot } from '../lab/lab.ts'
import { syntheticLayer } from '../lab/layers.ts'
import { LabNode } from '../lab/node.ts'
import { LabRegistry } from '../lab/registry.ts'
import { tryRun } from '../lab/run.ts'
import { until } from '../lab/until.ts'

const missing = ['skopeo', 'curl', 'docker-registry'].filter((program) => !Bun.which(program))
if (missing.length > 0)
  console.log(`skipped: images by digest without their registry: not there: ${missing.join(', ')}`)

const ann = { user: 'ann', password: 'open-sesame' }

describe.skipIf(missing.length > 0)('while its registry is down, an image named by digest', () => {
  let dir: string
  let open: LabRegistry
  let corp: LabRegistry
  const images = new Map<string, { image: Written; layer: Digest }>()
  /** The one had both images, the other none. */
  let had: LabNode
  let had2: LabNode
  let never: LabNode

  beforeAll(async () => {
    dir = mkdtempSync(join(scratchRoot, 'shoal-offline-'))
    open = await LabRegistry.start({ dir: join(dir, 'open') })
    corp = await LabRegistry.start({ dir: join(dir, 'corp'), account: ann })
    for (const [seed, name, registry] of [
      [1, 'open.lab', open],
      [2, 'corp.lab', corp],
    ] as const) {
      const layer = await syntheticLayer(dir, 300_000, seed)
      const image = writeImage(join(dir, name), 'v1', { layers: [layer] })
      images.set(name, { image, layer: parseDigest(layer.digest) })
      await pushImage(image, registry.hostPort, 'org/app', 'v1', registry === corp ? { account: ann } : {})
    }
    const none = join(dir, 'none.json')
    writeFileSync(none, '{}')
    const upstreams = ['--upstream', `open.lab=${open.url}`, '--upstream', `corp.lab=${corp.url}`]
    const flags = ['--no-mdns', '--credentials-file', none, ...upstreams]
    had = new LabNode({ address: '127.0.74.1', dir: join(dir, 'had'), flags })
    const joined = [...flags, '--join', had.p2p]
    had2 = new LabNode({ address: '127.0.74.2', dir: join(dir, 'had2'), flags: joined })
    never = new LabNode({ address: '127.0.74.3', dir: join(dir, 'never'), flags: joined })
    const nodes = [had, had2, never]
    await Promise.all(nodes.map((node) => node.ready()))
    await until('they know each other', 20, async () =>
      (await Promise.all(nodes.map((node) => node.members()))).every((count) => count === nodes.length),
    )
    for (const node of [had, had2]) {
      expect(await all(node, 'open.lab')).toEqual([200, 200])
      expect(await all(node, 'corp.lab', ann.password)).toEqual([200, 200])
    }
    await Promise.all([open.kill(), corp.kill()])
  }, 90_000)
  afterAll(async () => {
    await Promise.all([had, had2, never].map((node) => node?.process.stop()))
    await Promise.all([open?.stop(), corp?.stop()])
    if (dir) rmSync(dir, { recursive: true, force: true })
  })

  /** Statuses of its manifest and its layer. */
  function all(node: LabNode, registry: string, password?: string): Promise<number[]> {
    const { image, layer } = images.get(registry)!
    const show = password === undefined ? [] : ['--user', `${ann.user}:${password}`]
    const command = ['curl', '--silent', '--max-time', '60', '--output', '/dev/null', '--write-out', '%{http_code}']
    const get = async (path: string) =>
      Number((await tryRun([...command, ...show, `${node.mirror}/v2/${registry}/org/app/${path}`])).stdout)
    return get(`manifests/${image.digest}`).then(async (manifest) => [manifest, await get(`blobs/${layer}`)])
  }

  test('comes to a node that never had it, if it is public', async () => {
    expect(await all(never, 'open.lab')).toEqual([200, 200])
  }, 120_000)

  test('comes, if it is private, to who proved the right at that node', async () => {
    expect(await all(had, 'corp.lab', ann.password)).toEqual([200, 200])
  }, 120_000)

  test('does not come, if it is private, to who did not, there or at another node', async () => {
    const before = await never.metric('shoal_registry_sent_bytes_total')
    for (const node of [had, had2, never]) {
      for (const password of [undefined, 'guess']) expect(await all(node, 'corp.lab', password)).toEqual([404, 404])
    }
    expect(await all(never, 'corp.lab', ann.password)).toEqual([404, 404])
    expect(await never.metric('shoal_registry_sent_bytes_total')).toBe(before)
  }, 180_000)
})
