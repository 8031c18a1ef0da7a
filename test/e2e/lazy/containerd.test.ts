/** containerd itself, with images whose layers are mounted instead of unpacked; the mounter is a fake, folders for layers. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { systemClock } from '../../../src/clock.ts'
import { type Digest, digestOf } from '../../../src/oci/digest.ts'
import { manifestTypes } from '../../../src/oci/media.ts'
import { type Snapshotter, startSnapshotter } from '../../../src/snapshotter/snapshotter.ts'
import { createLog } from '../../../src/telemetry/pino.ts'
import { FakeMounter } from '../../fakes/mounter.ts'
import { FakeRegistry } from '../../fakes/registry.ts'
import { Capsule } from '../../lab/capsule.ts'
import { cri } from '../../lab/engines/cri.ts'
import { scratchRoot } from '../../lab/lab.ts'
import type { LabProcess } from '../../lab/process.ts'
import { run } from '../../lab/run.ts'
import { until } from '../../lab/until.ts'

const missing = ['containerd', 'ctr', 'runc', 'busybox', 'nsenter', 'unshare'].filter((name) => !Bun.which(name))
const obstacle =
  process.getuid?.() !== 0
    ? 'only root may mount'
    : missing.length > 0
      ? `not installed: ${missing.join(', ')}`
      : undefined
if (obstacle) console.log(`skipped: containerd with a snapshotter: ${obstacle}`)

interface Layer {
  readonly tree: string
  readonly bytes: Uint8Array
  readonly digest: Digest
  readonly diffId: Digest
}

describe.skipIf(obstacle !== undefined)('containerd with the snapshotter', () => {
  let dir: string
  let capsule: Capsule
  let containerd: LabProcess
  let snapshotter: Snapshotter
  let mounter: FakeMounter
  let registry: FakeRegistry
  let system: Layer
  let greeting: Layer
  const lines: string[] = []
  const undo: (() => unknown)[] = []

  const ctr = (...args: string[]) => capsule.exec(['ctr', '--address', join(dir, 'c.sock'), '-n', 'k8s.io', ...args])
  const tryCtr = (...args: string[]) => capsule.tryExec(['ctr', '--address', join(dir, 'c.sock'), ...args])
  const pull = (reference: string) => cri(join(dir, 'c.sock'), 'PullImage', reference)
  const start = (reference: string, ...command: string[]) =>
    ctr(
      'run',
      '--rm',
      '--snapshotter',
      'shoal',
      '--fifo-dir',
      join(dir, 'fifo'),
      reference,
      `run-${crypto.randomUUID()}`,
      ...command,
    )
  const infos = async () => (await ctr('snapshots', '--snapshotter', 'shoal', 'ls')).trim().split('\n').slice(1)
  const startContainerd = async () => {
    containerd = capsule.spawn('containerd', ['containerd', '--config', join(dir, 'config.toml')])
    await until('containerd answers', 20, async () => (await tryCtr('version')).code === 0)
  }
  const startSnapshots = async () => {
    snapshotter = await startSnapshotter(
      {
        ...{ socket: join(dir, 's.sock'), dataDir: join(dir, 'data'), mounter: join(dir, 'm.sock') },
        ...{ containerd: join(dir, 'c.sock'), node: mounter.node, indexWaitMs: 300 },
      },
      createLog({ level: 'debug', format: 'json', color: false }, { write: (line) => void lines.push(line) }),
      systemClock,
    )
  }
  /** Of a folder. */
  const layerOf = async (name: string, fill: (tree: string) => void): Promise<Layer> => {
    const tree = join(dir, 'trees', name)
    mkdirSync(tree, { recursive: true })
    fill(tree)
    await run(['tar', '-C', tree, '-cf', join(dir, `${name}.tar`), '.'])
    const tar = await Bun.file(join(dir, `${name}.tar`)).bytes()
    const bytes = gzipSync(tar)
    return { tree, bytes, digest: digestOf(bytes), diffId: digestOf(tar) }
  }
  const image = (name: string, layers: readonly Layer[]): string => {
    const json = (value: object) => new TextEncoder().encode(JSON.stringify(value))
    for (const { bytes } of layers) registry.blob(name, bytes)
    const rootfs = { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) }
    const config = json({ os: 'linux', architecture: 'amd64', config: { Cmd: ['/bin/sh'] }, rootfs })
    const manifest = {
      schemaVersion: 2,
      mediaType: manifestTypes.ociManifest,
      config: {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        digest: registry.blob(name, config),
        size: config.length,
      },
      layers: layers.map(({ digest, bytes }) => ({
        ...{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest, size: bytes.length },
      })),
    }
    registry.manifest(name, 'v1', json(manifest), manifestTypes.ociManifest)
    return `${registry.host}/${name}:v1`
  }
  const contents = async () => (await ctr('content', 'ls', '--quiet')).split('\n')
  const removed = async (reference: string) => {
    await cri(join(dir, 'c.sock'), 'RemoveImage', reference)
    await ctr('content', 'prune', 'references')
  }

  beforeAll(async () => {
    dir = mkdtempSync(join(scratchRoot, 'ctrd-'))
    undo.push(() => rmSync(dir, { recursive: true, force: true }))
    capsule = await Capsule.start(dir)
    undo.push(() => capsule.close())
    mounter = new FakeMounter(join(dir, 'm.sock'))
    undo.push(() => mounter.close())
    registry = await FakeRegistry.start()
    undo.push(() => registry.stop())
    writeFileSync(
      join(dir, 'config.toml'),
      [
        'version = 2',
        `root = "${join(dir, 'root')}"`,
        `state = "${join(dir, 'state')}"`,
        '[grpc]',
        `address = "${join(dir, 'c.sock')}"`,
        '[plugins."io.containerd.grpc.v1.cri".containerd]',
        'snapshotter = "shoal"',
        'disable_snapshot_annotations = false',
        '[plugins."io.containerd.grpc.v1.cri".registry]',
        `config_path = "${join(dir, 'hosts.d')}"`,
        '[proxy_plugins.shoal]',
        'type = "snapshot"',
        `address = "${join(dir, 's.sock')}"`,
      ].join('\n'),
    )
    system = await layerOf('system', (tree) => {
      mkdirSync(join(tree, 'bin'))
      const busybox = Bun.which('busybox')!
      const linked = Bun.spawnSync(['ldd', busybox]).stdout.toString()
      const libraries = [...linked.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path!)
      for (const path of libraries) mkdirSync(join(tree, dirname(path)), { recursive: true })
      for (const path of libraries) copyFileSync(path, join(tree, path))
      copyFileSync(busybox, join(tree, 'bin/busybox'))
      for (const name of ['sh', 'cat', 'ls', 'sleep']) Bun.spawnSync(['ln', '-s', 'busybox', join(tree, 'bin', name)])
    })
    greeting = await layerOf('greeting', (tree) => writeFileSync(join(tree, 'greeting'), 'hello\n'))
    await startSnapshots()
    undo.push(() => snapshotter.close())
    await startContainerd()
    undo.push(() => containerd.stop())
  }, 60_000)
  afterAll(async () => {
    for (const step of undo.reverse()) await step()
  })

  test('a container runs from an image that has no index: its layers are unpacked, and say why', async () => {
    const reference = image('plain/app', [system, greeting])
    await pull(reference)
    expect(await start(reference, 'cat', '/greeting')).toBe('hello\n')
    expect(await contents()).toContain(system.digest)
    const chain = system.diffId
    expect(await ctr('snapshots', '--snapshotter', 'shoal', 'info', chain)).toContain(
      '"shoal/unpacked-because": "no seed has that layer"',
    )
    expect(lines.join('')).toContain('a layer is fetched whole and unpacked')
    await removed(reference)
    expect(await infos()).toEqual([])
    expect(readdirSync(join(dir, 'data/snapshots'))).toEqual([])
  }, 30_000)

  test('of an image with indexes no layer is fetched, and its containers run', async () => {
    for (const { digest, tree } of [system, greeting]) mounter.trees.set(digest, tree)
    const reference = image('lazy/app', [system, greeting])
    await pull(reference)
    expect(await contents()).not.toContain(system.digest)
    expect(registry.requests.some(({ path }) => path.includes(`lazy/app/blobs/${system.digest}`))).toBe(false)
    expect(mounter.asked.at(-1)).toMatchObject({
      repository: `${registry.host}/lazy/app`,
      digest: greeting.digest,
      diffId: greeting.diffId,
      size: greeting.bytes.length,
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    })
    expect(await start(reference, 'cat', '/greeting')).toBe('hello\n')
    expect(await start(reference, 'sh', '-c', 'echo more >> /greeting; cat /greeting')).toBe('hello\nmore\n')
    expect(await ctr('snapshots', '--snapshotter', 'shoal', 'info', system.diffId)).toContain(
      `"shoal/lazy-layer": "${system.digest}"`,
    )
    expect(await ctr('snapshots', '--snapshotter', 'shoal', 'usage', '-b', system.diffId)).toMatch(/ 250 +2\b/)
  }, 30_000)

  test('a client that does not ask has the layers unpacked, and can be removed by itself', async () => {
    const reference = `${registry.host}/lazy/app:v1`
    const holders = mounter.holders
    await ctr('-n', 'other', 'images', 'pull', '--plain-http', '--snapshotter', 'shoal', reference)
    // ctr of containerd 1 fetches everything, and then does not ask.
    expect(await ctr('-n', 'other', 'snapshots', '--snapshotter', 'shoal', 'info', system.diffId)).toContain(
      'before it asked',
    )
    expect(mounter.holders).toEqual(holders)
    await ctr('-n', 'other', 'images', 'rm', '--sync', reference)
    expect(mounter.holders).toEqual(holders)
    expect(await start(reference, 'cat', '/greeting')).toBe('hello\n')
  }, 30_000)

  test('containers start after restarts of containerd, of the snapshotter, and of the mounter', async () => {
    const reference = `${registry.host}/lazy/app:v1`
    await containerd.stop()
    await startContainerd()
    expect(await start(reference, 'cat', '/greeting')).toBe('hello\n')
    await snapshotter.close()
    await startSnapshots()
    expect(await start(reference, 'cat', '/greeting')).toBe('hello\n')
    const holders = mounter.holders.sort()
    await mounter.stop()
    mounter.start()
    expect(await start(reference, 'cat', '/greeting')).toBe('hello\n')
    expect(mounter.holders.sort()).toEqual(holders)
  }, 60_000)

  test('a container goes on while the mounter is away, a new one is refused with the remedy, and pulls unpack', async () => {
    const reference = `${registry.host}/lazy/app:v1`
    await ctr(
      'run',
      '--detach',
      '--snapshotter',
      'shoal',
      '--fifo-dir',
      join(dir, 'fifo'),
      reference,
      'sleeper',
      'sleep',
      '1000',
    )
    await mounter.stop()
    const exec = () =>
      ctr(
        'tasks',
        'exec',
        '--exec-id',
        crypto.randomUUID(),
        '--fifo-dir',
        join(dir, 'fifo'),
        'sleeper',
        'cat',
        '/greeting',
      )
    expect(await exec()).toBe('hello\n')
    await expectRefusal(
      start(reference, 'cat', '/greeting'),
      /mounter at .* does not answer; systemctl restart shoal-mounter/,
    )
    const other = await layerOf('other', (tree) => writeFileSync(join(tree, 'other'), 'other\n'))
    mounter.trees.set(other.digest, other.tree)
    const plain = image('plain/other', [other])
    await pull(plain)
    expect(await ctr('snapshots', '--snapshotter', 'shoal', 'info', other.diffId)).toContain('does not answer')
    mounter.start()
    expect(await start(reference, 'cat', '/greeting')).toBe('hello\n')
    await ctr('tasks', 'kill', '--signal', 'KILL', 'sleeper')
    await until('the container has ended', 10, async () => (await ctr('tasks', 'ls')).includes('STOPPED'))
    await ctr('containers', 'rm', 'sleeper')
    await removed(plain)
  }, 60_000)

  test('an index that is not made in time, or that is none, has the layer unpacked on layers that are mounted', async () => {
    const slow = await layerOf('slow', (tree) => writeFileSync(join(tree, 'slow'), 'slow\n'))
    const whole = await layerOf('whole', (tree) => writeFileSync(join(tree, 'whole'), 'whole\n'))
    mounter.making.add(slow.digest)
    for (const { digest, tree } of [slow, whole]) mounter.trees.set(digest, tree)
    mounter.whole.add(whole.digest)
    const reference = image('mixed/app', [system, slow, whole])
    const holders = mounter.holders
    await pull(reference)
    expect(await start(reference, 'cat', '/slow', '/whole')).toBe('slow\nwhole\n')
    const said = lines.join('')
    expect(said).toContain('is still being made')
    expect(said).toContain('it is one frame of zstd')
    expect(mounter.holders).toEqual(holders)
    await removed(reference)
  }, 30_000)

  test('when the image is removed nothing of it is left, here or in the mounter', async () => {
    await removed(`${registry.host}/lazy/app:v1`)
    expect(await infos()).toEqual([])
    await until('the mounter holds nothing', 10, () => mounter.holders.length === 0)
    expect(readdirSync(join(dir, 'data/snapshots'))).toEqual([])
  }, 30_000)
})

async function expectRefusal(call: Promise<unknown>, pattern: RegExp): Promise<void> {
  const said = await call.then(
    () => 'it was not refused',
    (error: Error) => error.message,
  )
  expect(said).toMatch(pattern)
}
