/**
 * containerd, the snapshotter, the mounter and a node, all real: containers of an image of which containerd has no layer,
 * through restarts of each of them, until the image is removed and the space is back.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hostFacts, whyNot } from '../../../src/mount/kernel/support.ts'
import { FakeRegistry, noise } from '../../fakes/registry.ts'
import { Capsule } from '../../lab/capsule.ts'
import { CriContainerd } from '../../lab/engines/cri.ts'
import { freePort } from '../../lab/free-port.ts'
import { scratchRoot } from '../../lab/lab.ts'
import { builtBinary } from '../../lab/node.ts'
import type { LabProcess } from '../../lab/process.ts'
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
  const [port, peer, p2p, admin] = [freePort(), freePort(), freePort(), freePort()]
  const programs = new Map<string, LabProcess>()
  const undo: (() => unknown)[] = []

  const at = (name: string) => join(dir, name)
  const flags: Record<string, () => string[]> = {
    up: () => [
      ...['--data-dir', at('node'), '--registry-addr', `127.0.0.1:${port}`, '--peer-addr', `127.0.0.1:${peer}`],
      ...['--p2p-addr', `127.0.0.1:${p2p}`, '--admin-addr', `127.0.0.1:${admin}`, '--no-mdns'],
      ...['--advertise', '127.0.0.1', '--upstream', `${registry.host}=http://${registry.host}`],
    ],
    mounter: () => ['--socket', at('m.sock'), '--data-dir', at('mounter')],
    snapshotter: () => [
      ...['--socket', at('s.sock'), '--data-dir', at('snapshots'), '--mounter', at('m.sock')],
      ...['--containerd', at('c.sock'), '--node', `127.0.0.1:${port}`, '--index-wait', '20s'],
    ],
  }
  const ready: Record<string, () => Promise<boolean>> = {
    up: () =>
      fetch(`http://127.0.0.1:${admin}/readyz`).then(
        ({ ok }) => ok,
        () => false,
      ),
    mounter: () =>
      fetch('http://mounter/v1', { unix: at('m.sock') }).then(
        ({ ok }) => ok,
        () => false,
      ),
    snapshotter: () => answers(at('s.sock')),
  }
  const begin = async (name: string) => {
    // As its unit has it.
    const enclosed = name === 'snapshotter' ? ['setpriv', '--bounding-set', '-all,+chown,+dac_override,+fowner'] : []
    programs.set(name, capsule.spawn(name, [...enclosed, builtBinary, name, ...flags[name]!()]))
    await until(`${name} is ready`, 20, ready[name]!)
  }
  const read = (path: string) => containerd.run(reference, 'sha256sum', path).then((text) => text.split(' ')[0])
  const digestOf = (name: string) => new Bun.CryptoHasher('sha256').update(contents[name]!).digest('hex')
  const contents: Record<string, Uint8Array> = { first: noise(3 * mebibyte, 1), second: noise(5 * mebibyte, 2) }
  const mountedLayers = async () => {
    const answer = await fetch('http://mounter/v1/layers', { unix: at('m.sock') })
    return ((await answer.json()) as { layers: unknown[] }).layers.length
  }

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
    for (const name of ['up', 'mounter', 'snapshotter']) await begin(name)
    containerd = new CriContainerd(capsule, at('s.sock'))
    containerd.mirror(registry.host, `http://127.0.0.1:${port}`)
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
    expect(await mountedLayers()).toBe(2)
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
    for (const name of ['up', 'snapshotter']) {
      await programs.get(name)!.kill()
      await begin(name)
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
    await programs.get('mounter')!.kill()
    await begin('mounter')
    expect(await read('/second')).toBe(digestOf('second'))
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
    await until('the mounter has no layer', 20, async () => (await mountedLayers()) === 0)
    expect(readdirSync(at('mounter/layers'))).toEqual([])
    const { stdout } = await capsule.tryExec(['cat', '/proc/self/mountinfo'])
    expect(stdout.split('\n').filter((line) => / (?:erofs|overlay) /.test(line) && line.includes(dir))).toEqual([])
  }, 60_000)
})

/** Somebody listens there. */
async function answers(socket: string): Promise<boolean> {
  try {
    const connection = await Bun.connect({ unix: socket, socket: { data() {} } })
    connection.end()
    return true
  } catch {
    return false
  }
}
