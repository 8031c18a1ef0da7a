/** What a node shows of the images that are mounted on its host, with a real node, a real mounter and the commands. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { mountedSchema } from '../../../src/lazy/mounted.ts'
import { FakeRegistry, noise } from '../../fakes/registry.ts'
import { Capsule } from '../../lab/capsule.ts'
import { freePort } from '../../lab/free-port.ts'
import { scratchRoot } from '../../lab/lab.ts'
import { lazyObstacle } from '../../lab/mount-lab.ts'
import { builtBinary } from '../../lab/node.ts'
import { SmallImages } from '../../lab/small-images.ts'
import { until } from '../../lab/until.ts'

const obstacle = lazyObstacle('what is shown of mounts')
const mebibyte = 1 << 20

describe.skipIf(obstacle !== undefined)('a node shows', () => {
  let dir: string
  let capsule: Capsule
  let registry: FakeRegistry
  let reference: string
  const [port, admin] = [freePort(), freePort()]
  const undo: (() => unknown)[] = []
  const at = (name: string) => join(dir, name)
  const shoal = (...args: string[]) => capsule.exec([builtBinary, ...args])
  const where = ['--admin-addr', `127.0.0.1:${admin}`]
  const get = (path: string) => fetch(`http://127.0.0.1:${admin}${path}`)
  const shown = async () => mountedSchema.parse(await (await get('/api/v1/mounts')).json())

  beforeAll(async () => {
    dir = mkdtempSync(join(scratchRoot, 'shown-'))
    undo.push(() => rmSync(dir, { recursive: true, force: true }))
    registry = await FakeRegistry.start()
    undo.push(() => registry.stop())
    capsule = await Capsule.start(dir)
    undo.push(() => capsule.close())
    const images = new SmallImages(dir, registry)
    const layer = await images.layer('data', (tree) => {
      for (const i of [1, 2]) writeFileSync(join(tree, `${i}`), noise(2 * mebibyte, i))
    })
    reference = images.image('lab/app', [layer])
    mkdirSync(at('root'))
    capsule.spawn('up', [
      ...[builtBinary, 'up', '--data-dir', at('node'), '--no-mdns', '--advertise', '127.0.0.1', ...where],
      ...['--registry-addr', `127.0.0.1:${port}`, '--peer-addr', `127.0.0.1:${freePort()}`],
      ...['--p2p-addr', `127.0.0.1:${freePort()}`, '--upstream', `${registry.host}=http://${registry.host}`],
    ])
    capsule.spawn('mounter', [builtBinary, 'mounter', '--socket', at('m.sock'), '--data-dir', at('mounter')])
    await until('the node is ready', 20, () =>
      get('/readyz').then(
        ({ ok }) => ok,
        () => false,
      ),
    )
    await until('the mounter answers', 20, () =>
      fetch('http://mounter/v1', { unix: at('m.sock') }).then(
        ({ ok }) => ok,
        () => false,
      ),
    )
  }, 60_000)
  afterAll(async () => {
    for (const step of undo.reverse()) await step()
  })

  test('an image that is mounted, more of it as it is read, and nothing when it is unmounted', async () => {
    expect(await shown()).toEqual({ mounters: [], mounts: [], layers: [] })
    await shoal('mount', reference, at('root'), '--no-prefetch', '--socket', at('m.sock'), ...where)
    await until('the node has heard of it', 20, async () => (await shown()).mounts.length === 1)
    const [before] = (await shown()).mounts
    expect(before).toMatchObject({ dir: at('root'), image: reference, rw: false, prefetch: false, whole: [] })
    expect(before!.size).toBeGreaterThan(4 * mebibyte)
    expect(before!.complete).toBe(false)
    await capsule.exec(['cat', join(at('root'), '1'), join(at('root'), '2')])
    await until('all of it is here', 20, async () => (await shown()).mounts[0]?.complete === true)
    const status = await shoal('status', ...where)
    expect(status).toContain('Mounts (1)')
    expect(status).toMatch(new RegExp(`^ +${at('root')} +${reference} +\\S+ MiB +all +\\S+ MiB +0 B`, 'm'))
    const metrics = await (await get('/metrics')).text()
    expect(metrics).toMatch(/^shoal_mounts 1$/m)
    expect(metrics).toMatch(/^shoal_mount_reads_failed\{mounter="\S+"\} 0$/m)
    await shoal('umount', at('root'), '--socket', at('m.sock'))
    await until('the node has heard of that', 20, async () => (await shown()).mounters.length === 0)
    expect(await shoal('status', ...where)).not.toContain('Mounts')
  }, 60_000)
})
