/**
 * containerd, the snapshotter, the mounter and a node, all real: containers of an image of which containerd has no layer,
 * through restarts of each of them, until the image is removed and the space is back.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { hostFacts, whyNot } from '../../../src/mount/kernel/support.ts'
import { digestOf as digestOfBytes } from '../../../src/oci/digest.ts'
import { FakeRegistry, noise } from '../../fakes/registry.ts'
import { Capsule } from '../../lab/capsule.ts'
import { CriContainerd } from '../../lab/engines/cri.ts'
import { impliedLayers } from '../../lab/implied-layers.ts'
import { scratchRoot } from '../../lab/lab.ts'
import { LazyStack } from '../../lab/lazy-stack.ts'
import { SmallImages, type SmallLayer } from '../../lab/small-images.ts'
import { until } from '../../lab/until.ts'

const missing = ['containerd', 'ctr', 'runc', 'busybox', 'nsenter', 'unshare', 'setpriv'].filter(
  (name) => !Bun.which(name),
)
const obstacle =
  process.getuid?.() !== 0
    ? 'only root may mount'
    : missing.length > 0
      ? `not installed: ${missing.join(', ')}`
      : whyNot(hostFacts())
if (obstacle) console.log(`skipped: containerd with layers that are mounted: ${obstacle}`)

const mebibyte = 1 << 20

describe.skipIf(obstacle !== undefined)('containerd with layers that are mounted', () => {
  let dir: string
  let capsule: Capsule
  let registry: FakeRegistry
  let containerd: CriContainerd
  let system: SmallLayer
  let data: SmallLayer
  let reference: string
  let stack: LazyStack
  const undo: (() => unknown)[] = []

  const read = (path: string) => containerd.run(reference, 'sha256sum', path).then((text) => text.split(' ')[0])
  const digestOf = (name: string) => new Bun.CryptoHasher('sha256').update(contents[name]!).digest('hex')
  const contents: Record<string, Uint8Array> = { first: noise(3 * mebibyte, 1), second: noise(5 * mebibyte, 2) }

  beforeAll(async () => {
    dir = mkdtempSync(join(scratchRoot, 'lazy-'))
    undo.push(() => rmSync(dir, { recursive: true, force: true }))
    registry = await FakeRegistry.start()
    undo.push(() => registry.stop())
    capsule = await Capsule.start(dir)
    undo.push(() => capsule.close())
    const images = new SmallImages(dir, registry)
    system = await images.system('sh', 'cat', 'sha256sum', 'sleep')
    data = await images.layer('data', (tree) => {
      for (const [name, bytes] of Object.entries(contents)) writeFileSync(join(tree, name), bytes)
    })
    reference = images.image('lab/app', [system, data])
    stack = new LazyStack(capsule, registry)
    await stack.start()
    containerd = new CriContainerd(capsule, stack.socket)
    containerd.mirror(registry.host, stack.mirror)
    await containerd.start()
    undo.push(() => containerd.stop())
  }, 60_000)
  afterAll(async () => {
    for (const step of undo.reverse()) await step()
  })

  test('a pull ends without a layer, and a container reads the bytes of the image', async () => {
    await containerd.pull(reference)
    const held = await containerd.contents()
    expect(held.filter((digest) => [system.digest, data.digest].includes(digest as never))).toEqual([])
    expect(await containerd.snapshot('info', system.diffId)).toContain(`"shoal/lazy-layer": "${system.digest}"`)
    expect(await stack.mountedLayers()).toBe(2)
    expect(await read('/first')).toBe(digestOf('first'))
    expect(await containerd.run(reference, 'sh', '-c', 'echo more >> /first; cat /first | sha256sum')).not.toContain(
      digestOf('first'),
    )
  }, 60_000)

  test('containers start, and one that runs goes on, through restarts of containerd, the node and the snapshotter', async () => {
    await containerd.begin(reference, 'sleeper', 'sleep', '1000')
    await containerd.stop()
    await containerd.start()
    expect(await read('/second')).toBe(digestOf('second'))
    for (const name of ['up', 'snapshotter'] as const) {
      await stack.kill(name)
      await stack.begin(name)
      // containerd takes up to three seconds to connect again.
      await until('containers start', 20, () =>
        read('/first').then(
          () => true,
          () => false,
        ),
      )
      expect(await containerd.exec('sleeper', 'sha256sum', '/first')).toContain(digestOf('first'))
      expect(await read('/first')).toBe(digestOf('first'))
    }
    await containerd.end('sleeper')
  }, 90_000)

  test('containers start after the mounter was killed', async () => {
    await stack.kill('mounter')
    await stack.begin('mounter')
    expect(await read('/second')).toBe(digestOf('second'))
  }, 60_000)

  test('an image that lists a layer twice shows the files of the upper one', async () => {
    const images = new SmallImages(dir, registry)
    const empty = await images.layer('empty', () => {})
    const first = await images.layer('first', (tree) => writeFileSync(join(tree, 'word'), 'first'))
    const second = await images.layer('second', (tree) => writeFileSync(join(tree, 'word'), 'second'))
    const twice = images.image('lab/twice', [system, empty, first, second, empty, first, empty])
    await containerd.pull(twice)
    expect(await containerd.run(twice, 'cat', '/word')).toBe('first')
    const hidden = images.image('lab/hidden', [system, empty, first, empty, second, empty])
    await containerd.pull(hidden)
    expect(await containerd.run(hidden, 'cat', '/word')).toBe('second')
    for (const image of [twice, hidden]) await containerd.remove(image)
  }, 60_000)

  test('folders that an upper layer does not describe are those of the layers below', async () => {
    const images = new SmallImages(dir, registry)
    const upper = impliedLayers().map((tar) => {
      const bytes = gzipSync(tar)
      return { tree: '', bytes, digest: digestOfBytes(bytes), diffId: digestOfBytes(tar) }
    })
    const implied = images.image('lab/implied', [system, ...upper])
    await containerd.pull(implied)
    expect(await containerd.contents()).not.toContain(upper[2]!.digest)
    const stat = ['/bin/busybox', 'stat', '-c', '%n %a %u:%g']
    const said = await containerd.run(implied, ...stat, '/tmp', '/root', '/home', '/home/me', '/again', '/gone')
    expect(said.trim().split('\n')).toEqual([
      ...['/tmp 1777 0:0', '/root 700 3:70000', '/home 755 0:0', '/home/me 2750 1000:1000', '/again 701 9:0'],
      '/gone 755 0:0',
    ])
    await containerd.remove(implied)
  }, 60_000)

  test('usage is what a layer takes, and nothing of a removed image is left mounted', async () => {
    let bytes = 0
    await until('all of the layers is here', 30, async () => {
      // KEY SIZE INODES
      const lines = (await containerd.snapshot('usage', '-b')).split('\n').slice(1)
      bytes = lines.reduce((sum, line) => sum + Number(line.split(/\s+/)[1] ?? 0), 0)
      return bytes >= 8 * mebibyte
    })
    expect(bytes).toBeLessThan(11 * mebibyte)
    await containerd.remove(reference)
    expect(await containerd.snapshots()).toEqual([])
    await until('the mounter has no layer', 20, async () => (await stack.mountedLayers()) === 0)
    // A layer is let go of first, and its folder removed then.
    await until('the space is back', 20, async () => readdirSync(stack.at('mounter/layers')).length === 0)
    const { stdout } = await capsule.tryExec(['cat', '/proc/self/mountinfo'])
    expect(stdout.split('\n').filter((line) => / (?:erofs|overlay) /.test(line) && line.includes(dir))).toEqual([])
  }, 60_000)
})
