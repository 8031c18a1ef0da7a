/** Trees of images that are mounted by the commands, with a real node and a real mounter, against the same layers unpacked. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { digestOf } from '../../../src/oci/digest.ts'
import { FakeRegistry } from '../../fakes/registry.ts'
import { Capsule } from '../../lab/capsule.ts'
import { freePort } from '../../lab/free-port.ts'
import { impliedLayers } from '../../lab/implied-layers.ts'
import { scratchRoot } from '../../lab/lab.ts'
import { mergedByContainerd, mergedByMount, writeStack } from '../../lab/merged.ts'
import { lazyObstacle } from '../../lab/mount-lab.ts'
import { builtBinary } from '../../lab/node.ts'
import { oddLayer } from '../../lab/odd-layer.ts'
import { run } from '../../lab/run.ts'
import { SmallImages, type SmallLayer } from '../../lab/small-images.ts'
import { differences, readCommand, readTree } from '../../lab/trees.ts'
import { until } from '../../lab/until.ts'
import { whiteoutLayers } from '../../lab/whiteout-layers.ts'

function layerOf(tar: Uint8Array): SmallLayer {
  const bytes = gzipSync(tar)
  return { tree: '', bytes, digest: digestOf(bytes), diffId: digestOf(tar) }
}

/** Without the root, which is the engine's own, and without times of folders, which are those of the unpacking. */
function timeless(tree: ReadonlyMap<string, string>): Map<string, string> {
  const withoutTime = (facts: string) => facts.replace(/^(directory \S+ \S+ \S+) \S+/, '$1')
  return new Map([...tree].filter(([path]) => path !== './').map(([path, facts]) => [path, withoutTime(facts)]))
}

const obstacle = lazyObstacle('trees of mounted images')

describe.skipIf(obstacle !== undefined)('a mounted image has', () => {
  let dir: string
  let capsule: Capsule
  let images: SmallImages
  const undo: (() => unknown)[] = []
  const where = ['--admin-addr', `127.0.0.1:${freePort()}`]
  const at = (name: string) => join(dir, name)
  const socket = () => ['--socket', at('m.sock')]

  beforeAll(async () => {
    dir = mkdtempSync(join(scratchRoot, 'trees-'))
    undo.push(() => rmSync(dir, { recursive: true, force: true }))
    const registry = await FakeRegistry.start()
    undo.push(() => registry.stop())
    capsule = await Capsule.start(dir)
    undo.push(() => capsule.close())
    images = new SmallImages(dir, registry)
    capsule.spawn('up', [
      ...[builtBinary, 'up', '--data-dir', at('node'), '--no-mdns', '--advertise', '127.0.0.1', ...where],
      ...['--registry-addr', `127.0.0.1:${freePort()}`, '--peer-addr', `127.0.0.1:${freePort()}`],
      ...['--p2p-addr', `127.0.0.1:${freePort()}`, '--upstream', `${registry.host}=http://${registry.host}`],
    ])
    capsule.spawn('mounter', [builtBinary, 'mounter', ...socket(), '--data-dir', at('mounter')])
    const answers = (asked: Promise<Response>) =>
      asked.then(
        ({ ok }) => ok,
        () => false,
      )
    await until('the node is ready', 20, () => answers(fetch(`http://${where[1]}/readyz`)))
    await until('the mounter answers', 20, () => answers(fetch('http://mounter/v1', { unix: at('m.sock') })))
  }, 60_000)
  afterAll(async () => {
    for (const step of undo.reverse()) await step()
  })

  /** Read through mount, overlay, FUSE and node. */
  async function mounted(name: string, tars: readonly Uint8Array[]): Promise<Map<string, string>> {
    const layers = tars.map(layerOf)
    const root = at(`${name}.root`)
    mkdirSync(root)
    await capsule.exec([builtBinary, 'mount', images.image(`lab/${name}`, layers), root, ...socket(), ...where])
    const copy = at(`${name}.read`)
    await capsule.exec(['timeout', '60', 'sh', '-c', `exec "$@" > ${copy}`, 'sh', ...readCommand(root)])
    await capsule.exec([builtBinary, 'umount', root, ...socket()])
    return readTree(['cat', copy])
  }

  test('everything as GNU tar unpacks it', async () => {
    const layer = oddLayer(11)
    const [tar, unpacked] = [at('odd.tar'), at('unpacked')]
    writeFileSync(tar, layer)
    mkdirSync(unpacked)
    const flags = ['--numeric-owner', '-p', '--delay-directory-restore', '--xattrs', '--xattrs-include=*']
    await run(['tar', '-C', unpacked, ...flags, '-xf', tar])
    const wanted = await readTree(readCommand(unpacked))
    expect(wanted.size).toBeGreaterThan(1500)
    expect(differences(wanted, await mounted('odd', [layer]))).toEqual([])
  }, 60_000)

  test('of several layers what the upper ones leave of the lower', async () => {
    const layers = whiteoutLayers()
    const wanted = await mergedByMount(writeStack(at('stack'), layers))
    expect(wanted.size).toBeGreaterThan(20)
    expect(differences(wanted, await mounted('stack', layers))).toEqual([])
  }, 60_000)

  test.skipIf(!Bun.which('containerd'))(
    'of folders that a layer does not describe what containerd makes of them over the layers below',
    async () => {
      const layers = impliedLayers()
      const wanted = timeless(await mergedByContainerd(writeStack(at('implied'), layers)))
      expect(wanted.get('./tmp/')).toStartWith('directory 1777 0 0')
      const found = timeless(await mounted('implied', layers))
      expect(differences(wanted, found)).toEqual([])
      expect(readdirSync(at('mounter/writable'))).toEqual([])
    },
    60_000,
  )

  test('folders for all where it is writable, though an upper layer does not describe them', async () => {
    const image = images.image('lab/shared', impliedLayers().map(layerOf))
    const root = at('shared')
    mkdirSync(root)
    await capsule.exec([builtBinary, 'mount', '--rw', image, root, ...socket(), ...where])
    // From inside: not all may pass what is above.
    const other = 'cd "$1"; exec setpriv --reuid=1000 --regid=1000 --clear-groups touch "$2"'
    const write = (path: string) => capsule.tryExec(['sh', '-c', other, 'sh', root, path])
    expect((await write('tmp/new')).code).toBe(0)
    expect((await write('root/new')).code).not.toBe(0)
    await capsule.exec([builtBinary, 'umount', root, ...socket()])
    expect(readdirSync(at('mounter/writable'))).toEqual([])
  }, 60_000)
})
