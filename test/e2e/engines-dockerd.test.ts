import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { type DockerHub, startDockerHub } from '../lab/engines/docker-hub.ts'
import { Dockerd } from '../lab/engines/dockerd.ts'
import { startNodes } from '../lab/engines/nodes.ts'
import { engineObstacle } from '../lab/engines/obstacle.ts'
import { pushedDigest } from '../lab/engines/pushed.ts'
import { type PushOptions, pushImage, type Written, writeImage, writeIndex } from '../lab/image.ts'
import { Lab } from '../lab/lab.ts'
import { syntheticBlob, syntheticLayer } from '../lab/layers.ts'
import { LabNode } from '../lab/node.ts'
import { realLayers } from '../lab/real-layers.ts'
import { until } from '../lab/until.ts'

const obstacle = await engineObstacle('dockerd', ['dockerd', 'docker', 'containerd', 'runc', 'openssl'])
const shell = obstacle === undefined ? await realLayers(1e6) : { layers: [], origin: 'machine' as const }
if (!obstacle && shell.origin === 'machine') console.log('skipped: docker run: no package with a shell can be had')
const layerBytes = 3_000_000
/** The hub as its own host reaches it. */
const hubHere = '127.0.0.1:443'

describe.skipIf(obstacle !== undefined)('dockerd with a node as the mirror of Docker Hub', () => {
  let lab: Lab
  let hub: DockerHub
  let image: Written
  let nodes: LabNode[]
  let engines: Dockerd[]

  beforeAll(async () => {
    lab = await Lab.create({ hosts: ['hub', 'host1', 'host2'] })
    hub = await startDockerHub(lab.host('hub'))
    image = await push('library/app', 1)
    const hosts = [lab.host('host1'), lab.host('host2')]
    const mirrors = ['http://127.0.0.1:4880']
    engines = await Promise.all(
      hosts.map((host) => Dockerd.start({ host, mirrors, hosts: hub.hosts, caFile: hub.caFile })),
    )
    nodes = await startNodes(hosts, flagsFor(hub.registry.url))
  }, 60_000)
  afterAll(() => lab?.close())

  const flagsFor = (url: string) => ['--upstream', `docker.io=${url}`, '--ca-file', hub.caFile]

  /** A shell, and a layer that no image of another seed has; its tag is `v1`. */
  async function push(repository: string, seed: number, options: PushOptions = {}): Promise<Written> {
    const layers = [...shell.layers, await syntheticLayer(lab.dir, layerBytes, seed)]
    const written = writeImage(join(lab.dir, `layout-${seed}`), 'v1', { layers })
    await pushImage(written, hubHere, repository, 'v1', { ...options, from: lab.host('hub') })
    return written
  }

  /** How many manifests, configs and layers the hub sent to a client so far. */
  function sentTo(client: 'shoal' | 'docker'): number {
    const isContent = (path: string) => /\/(manifests|blobs)\//.test(path)
    return hub.registry
      .accesses()
      .filter(({ method, path, agent }) => method === 'GET' && isContent(path) && agent.startsWith(client)).length
  }

  test('docker pull comes through the node alone, with the digest that was pushed', async () => {
    const [engine] = engines
    await engine!.docker('pull', 'app:v1')
    expect(await engine!.digestsOf('app:v1')).toEqual([`app@${image.digest}`])
    expect(sentTo('docker')).toBe(0)
    const contents = 2 + shell.layers.length + 1
    await until('the hub sent each content once', 5, () => sentTo('shoal') === contents)
  })

  test.skipIf(shell.origin === 'machine')('docker run runs what was pulled', async () => {
    const command = ['run', '--rm', '--network', 'none', 'app:v1', '/bin/sha256sum', '/synthetic/1']
    const hash = Bun.SHA256.hash(syntheticBlob(layerBytes, 1), 'hex')
    expect(await engines[0]!.docker(...command)).toBe(`${hash}  /synthetic/1`)
  })

  test('a second host gets the image with the hub unplugged', async () => {
    const before = sentTo('shoal')
    await lab.host('hub').unplug()
    try {
      await engines[1]!.docker('pull', 'app:v1')
      expect(await engines[1]!.digestsOf('app:v1')).toEqual([`app@${image.digest}`])
    } finally {
      await lab.host('hub').plug()
    }
    expect(sentTo('shoal')).toBe(before)
    expect(sentTo('docker')).toBe(0)
  })

  test('an image can be pulled by digest, and from the node as if it were a registry itself', async () => {
    const [, engine] = engines
    await engine!.docker('pull', `app@${image.digest}`)
    await engine!.docker('pull', '127.0.0.1:4880/docker.io/library/app:v1')
    expect(await engine!.digestsOf('app:v1')).toContain(`127.0.0.1:4880/docker.io/library/app@${image.digest}`)
  })

  test('an image of Docker schema 2 keeps its digest', async () => {
    const written = await push('library/old', 2, { format: 'v2s2' })
    const digest = await pushedDigest(lab.host('hub'), `${hubHere}/library/old:v1`)
    expect(digest).not.toBe(written.digest)
    await engines[0]!.docker('pull', 'old:v1')
    expect(await engines[0]!.digestsOf('old:v1')).toEqual([`old@${digest}`])
    expect(sentTo('docker')).toBe(0)
  })

  test('of an index comes the platform that was asked for, under the digest of the index', async () => {
    const [amd64, arm64] = await Promise.all([3, 4].map((seed) => syntheticLayer(lab.dir, layerBytes, seed)))
    const index = writeIndex(join(lab.dir, 'index'), 'v1', [
      { layers: [amd64!] },
      { layers: [arm64!], architecture: 'arm64' },
    ])
    await pushImage(index, hubHere, 'library/many', 'v1', { from: lab.host('hub') })
    await engines[0]!.docker('pull', '--platform', 'linux/arm64', 'many:v1')
    expect(await engines[0]!.digestsOf('many:v1')).toEqual([`many@${index.digest}`])
    expect(await engines[0]!.docker('image', 'inspect', '--format', '{{.Architecture}}', 'many:v1')).toBe('arm64')
    expect(sentTo('docker')).toBe(0)
  })

  describe('whose node dies in the middle of a layer', () => {
    beforeAll(() => lab.host('hub').shape('8mbit'))
    afterAll(() => lab.host('hub').shape(undefined))

    /** Bytes of a blob in the store of the first node. */
    async function heldOf(digest: string): Promise<number> {
      const { blobs } = JSON.parse(await nodes[0]!.get('/api/v1/blobs')) as {
        blobs: { digest: string; bytes: number }[]
      }
      return blobs.find((blob) => blob.digest === digest)?.bytes ?? 0
    }

    /** Begins a pull and kills the node once it has a part of the layer. @returns the pull, and what it must bring */
    async function broken(repository: string, seed: number): Promise<{ pull: Promise<string>; digest: string }> {
      const { digest } = await push(`library/${repository}`, seed)
      const layer = await syntheticLayer(lab.dir, layerBytes, seed)
      const pull = engines[0]!.docker('pull', `${repository}:v1`)
      // Whoever awaits it hears of it; until then it may fail unheard.
      pull.catch(() => {})
      let held = 0
      await until('the node has a part of the layer', 20, async () => {
        held = await heldOf(layer.digest)
        return held > layerBytes / 4
      })
      expect(held).toBeLessThan(layerBytes)
      await nodes[0]!.process.kill()
      return { pull, digest }
    }

    test('and comes back goes on with the pull', async () => {
      const { pull, digest } = await broken('back', 7)
      const direct = sentTo('docker')
      nodes[0] = await new LabNode({ host: lab.host('host1'), flags: flagsFor(hub.registry.url) }).ready()
      await pull
      expect(await engines[0]!.digestsOf('back:v1')).toEqual([`back@${digest}`])
      // Later ones do not wait for a mirror that was gone.
      if (Dockerd.major < 25) expect(sentTo('docker')).toBe(direct)
    })

    test('and stays away gets the image from the hub', async () => {
      const { pull, digest } = await broken('away', 8)
      const direct = sentTo('docker')
      await pull
      expect(await engines[0]!.digestsOf('away:v1')).toEqual([`away@${digest}`])
      await until('the hub sent it to docker', 5, () => sentTo('docker') > direct)
      nodes[0] = await new LabNode({ host: lab.host('host1'), flags: flagsFor(hub.registry.url) }).ready()
    })
  })

  describe('goes to the hub by itself', () => {
    async function pullsDirectly(seed: number): Promise<void> {
      const repository = `direct${seed}`
      const { digest } = await push(`library/${repository}`, seed)
      const before = sentTo('docker')
      await engines[0]!.docker('pull', `${repository}:v1`)
      expect(await engines[0]!.digestsOf(`${repository}:v1`)).toEqual([`${repository}@${digest}`])
      await until('the hub sent it to docker', 5, () => sentTo('docker') > before)
    }

    test('while a node cannot reach its source and knows nobody', async () => {
      // The other one remembers this one, and would bring it what it wants.
      await Promise.all(nodes.map((node) => node.process.stop()))
      const flags = ['--no-mdns', ...flagsFor(`https://${lab.host('hub').address}:9`)]
      nodes[0] = await new LabNode({ host: lab.host('host1'), flags }).ready()
      await pullsDirectly(5)
    })

    test('when the node has stopped', async () => {
      await nodes[0]!.process.stop()
      await pullsDirectly(6)
    })
  })
})
