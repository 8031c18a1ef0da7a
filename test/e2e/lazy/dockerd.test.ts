/** dockerd with containerd's image store and the snapshotter, all real: `docker run` of an image of which no layer was pulled. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hostFacts, whyNot } from '../../../src/mount/kernel/support.ts'
import { FakeRegistry, noise } from '../../fakes/registry.ts'
import { Capsule } from '../../lab/capsule.ts'
import { CriContainerd } from '../../lab/engines/cri.ts'
import { Dockerd } from '../../lab/engines/dockerd.ts'
import { scratchRoot } from '../../lab/lab.ts'
import { LazyStack } from '../../lab/lazy-stack.ts'
import { SmallImages, type SmallLayer } from '../../lab/small-images.ts'
import { until } from '../../lab/until.ts'

/** dockerd's image store of containerd is an experiment before, and has no snapshotters but containerd's own in 20.10. */
const leastDocker = 25
const missing = ['dockerd', 'docker', 'containerd', 'runc', 'busybox', 'nsenter', 'setpriv'].filter(
  (name) => !Bun.which(name),
)
const obstacle =
  process.getuid?.() !== 0
    ? 'only root may mount'
    : missing.length > 0
      ? `not installed: ${missing.join(', ')}`
      : Dockerd.major < leastDocker
        ? `dockerd ${Dockerd.major} is here, and ${leastDocker} is the first with that image store`
        : whyNot(hostFacts())
if (obstacle) console.log(`skipped: dockerd with layers that are mounted: ${obstacle}`)

describe.skipIf(obstacle !== undefined)('dockerd with layers that are mounted', () => {
  let dir: string
  let capsule: Capsule
  let stack: LazyStack
  let containerd: CriContainerd
  let system: SmallLayer
  let data: SmallLayer
  let reference: string
  const bytes = noise(3 << 20, 1)
  const undo: (() => unknown)[] = []

  const docker = (...args: string[]) =>
    capsule.exec(['docker', '--config', join(dir, 'client'), '--host', `unix://${join(dir, 'd.sock')}`, ...args])

  beforeAll(async () => {
    dir = mkdtempSync(join(scratchRoot, 'lazy-'))
    undo.push(() => rmSync(dir, { recursive: true, force: true }))
    const registry = await FakeRegistry.start()
    undo.push(() => registry.stop())
    capsule = await Capsule.start(dir)
    undo.push(() => capsule.close())
    const images = new SmallImages(dir, registry)
    system = await images.system('sh', 'cat', 'sha256sum')
    data = await images.layer('data', (tree) => writeFileSync(join(tree, 'data'), bytes))
    reference = images.image('lab/app', [system, data])
    stack = new LazyStack(capsule, registry)
    await stack.start()
    containerd = new CriContainerd(capsule, stack.socket)
    await containerd.start()
    undo.push(() => containerd.stop())
    mkdirSync(join(dir, 'client'))
    const config = join(dir, 'daemon.json')
    writeFileSync(
      config,
      JSON.stringify({
        ...{ 'data-root': join(dir, 'docker'), 'exec-root': join(dir, 'exec'), pidfile: join(dir, 'd.pid') },
        ...{ hosts: [`unix://${join(dir, 'd.sock')}`], bridge: 'none', iptables: false, ip6tables: false },
        'exec-opts': ['native.cgroupdriver=cgroupfs'],
        containerd: stack.containerd,
        features: { 'containerd-snapshotter': true },
        'storage-driver': 'shoal',
      }),
    )
    const dockerd = capsule.spawn('dockerd', ['dockerd', '--config-file', config])
    undo.push(() => dockerd.stop())
    await until('dockerd answers', 20, async () => {
      if (!dockerd.running) throw new Error(dockerd.logged().slice(-2000))
      return docker('version').then(
        () => true,
        () => false,
      )
    })
  }, 60_000)
  afterAll(async () => {
    for (const step of undo.reverse()) await step()
  })

  test('docker pull ends without a layer, and a container reads the bytes of the image', async () => {
    await docker('pull', reference)
    const held = (await containerd.ctrIn('moby', 'content', 'ls', '--quiet')).split('\n')
    expect(held.filter((digest) => [system.digest, data.digest].includes(digest as never))).toEqual([])
    expect(await stack.mountedLayers()).toBe(2)
    const said = await docker('run', '--rm', '--network', 'none', reference, 'sha256sum', '/data')
    expect(said.split(' ')[0]).toBe(new Bun.CryptoHasher('sha256').update(bytes).digest('hex'))
  }, 60_000)

  test('when the image is removed nothing of it is left mounted', async () => {
    await docker('image', 'rm', reference)
    await until('the mounter has no layer', 20, async () => (await stack.mountedLayers()) === 0)
  }, 60_000)
})
