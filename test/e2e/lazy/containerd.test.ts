/** containerd itself, with images whose layers are mounted instead of unpacked; the mounter is a fake, folders for layers. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../../../src/clock.ts'
import { type Snapshotter, startSnapshotter } from '../../../src/snapshotter/snapshotter.ts'
import { createLog } from '../../../src/telemetry/pino.ts'
import { FakeMounter } from '../../fakes/mounter.ts'
import { FakeRegistry } from '../../fakes/registry.ts'
import { Capsule } from '../../lab/capsule.ts'
import { CriContainerd } from '../../lab/engines/cri.ts'
import { scratchRoot } from '../../lab/lab.ts'
import { SmallImages, type SmallLayer } from '../../lab/small-images.ts'
import { until } from '../../lab/until.ts'

const missing = ['containerd', 'ctr', 'runc', 'busybox', 'nsenter', 'unshare'].filter((name) => !Bun.which(name))
const obstacle =
  process.getuid?.() !== 0
    ? 'only root may mount'
    : missing.length > 0
      ? `not installed: ${missing.join(', ')}`
      : undefined
if (obstacle) console.log(`skipped: containerd with a snapshotter: ${obstacle}`)

describe.skipIf(obstacle !== undefined)('containerd with the snapshotter', () => {
  let dir: string
  let capsule: Capsule
  let containerd: CriContainerd
  let snapshotter: Snapshotter
  let mounter: FakeMounter
  let registry: FakeRegistry
  let images: SmallImages
  let system: SmallLayer
  let greeting: SmallLayer
  const lines: string[] = []
  const undo: (() => unknown)[] = []

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
  beforeAll(async () => {
    dir = mkdtempSync(join(scratchRoot, 'ctrd-'))
    undo.push(() => rmSync(dir, { recursive: true, force: true }))
    capsule = await Capsule.start(dir)
    undo.push(() => capsule.close())
    mounter = new FakeMounter(join(dir, 'm.sock'))
    undo.push(() => mounter.close())
    registry = await FakeRegistry.start()
    undo.push(() => registry.stop())
    images = new SmallImages(dir, registry)
    system = await images.system('sh', 'cat', 'ls', 'sleep')
    greeting = await images.layer('greeting', (tree) => writeFileSync(join(tree, 'greeting'), 'hello\n'))
    await startSnapshots()
    undo.push(() => snapshotter.close())
    containerd = new CriContainerd(capsule, join(dir, 's.sock'))
    await containerd.start()
    undo.push(() => containerd.stop())
  }, 60_000)
  afterAll(async () => {
    for (const step of undo.reverse()) await step()
  })

  test('a container runs from an image that has no index: its layers are unpacked, and say why', async () => {
    const reference = images.image('plain/app', [system, greeting])
    await containerd.pull(reference)
    expect(await containerd.run(reference, 'cat', '/greeting')).toBe('hello\n')
    expect(await containerd.contents()).toContain(system.digest)
    const chain = system.diffId
    expect(await containerd.snapshot('info', chain)).toContain('"shoal/unpacked-because": "no seed has that layer"')
    expect(lines.join('')).toContain('a layer is fetched whole and unpacked')
    await containerd.remove(reference)
    expect(await containerd.snapshots()).toEqual([])
    expect(readdirSync(join(dir, 'data/snapshots'))).toEqual([])
  }, 30_000)

  test('of an image with indexes no layer is fetched, and its containers run', async () => {
    for (const { digest, tree } of [system, greeting]) mounter.trees.set(digest, tree)
    const reference = images.image('lazy/app', [system, greeting])
    await containerd.pull(reference)
    expect(await containerd.contents()).not.toContain(system.digest)
    expect(registry.requests.some(({ path }) => path.includes(`lazy/app/blobs/${system.digest}`))).toBe(false)
    expect(mounter.asked.at(-1)).toMatchObject({
      repository: `${registry.host}/lazy/app`,
      digest: greeting.digest,
      diffId: greeting.diffId,
      size: greeting.bytes.length,
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    })
    expect(await containerd.run(reference, 'cat', '/greeting')).toBe('hello\n')
    expect(await containerd.run(reference, 'sh', '-c', 'echo more >> /greeting; cat /greeting')).toBe('hello\nmore\n')
    expect(await containerd.snapshot('info', system.diffId)).toContain(`"shoal/lazy-layer": "${system.digest}"`)
    expect(await containerd.snapshot('usage', '-b', system.diffId)).toMatch(/ 250 +5\b/)
  }, 30_000)

  test('an image in another namespace is unpacked if its client does not ask, and can be removed by itself', async () => {
    const reference = `${registry.host}/lazy/app:v1`
    const holders = mounter.holders
    await containerd.ctrIn('other', 'images', 'pull', '--plain-http', '--snapshotter', 'shoal', reference)
    // ctr of containerd 1 fetches everything, and then does not ask; containerd 2 pulls for it, and asks.
    const asks = containerd.major >= 2
    expect(await containerd.ctrIn('other', 'snapshots', '--snapshotter', 'shoal', 'info', system.diffId)).toContain(
      asks ? `"shoal/lazy-layer": "${system.digest}"` : 'before it asked',
    )
    if (!asks) expect(mounter.holders).toEqual(holders)
    await containerd.ctrIn('other', 'images', 'rm', '--sync', reference)
    await until('only what the first needs is held', 10, () => Bun.deepEquals(mounter.holders, holders))
    expect(await containerd.run(reference, 'cat', '/greeting')).toBe('hello\n')
  }, 30_000)

  test('containers start after restarts of containerd, of the snapshotter, and of the mounter', async () => {
    const reference = `${registry.host}/lazy/app:v1`
    await containerd.stop()
    await containerd.start()
    expect(await containerd.run(reference, 'cat', '/greeting')).toBe('hello\n')
    await snapshotter.close()
    await startSnapshots()
    expect(await containerd.run(reference, 'cat', '/greeting')).toBe('hello\n')
    const holders = mounter.holders.sort()
    await mounter.stop()
    mounter.start()
    expect(await containerd.run(reference, 'cat', '/greeting')).toBe('hello\n')
    expect(mounter.holders.sort()).toEqual(holders)
  }, 60_000)

  test('a container goes on while the mounter is away, a new one is refused with the remedy, and pulls unpack', async () => {
    const reference = `${registry.host}/lazy/app:v1`
    await containerd.begin(reference, 'sleeper', 'sleep', '1000')
    await mounter.stop()
    expect(await containerd.exec('sleeper', 'cat', '/greeting')).toBe('hello\n')
    await expectRefusal(
      containerd.run(reference, 'cat', '/greeting'),
      /mounter at .* does not answer; systemctl start shoal-mounter/,
    )
    const other = await images.layer('other', (tree) => writeFileSync(join(tree, 'other'), 'other\n'))
    mounter.trees.set(other.digest, other.tree)
    const plain = images.image('plain/other', [other])
    await containerd.pull(plain)
    expect(await containerd.snapshot('info', other.diffId)).toContain('does not answer')
    mounter.start()
    expect(await containerd.run(reference, 'cat', '/greeting')).toBe('hello\n')
    await containerd.end('sleeper')
    await containerd.remove(plain)
  }, 60_000)

  test('an index that is not made in time, or that is none, has the layer unpacked on layers that are mounted', async () => {
    const slow = await images.layer('slow', (tree) => writeFileSync(join(tree, 'slow'), 'slow\n'))
    const whole = await images.layer('whole', (tree) => writeFileSync(join(tree, 'whole'), 'whole\n'))
    mounter.making.add(slow.digest)
    for (const { digest, tree } of [slow, whole]) mounter.trees.set(digest, tree)
    mounter.whole.add(whole.digest)
    const reference = images.image('mixed/app', [system, slow, whole])
    const holders = mounter.holders
    await containerd.pull(reference)
    expect(await containerd.run(reference, 'cat', '/slow', '/whole')).toBe('slow\nwhole\n')
    const said = lines.join('')
    expect(said).toContain('is still being made')
    expect(said).toContain('it is one frame of zstd')
    expect(mounter.holders).toEqual(holders)
    await containerd.remove(reference)
  }, 30_000)

  test('when the image is removed nothing of it is left, here or in the mounter', async () => {
    await containerd.remove(`${registry.host}/lazy/app:v1`)
    expect(await containerd.snapshots()).toEqual([])
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
