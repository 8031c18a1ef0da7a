import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { Containerd } from '../lab/engines/containerd.ts'
import { Podman, skopeoCopy } from '../lab/engines/containers-image.ts'
import { startNodes } from '../lab/engines/nodes.ts'
import { engineObstacle } from '../lab/engines/obstacle.ts'
import { pushedDigest } from '../lab/engines/pushed.ts'
import { pushImage, type Written, writeImage, writeIndex } from '../lab/image.ts'
import { Lab } from '../lab/lab.ts'
import { syntheticBlob, syntheticLayer } from '../lab/layers.ts'
import { realLayers } from '../lab/real-layers.ts'
import { LabRegistry } from '../lab/registry.ts'
import { until } from '../lab/until.ts'

const obstacle = await engineObstacle('engines and a node', [])
const noContainerd = obstacle ?? (await engineObstacle('containerd', ['containerd', 'ctr', 'runc']))
const noPodman = obstacle ?? (await engineObstacle('podman', ['podman', 'conmon']))
const shell = obstacle === undefined ? await realLayers(1e6) : { layers: [], origin: 'machine' as const }
if (!obstacle && shell.origin === 'machine')
  console.log('skipped: running containers: no package with a shell can be had')
const layerBytes = 3_000_000
const registryHere = '127.0.0.1:5000'
/** How engines name it. There is no such host: what comes from it came through a node. */
const registryName = 'registry.lab'
const mirrored = { registry: registryName, mirror: `127.0.0.1:4880/${registryName}` }
const kinds = ['image', 'index', 'schema2'] as const

describe.skipIf(obstacle !== undefined)('a node as a mirror of any registry', () => {
  let lab: Lab
  let registry: LabRegistry
  const digests = new Map<string, Digest>()
  let index: Written

  beforeAll(async () => {
    lab = await Lab.create({ hosts: ['registry', 'host1', 'host2'] })
    const host = lab.host('registry')
    registry = await LabRegistry.start({ host, dir: join(host.dir, 'registry') })
    const [first, second, third] = await Promise.all([1, 2, 3].map((seed) => syntheticLayer(lab.dir, layerBytes, seed)))
    const image = writeImage(join(lab.dir, 'image'), 'v1', { layers: [...shell.layers, first!] })
    index = writeIndex(join(lab.dir, 'index'), 'v1', [
      { layers: [first!] },
      { layers: [second!], architecture: 'arm64' },
    ])
    const old = writeImage(join(lab.dir, 'old'), 'v1', { layers: [third!] })
    const from = host
    await pushImage(image, registryHere, 'org/image', 'v1', { from })
    await pushImage(index, registryHere, 'org/index', 'v1', { from })
    await pushImage(old, registryHere, 'org/schema2', 'v1', { from, format: 'v2s2' })
    for (const kind of kinds) digests.set(kind, await pushedDigest(host, `${registryHere}/org/${kind}:v1`))

    const hosts = ['host1', 'host2'].map((name) => lab.host(name))
    await startNodes(hosts, ['--upstream', `${registryName}=${registry.url}`])
  }, 60_000)
  afterAll(() => lab?.close())

  const hash = Bun.SHA256.hash(syntheticBlob(layerBytes, 1), 'hex')
  const reference = (kind: string) => `${registryName}/org/${kind}:v1`
  test('the three kinds have three digests', () => {
    expect(new Set(digests.values()).size).toBe(3)
  })

  describe.skipIf(noContainerd !== undefined)('for containerd, by hosts.toml', () => {
    let containerd: Containerd
    beforeAll(async () => {
      containerd = await Containerd.start(lab.host('host1'))
      containerd.mirror(registryName, ['http://127.0.0.1:4880'])
    })

    test.each(kinds)('pulls with the digest that was pushed: %s', async (kind) => {
      await containerd.pull(reference(kind))
      expect(await containerd.digestOf(reference(kind))).toBe(digests.get(kind)!)
    })

    test.skipIf(shell.origin === 'machine')('runs what was pulled', async () => {
      await containerd.pull(reference('image'))
      const said = await containerd.run(reference('image'), '/bin/sha256sum', '/synthetic/1')
      expect(said.trim()).toBe(`${hash}  /synthetic/1`)
    })

    test('of an index gets one platform if it asks for one, and all if it asks for all', async () => {
      const all = readdirSync(join(index.dir, 'blobs', 'sha256')).map((hex) => `sha256:${hex}`)
      const missing = async () => {
        const present = await containerd.contents()
        return all.filter((digest) => !present.has(digest))
      }
      await containerd.pull(reference('index'))
      // Manifest, config and layer of the platform that this machine is not; containerd 2 does without the layer alone.
      expect((await missing()).length).toBeOneOf([1, 3])
      await containerd.pull(reference('index'), '--all-platforms')
      expect(await missing()).toEqual([])
    })
  })

  describe.skipIf(noPodman !== undefined)('for podman, by registries.conf', () => {
    let podman: Podman
    beforeAll(() => {
      podman = new Podman(lab.host('host2'), mirrored)
    })

    test.each(kinds)('pulls with the digest that was pushed: %s', async (kind) => {
      await podman.podman('pull', reference(kind))
      expect(await podman.digestOf(reference(kind))).toBe(digests.get(kind)!)
    })
    test.skipIf(shell.origin === 'machine')('runs what was pulled', async () => {
      const said = await podman.podman(
        'run',
        '--rm',
        '--network',
        'none',
        reference('image'),
        'sha256sum',
        '/synthetic/1',
      )
      expect(said).toBe(`${hash}  /synthetic/1`)
    })
  })

  test.each(kinds)('skopeo copies with the digest that was pushed: %s', async (kind) => {
    const folder = await skopeoCopy(lab.host('host2'), mirrored, reference(kind))
    expect(digestOf(readFileSync(join(folder, 'manifest.json')))).toBe(digests.get(kind)!)
  })

  test('the registry sent each content once, to all engines on all hosts together', async () => {
    const hosts = ['host1', 'host2'].map((name) => lab.host(name))
    await Promise.all(kinds.flatMap((kind) => hosts.map((host) => skopeoCopy(host, mirrored, reference(kind)))))
    const sent = registry.accesses().filter(({ method, agent }) => method === 'GET' && agent === 'shoal')
    const times = Map.groupBy(sent, ({ path }) => /sha256:[0-9a-f]{64}$/.exec(path)?.[0] ?? path)
    // Manifest, config and layers of each; the index itself; the index shares a layer with the image.
    const contents = 3 + shell.layers.length + (1 + 3 + 3) + 3 - 1
    await until('each content of the three images was sent', 5, () => times.size >= contents)
    expect([...times].filter(([, requests]) => requests.length !== 1)).toEqual([])
  })
})
