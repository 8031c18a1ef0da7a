import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Containerd } from '../lab/engines/containerd.ts'
import { Podman } from '../lab/engines/containers-image.ts'
import { startNodes } from '../lab/engines/nodes.ts'
import { engineObstacle } from '../lab/engines/obstacle.ts'
import type { Host } from '../lab/host.ts'
import { pushImage, type Written, writeImage } from '../lab/image.ts'
import { Lab } from '../lab/lab.ts'
import { syntheticLayer } from '../lab/layers.ts'
import { type LabNode, sumOf } from '../lab/node.ts'
import { LabRegistry } from '../lab/registry.ts'

const programs = ['containerd', 'ctr', 'podman', 'conmon']
const obstacle = await engineObstacle('containerd, podman, skopeo and private images', programs)
const ann = { user: 'ann', password: 'open-sesame' }
const bob = { user: 'bob', password: 'let-me-in' }
const shown = ({ user, password }: typeof ann) => `${user}:${password}`
const nobody = { ...ann, password: 'guess' }

describe.skipIf(obstacle !== undefined)('a private image through nodes that have no login', () => {
  let lab: Lab
  let registry: LabRegistry
  let image: Written
  let nodes: LabNode[]
  let containerd: Containerd
  let podman: Podman
  let startedAt: number
  const reference = 'corp.lab/org/app:v1'

  beforeAll(async () => {
    lab = await Lab.create({ hosts: ['registry', 'host1', 'host2'] })
    const host = lab.host('registry')
    registry = await LabRegistry.start({ host, dir: join(host.dir, 'registry'), account: ann })
    const hash = await Bun.password.hash(bob.password, { algorithm: 'bcrypt', cost: 4 })
    appendFileSync(join(host.dir, 'registry', 'htpasswd'), `${bob.user}:${hash}\n`)
    image = writeImage(join(lab.dir, 'layout'), 'v1', { layers: [await syntheticLayer(lab.dir, 1_000_000, 1)] })
    await pushImage(image, '127.0.0.1:5000', 'org/app', 'v1', { from: host, account: ann })
    const none = join(lab.dir, 'none.json')
    writeFileSync(none, '{}')
    const hosts = [lab.host('host1'), lab.host('host2')]
    startedAt = Date.now()
    nodes = await startNodes(hosts, ['--upstream', `corp.lab=${registry.url}`, '--credentials-file', none])
    containerd = await Containerd.start(hosts[0]!)
    containerd.mirror('corp.lab', ['http://127.0.0.1:4880'])
    podman = new Podman(hosts[1]!, { registry: 'corp.lab', mirror: '127.0.0.1:4880/corp.lab' })
  }, 60_000)
  afterAll(() => lab?.close())

  const outcome = (work: Promise<unknown>) =>
    work.then(
      () => 'pulled',
      () => 'refused',
    )
  let copies = 0
  function skopeo(host: Host, ...options: string[]) {
    const copy = ['skopeo', '--insecure-policy', 'copy', '--src-tls-verify=false', ...options]
    return outcome(
      host.exec([...copy, `docker://127.0.0.1:4880/${reference}`, `dir:${join(lab.dir, `copy-${++copies}`)}`]),
    )
  }
  /** By the file that `podman login` writes; the login is for the mirror of one registry. */
  function podmanAs(who: typeof ann) {
    const file = join(lab.dir, `podman-${copies++}.json`)
    const auth = Buffer.from(shown(who)).toString('base64')
    writeFileSync(file, JSON.stringify({ auths: { '127.0.0.1:4880/corp.lab': { auth } } }), { mode: 0o600 })
    return outcome(podman.podman('pull', '--authfile', file, reference))
  }
  const byAll = async (who: typeof ann) => [
    await outcome(containerd.pull(reference, '--user', shown(who))),
    await podmanAs(who),
    ...(await Promise.all(lab.hosts.slice(1).map((host) => skopeo(host, '--src-creds', shown(who))))),
  ]
  const sum = async (metric: string) =>
    (await Promise.all(nodes.map((node) => node.get('/metrics')))).reduce(
      (total, text) => total + sumOf(text, metric),
      0,
    )
  const sentBytes = () => sum('shoal_registry_sent_bytes_total')
  const bySource = (method: string, status: number) =>
    registry.accesses().filter((a) => a.agent === 'shoal' && a.method === method && a.status === status)

  test('does not come to who shows nothing, or what the registry does not take', async () => {
    expect(await byAll(nobody)).toEqual(['refused', 'refused', 'refused', 'refused'])
    expect(await skopeo(lab.host('host1'), '--src-no-creds')).toBe('refused')
    expect(await outcome(containerd.pull(reference))).toBe('refused')
    expect(await sentBytes()).toBe(0)
    expect([...bySource('GET', 200), ...bySource('HEAD', 200)]).toEqual([])
  }, 60_000)

  test('comes to whoever shows what the registry takes, and was read there once for both hosts', async () => {
    expect(await byAll(ann)).toEqual(['pulled', 'pulled', 'pulled', 'pulled'])
    expect(await containerd.digestOf(reference)).toBe(image.digest)
    expect(await podman.digestOf(reference)).toBe(image.digest)
    const times = Map.groupBy(bySource('GET', 200), ({ path }) => path)
    expect([...times].filter(([, accesses]) => accesses.length !== 1)).toEqual([])
    expect(times.size).toBe(3)
  }, 60_000)

  test('costs the registry one question a minute for each login and host, however often it is pulled', async () => {
    for (let i = 0; i < 5; i++) {
      const pulls = lab.hosts
        .slice(1)
        .flatMap((host) => [ann, bob].map((who) => skopeo(host, '--src-creds', shown(who))))
      expect(new Set(await Promise.all(pulls))).toEqual(new Set(['pulled']))
    }
    const minutes = Math.ceil((Date.now() - startedAt) / 60_000)
    // Two logins at two hosts; and each host looks up the tag, for whose owner has no login it does so by itself.
    expect(bySource('HEAD', 200).length).toBeLessThanOrEqual((2 * 2 + 2) * minutes)
    expect(bySource('GET', 200)).toHaveLength(3)
  }, 60_000)

  test('does not come to others afterwards, and no login is on a disk or in a log', async () => {
    const before = await sentBytes()
    expect(await byAll(nobody)).toEqual(['refused', 'refused', 'refused', 'refused'])
    expect(await sentBytes()).toBe(before)
    for (const node of nodes) {
      for (const secret of [ann, bob].flatMap((who) => [who.password, Buffer.from(shown(who)).toString('base64')])) {
        expect(node.process.logged()).not.toContain(secret)
        const found = await lab.host('host1').tryExec(['grep', '--recursive', '--quiet', secret, node.dataDir])
        expect(found.code).toBe(1)
      }
    }
  }, 60_000)
})
