/** `shoal mount` as people run it: a node, a mounter, and processes that read; nothing in between is a stand-in but the registry. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { seededRandom } from '../../../src/clock.ts'
import type { Member } from '../../fakes/tar.ts'
import { freePort } from '../../lab/free-port.ts'
import { lazyObstacle, MountLab, product } from '../../lab/mount-lab.ts'
import { LabProcess } from '../../lab/process.ts'
import { run, tryRun } from '../../lab/run.ts'
import { until } from '../../lab/until.ts'

const obstacle = lazyObstacle('shoal mount')
const size = 1_500_000
const random = seededRandom(7)
const contents = Array.from({ length: 12 }, () => Buffer.from(Array.from({ length: size }, () => random() * 256)))
const sums = contents.map((bytes) => new Bun.CryptoHasher('md5').update(bytes).digest('hex'))
const base: Member[] = contents.map((data, i) => ({ name: `files/${i}`, mode: 0o644, data }))
const top: Member[] = [
  { name: 'files/.wh.11' },
  { name: 'etc/', flag: '5', mode: 0o755 },
  { name: 'etc/motd', mode: 0o644, data: 'hello\n' },
]

async function sum(path: string): Promise<string> {
  const { stdout, stderr } = await tryRun(['timeout', '-k', '1', '40', 'md5sum', path])
  return stdout.split(' ')[0] || stderr
}

describe.skipIf(obstacle !== undefined)('shoal mount', () => {
  let lab: MountLab
  let node: LabProcess
  let image: string
  let dir: string
  const ports = { registry: freePort(), peer: freePort(), p2p: freePort(), admin: freePort() }
  const shoal = (...args: string[]) =>
    run([process.execPath, product, ...args, '--socket', lab.socket], {
      SHOAL_ADMIN_ADDR: `127.0.0.1:${ports.admin}`,
    })
  const startNode = async () => {
    const at = (port: number) => `127.0.0.1:${port}`
    const flags = {
      'data-dir': join(lab.dir, 'node'),
      'registry-addr': at(ports.registry),
      'peer-addr': at(ports.peer),
      'p2p-addr': at(ports.p2p),
      'admin-addr': at(ports.admin),
      upstream: `${lab.registry.host}=${lab.registry.url.origin}`,
    }
    const words = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value])
    node = new LabProcess([process.execPath, product, 'up', '--no-mdns', ...words], { log: join(lab.dir, 'node.log') })
    await until('the node is ready', 20, async () => {
      const answer = await fetch(`http://${at(ports.admin)}/readyz`).catch(() => undefined)
      return answer?.ok === true
    })
  }

  beforeAll(async () => {
    lab = await MountLab.start({ real: true })
    image = await lab.image('lab/app', [base, top])
    dir = lab.folder('root')
    await startNode()
  }, 60_000)
  afterAll(async () => {
    await node?.stop(2000)
    await lab?.close()
  }, 30_000)

  test('shows an image at a directory, and says how much of it is here', async () => {
    expect(await shoal('mount', '--no-prefetch', image, dir)).toContain(`${image} is at ${dir}`)
    expect(await Bun.file(join(dir, 'etc/motd')).text()).toBe('hello\n')
    expect(readdirSync(join(dir, 'files'))).not.toContain('11')
    expect(await sum(join(dir, 'files/0'))).toBe(sums[0]!)
    const { mounts } = JSON.parse(await shoal('mounts', '--json'))
    expect(mounts[0]).toMatchObject({ dir, image, prefetch: false, process: { cmd: ['/bin/app'] } })
    const here = mounts[0].layers.reduce((total: number, layer: { here: number }) => total + layer.here, 0)
    expect(here).toBeGreaterThanOrEqual(size)
  }, 60_000)

  test('is read on when the node was killed and comes back', async () => {
    await node.kill()
    expect(await sum(join(dir, 'files/0'))).toBe(sums[0]!)
    const reading = [3, 4, 5, 6].map((i) => sum(join(dir, `files/${i}`)))
    await startNode()
    expect(await Promise.all(reading)).toEqual([3, 4, 5, 6].map((i) => sums[i]!))
  }, 90_000)

  test('never gives a byte that was changed on the disk', async () => {
    expect(await sum(join(dir, 'files/7'))).toBe(sums[7]!)
    const [layer] = (await lab.client.layers()).filter((each) => each.size > size)
    const file = await open(join(lab.dir, 'data/layers', layer!.id, 'data'), 'r+')
    const offset = contents.slice(0, 7).reduce((total) => total + 512 + Math.ceil(size / 512) * 512, 0) + 512 + 1000
    const before = Buffer.alloc(1)
    await file.read(before, 0, 1, offset)
    expect(before[0]).toBe(contents[7]![1000]!)
    await file.write(Buffer.from([before[0]! ^ 1]), 0, 1, offset)
    await file.close()
    // What the kernel has read before is in its memory; it is to read again.
    await Bun.write('/proc/sys/vm/drop_caches', '1')
    expect(await sum(join(dir, 'files/7'))).toBe(sums[7]!)
  }, 60_000)

  test('is unmounted, and mounted again from what is here without a byte from the registry', async () => {
    await shoal('umount', dir)
    expect(lab.mounts()).toEqual([join(lab.dir, 'm.d/files')])
    await shoal('mount', image, dir)
    await until('all of it is here', 30, async () => {
      const [mounted] = await lab.client.mounts()
      return mounted?.layers.every(({ complete }) => complete) === true
    })
    await shoal('umount', dir)
    const blobs = lab.registry.requests.filter(({ path }) => path.includes('/blobs/')).length
    await shoal('mount', image, dir)
    for (const [i, expected] of sums.slice(0, 11).entries()) expect(await sum(join(dir, `files/${i}`))).toBe(expected)
    expect(lab.registry.requests.filter(({ path }) => path.includes('/blobs/'))).toHaveLength(blobs)
    expect(await shoal('mounts')).toContain('are here')
    await shoal('umount', dir)
  }, 90_000)

  test('of which a layer is listed twice is mounted, with what the upper one has', async () => {
    const empty: Member[] = []
    const first: Member[] = [
      { name: 'etc/', flag: '5', mode: 0o755 },
      { name: 'etc/taken', mode: 0o644, data: 'first\n' },
      { name: 'etc/changed', mode: 0o644, data: 'first\n' },
    ]
    const second: Member[] = [
      { name: 'etc/', flag: '5', mode: 0o755 },
      { name: 'etc/.wh.taken' },
      { name: 'etc/changed', mode: 0o644, data: 'second\n' },
      { name: 'etc/added', mode: 0o644, data: 'second\n' },
    ]
    const shown = async (name: string, ...layers: Member[][]) => {
      const twice = await lab.image(name, layers)
      await shoal('mount', twice, dir)
      const { stdout } = await tryRun(['sh', '-c', 'cd "$1" && grep -r "" .', 'sh', join(dir, 'etc')])
      await shoal('umount', dir)
      return stdout.trim().split('\n').sort()
    }
    expect(await shown('lab/empties', empty, first, empty, second, empty)).toEqual([
      './added:second',
      './changed:second',
    ])
    const again = ['./added:second', './changed:first', './taken:first']
    expect(await shown('lab/again', first, empty, second, first, empty)).toEqual(again)
    expect(lab.mounts()).toEqual([join(lab.dir, 'm.d/files')])
  }, 90_000)
})
