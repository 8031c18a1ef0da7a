/**
 * One copy of an image on a host with containerd. The image has 20 MB; ENGINE_IMAGE_BYTES makes it another size. What
 * was on the disk before and after is printed.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { nodeSchema } from '../../src/admin/view.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { FakeRegistry, noise } from '../fakes/registry.ts'
import { Containerd } from '../lab/engines/containerd.ts'
import { engineObstacle } from '../lab/engines/obstacle.ts'
import type { Host } from '../lab/host.ts'
import { pushImage, writeImage } from '../lab/image.ts'
import { Lab, scratchRoot } from '../lab/lab.ts'
import { type Layer, layerSizes, syntheticLayer, syntheticLayers } from '../lab/layers.ts'
import { builtBinary, LabNode } from '../lab/node.ts'
import { LabProcess } from '../lab/process.ts'
import { pull, pullOn } from '../lab/pull.ts'
import { LabRegistry } from '../lab/registry.ts'
import { run } from '../lab/run.ts'
import { until } from '../lab/until.ts'

const obstacle = await engineObstacle('containerd and a node with one copy', ['containerd', 'ctr', 'runc'])
const imageBytes = Number(process.env.ENGINE_IMAGE_BYTES ?? 20_000_000)
/** There is no such host: what comes from it came through a node. */
const registryName = 'registry.lab'
const reference = `${registryName}/org/image:v1`
/** What the node waits before it believes that a file stays, and reading the image at its own pace. */
const patience = 30 + imageBytes / 10e6

describe.skipIf(obstacle !== undefined)('an image that was pulled through the node by containerd', () => {
  let lab: Lab
  let registry: LabRegistry
  let node: LabNode
  let other: LabNode
  let containerd: Containerd
  let layers: Layer[]
  let earlier: Layer

  beforeAll(
    async () => {
      lab = await Lab.create({ hosts: ['registry', 'host1', 'host2'] })
      const [from, host1, host2] = ['registry', 'host1', 'host2'].map((name) => lab.host(name)) as [Host, Host, Host]
      registry = await LabRegistry.start({ host: from, dir: join(from.dir, 'registry') })
      layers = await syntheticLayers(lab.dir, layerSizes(imageBytes, 3), 1)
      const image = writeImage(join(lab.dir, 'image'), 'v1', { layers })
      await pushImage(image, '127.0.0.1:5000', 'org/image', 'v1', { from })
      earlier = await syntheticLayer(lab.dir, 3_000_000, 9)
      const second = writeImage(join(lab.dir, 'earlier'), 'v1', { layers: [earlier] })
      await pushImage(second, '127.0.0.1:5000', 'org/earlier', 'v1', { from })
      containerd = await Containerd.start(host1)
      containerd.mirror(registryName, ['http://127.0.0.1:4880'])
      node = new LabNode({ host: host1, flags: [...flags(), '--engine-content', 'off'] })
      other = new LabNode({ host: host2, flags: [...flags(), '--engine-content', 'off'] })
      await met()
    },
    60_000 + imageBytes / 1000,
  )
  afterAll(() => lab?.close())

  const flags = () => ['--upstream', `${registryName}=${registry.url}`]
  const met = async () => {
    await Promise.all([node.ready(), other.ready()])
    await until('the nodes know each other', 20, async () => (await node.members()) + (await other.members()) === 4)
  }
  const restarted = async () => {
    await node.process.stop()
    node = new LabNode({ host: lab.host('host1'), flags: [...flags(), '--engine-content', containerd.root] })
    await met()
  }
  /** Bytes that the blobs of the image take on the host, in the node's folder and in containerd's. */
  const onDisk = async () => {
    const folders = [join(node.dataDir, 'blobs'), join(containerd.root, 'io.containerd.content.v1.content', 'blobs')]
    const sizes = await Promise.all(folders.map((folder) => run(['du', '--summarize', '--block-size=1', folder])))
    return sizes.map((said) => Number.parseInt(said, 10))
  }
  const whole = () => layers.reduce((sum, { size }) => sum + size, 0)
  const borrowed = () => node.metric('shoal_engine_bytes')
  const layersSent = () => registry.accesses().filter(({ method, path }) => method === 'GET' && isLayer(path)).length
  const isLayer = (path: string) => layers.some(({ digest }) => path.endsWith(digest))
  const forget = async (at: LabNode, digest: Digest) => {
    await at.host!.exec(['curl', '--silent', '--request', 'DELETE', `${at.admin}/api/v1/blobs/${digest}`])
  }
  const pullOnOther = () => pullOn(other.host!, other.mirror, `${registryName}/org/image`, 'v1')
  const oneCopy = () =>
    until('the layers are read from the files of containerd', patience, async () => (await borrowed()) === whole())

  test(
    'takes its bytes once on that host',
    async () => {
      await containerd.pull(reference)
      const before = await onDisk()
      await restarted()
      await oneCopy()
      const after = await onDisk()
      console.log(`bytes on disk, node + containerd: ${before.join(' + ')} before, ${after.join(' + ')} after`)
      expect(before[0]).toBeGreaterThan(whole())
      expect(before[1]).toBeGreaterThan(whole())
      // Manifest, config and folders.
      expect(after[0]).toBeLessThan(200_000)
      expect(after[1]).toBe(before[1]!)
      expect(await node.host!.exec(['curl', '--silent', `${node.admin}/api/v1/node`])).toContain(
        'io.containerd.content.v1',
      )
    },
    120_000 + imageBytes / 1000,
  )

  test('comes to another host from there, and the registry sends nothing of it', async () => {
    // It may have read some of them for the first one.
    for (const { digest } of layers) await forget(other, digest)
    const [before, sent] = [layersSent(), await node.metric('shoal_peer_sent_bytes_total')]
    const pulled = await pullOnOther()
    expect(pulled.bytes).toBeGreaterThan(whole())
    expect(layersSent()).toBe(before)
    const all = sent + whole()
    await until('all of it was sent', 10, async () => (await node.metric('shoal_peer_sent_bytes_total')) >= all)
  }, 60_000)

  test('is still read there after containerd and the node were started anew', async () => {
    await containerd.process.stop()
    containerd = await Containerd.start(lab.host('host1'))
    await restarted()
    expect(await borrowed()).toBe(whole())
    expect(await node.metric('shoal_blobs', { state: 'complete' })).toBeGreaterThan(layers.length)
  }, 60_000)

  test('with a wrong byte in a file of containerd reaches nobody as it is', async () => {
    const [, , last] = layers as [Layer, Layer, Layer]
    const path = containerd.blobFile(last.digest)
    const bytes = readFileSync(path)
    bytes[bytes.length - 1000]! ^= 1
    chmodSync(path, 0o644)
    writeFileSync(path, bytes)
    await forget(other, last.digest)
    // Whoever pulls compares every digest.
    await pullOnOther()
    await until('the node has given that layer up', 10, async () => (await borrowed()) === whole() - last.size)
    expect(existsSync(path)).toBe(true)
    expect(await other.metric('shoal_peers_banned_total')).toBe(0)
  }, 60_000)

  test('so is one that containerd had before, once the registry has shown some of it', async () => {
    const before = await borrowed()
    containerd.mirror(registryName, [registry.url])
    await containerd.pull(`${registryName}/org/earlier:v1`)
    containerd.mirror(registryName, ['http://127.0.0.1:4880'])
    const sent = () =>
      registry.accesses().filter(({ path, agent }) => path.endsWith(earlier.digest) && agent === 'shoal')
    // The manifest alone: containerd has the rest.
    await containerd.pull(`${registryName}/org/earlier:v1`)
    await node.host!.exec(['curl', '--silent', '--fail', `${node.mirror}/v2/${registryName}/org/earlier/manifests/v1`])
    await until('it is read there', 20, async () => (await borrowed()) === before + earlier.size)
    expect(sent().map(({ method, bytes }) => [method, bytes])).toEqual([['GET', 65_536]])
    await pullOn(other.host!, other.mirror, `${registryName}/org/earlier`, 'v1')
    expect(sent()).toHaveLength(1)
  }, 120_000)

  test('is withdrawn when containerd removes it, in the middle of a pull, and nobody sees an error', async () => {
    for (const { digest } of layers) await forget(other, digest)
    await node.host!.shape('200mbit')
    const sent = await node.metric('shoal_peer_sent_bytes_total')
    const pulling = pullOnOther()
    await until(
      'some of it has come from there',
      20,
      async () => (await node.metric('shoal_peer_sent_bytes_total')) > sent,
      5,
    )
    await containerd.remove(reference)
    expect(layers.map(({ digest }) => existsSync(containerd.blobFile(digest)))).toEqual([false, false, false])
    expect((await pulling).bytes).toBeGreaterThan(whole())
    await until('nothing of it is there any more', 10, async () => (await borrowed()) === earlier.size)
    await node.host!.shape(undefined)
    // And the host can have it again, from whom has it now.
    const before = layersSent()
    await containerd.pull(reference)
    expect(layersSent()).toBe(before)
  }, 120_000)
})

const notRoot = process.getuid?.() === 0 && Bun.which('setpriv') ? undefined : 'not root, or no setpriv'
if (notRoot) console.log(`skipped: what an engine keeps, and a node without privileges: ${notRoot}`)

describe.skipIf(notRoot !== undefined)('a folder of an engine that is shut to all but root', () => {
  const nobody = 65534
  const address = `127.78.${process.pid % 250}.1`
  const admin = `http://${address}:14883`
  const bytes = noise(2_000_000, 1)
  let dir: string
  let blobs: string
  const undo: (() => unknown)[] = []
  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) await step()
  })

  /** A node as the unit runs it, which pulls an image, and sees the blobs where the unit shows them. */
  async function nodeOfNobody(): Promise<void> {
    dir = mkdtempSync(join(scratchRoot, 'shoal-shut-'))
    undo.push(() => rmSync(dir, { recursive: true, force: true }))
    const [root, binary, home] = ['containerd', 'shoal', 'home'].map((name) => join(dir, name)) as [
      string,
      string,
      string,
    ]
    blobs = join(root, 'io.containerd.content.v1.content', 'blobs')
    mkdirSync(join(blobs, 'sha256'), { recursive: true })
    chmodSync(root, 0o700)
    mkdirSync(home)
    copyFileSync(builtBinary, binary)
    for (const path of [dir, binary, home]) chownSync(path, nobody, nobody)
    const registry = await FakeRegistry.start()
    undo.push(() => registry.stop())
    registry.image('team/app', 'v1', [bytes])
    const show = 'mkdir -p /run/shoal-engine/blobs && mount --bind -o ro "$1" /run/shoal-engine/blobs'
    const setup = `mount -t tmpfs tmpfs /run && ${show} && shift && exec "$@"`
    const drop = ['--reuid', String(nobody), '--regid', String(nobody), '--clear-groups', '--no-new-privs']
    const caps = ['--inh-caps=-all', '--bounding-set=-all']
    const ports = ['registry', 'peer', 'p2p', 'admin'].flatMap((name, i) => [
      `--${name}-addr`,
      `${address}:${14880 + i}`,
    ])
    const flags = ['--no-mdns', '--advertise', address, '--upstream', `docker.io=http://${registry.host}`]
    const up = [binary, 'up', '--data-dir', join(home, 'data'), '--engine-content', root, ...ports, ...flags]
    const command = ['unshare', '--mount', 'sh', '-c', setup, 'sh', blobs, 'setpriv', ...drop, ...caps, '--', ...up]
    const node = new LabProcess(command, { log: join(dir, 'node.log'), cwd: '/', env: { HOME: home } })
    undo.push(() => node.stop(3000))
    await until('it is ready', 30, async () => {
      if (!node.running) throw new Error(`it ended: ${node.logged().slice(-1000)}`)
      return (await fetch(`${admin}/readyz`).catch(() => undefined))?.ok === true
    })
    await pull(`http://${address}:14880`, 'team/app', 'v1')
  }

  const engine = async () => {
    const node = nodeSchema.parse(await (await fetch(`${admin}/api/v1/node`)).json())
    return { folders: node.engine?.folders, borrowed: node.store.borrowed }
  }

  test('is read where the unit shows it, by a node without any privilege', async () => {
    await nodeOfNobody()
    const path = join(blobs, 'sha256', digestOf(bytes).slice(7))
    writeFileSync(path, bytes)
    chmodSync(path, 0o444)
    await until('the layer is read there', 30, async () => (await engine()).borrowed?.bytes === bytes.length)
    expect((await engine()).folders).toEqual([{ path: '/run/shoal-engine/blobs/sha256' }])
  }, 60_000)
})
