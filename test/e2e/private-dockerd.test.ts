import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type DockerHub, startDockerHub } from '../lab/engines/docker-hub.ts'
import { Dockerd } from '../lab/engines/dockerd.ts'
import { engineDir } from '../lab/engines/enclosure.ts'
import { engineObstacle } from '../lab/engines/obstacle.ts'
import { pushImage, type Written, writeImage } from '../lab/image.ts'
import { Lab } from '../lab/lab.ts'
import { syntheticLayer } from '../lab/layers.ts'
import { LabNode } from '../lab/node.ts'
import { LabRegistry } from '../lab/registry.ts'
import { tryRun } from '../lab/run.ts'
import { until } from '../lab/until.ts'

const obstacle = await engineObstacle('dockerd and private images', ['dockerd', 'docker', 'containerd', 'openssl'])
const ann = { user: 'ann', password: 'open-sesame' }
const bob = { user: 'bob', password: 'let-me-in' }
const hubKey = 'https://index.docker.io/v1/'
const encoded = ({ user, password }: typeof ann) => Buffer.from(`${user}:${password}`).toString('base64')

describe.skipIf(obstacle !== undefined)('dockerd and a private image', () => {
  let lab: Lab
  let hub: DockerHub
  /** Says no to Ann. */
  let other: LabRegistry
  let image: Written
  let engine: Dockerd
  let node: LabNode | undefined
  /** What `docker login` leaves behind. */
  let login: string
  const auths = (key: string, who: typeof ann) => JSON.stringify({ auths: { [key]: { auth: encoded(who) } } })

  beforeAll(async () => {
    lab = await Lab.create({ hosts: ['hub', 'host1'] })
    const host = lab.host('host1')
    hub = await startDockerHub(lab.host('hub'), ann)
    other = await LabRegistry.start({ host: lab.host('hub'), dir: join(lab.dir, 'other'), account: bob })
    image = writeImage(join(lab.dir, 'layout'), 'v1', { layers: [await syntheticLayer(lab.dir, 1_000_000, 1)] })
    await pushImage(image, '127.0.0.1:443', 'library/app', 'v1', { from: lab.host('hub'), account: ann })
    login = join(engineDir(host, 'docker'), 'client', 'config.json')
    const mirrors = ['http://127.0.0.1:4880']
    engine = await Dockerd.start({ host, mirrors, hosts: hub.hosts, caFile: hub.caFile })
  }, 60_000)
  beforeEach(async () => {
    rmSync(login, { force: true })
    for (const name of (await engine.docker('images', '--format', '{{.Repository}}:{{.Tag}}')).split('\n')) {
      if (name !== '') await engine.docker('image', 'rm', name)
    }
  })
  afterAll(() => lab?.close())

  /** A node with a login of its own, or bare of any. */
  async function start(own: boolean, flags: readonly string[] = [], source = hub.registry.url): Promise<LabNode> {
    await node?.process.stop()
    const { registry, caFile } = hub
    const file = join(lab.dir, 'node-login.json')
    // An https URL does not say its usual port.
    writeFileSync(file, own ? auths(registry.address, ann) : '{}', { mode: 0o600 })
    const upstreams = ['--upstream', `docker.io=${source}`, '--upstream', `corp.lab=${registry.url}`]
    const usual = [...upstreams, '--ca-file', caFile, '--credentials-file', file]
    node = await new LabNode({ host: lab.host('host1'), flags: [...usual, ...flags] }).ready()
    return node
  }
  const pull = (name = 'app:v1') =>
    engine.docker('pull', name).then(
      () => 'pulled',
      () => 'refused',
    )
  /** Layers and configs that the hub sent so far. */
  const sentTo = (client: 'shoal' | 'docker') =>
    hub.registry
      .accesses()
      .filter(
        ({ method, path, status, agent }) =>
          method === 'GET' && /\/blobs\//.test(path) && status === 200 && agent.startsWith(client),
      ).length
  const sentBytes = () => node!.metric('shoal_registry_sent_bytes_total')

  test('comes through the node when the login of the node counts for root, without one of its own', async () => {
    await start(true)
    expect(await pull()).toBe('pulled')
    expect(await engine.digestsOf('app:v1')).toEqual([`app@${image.digest}`])
    expect(sentTo('docker')).toBe(0)
  })

  test('does not come at all when no login counts and it has none or a wrong one, although the node has every byte', async () => {
    await start(true, ['--logins-for', 'nobody'])
    expect(await pull()).toBe('refused')
    writeFileSync(login, auths(hubKey, { ...ann, password: 'guess' }), { mode: 0o600 })
    expect(await pull()).toBe('refused')
    expect(await sentBytes()).toBe(0)
    expect(sentTo('docker')).toBe(0)
  })

  test('comes through a node without a login by that of docker, and the next client has nothing by it', async () => {
    const bare = await start(false)
    writeFileSync(login, auths(hubKey, ann), { mode: 0o600 })
    expect(await pull()).toBe('pulled')
    expect(await engine.digestsOf('app:v1')).toEqual([`app@${image.digest}`])
    expect(sentTo('docker')).toBe(0)
    const before = await sentBytes()
    expect(before).toBeGreaterThan(1_000_000)

    await engine.docker('image', 'rm', 'app:v1')
    rmSync(login)
    expect(await pull()).toBe('refused')
    expect(await sentBytes()).toBe(before)
    for (const secret of [ann.password, encoded(ann)]) expect(bare.process.logged()).not.toContain(secret)
    expect((await tryRun(['grep', '--recursive', '--quiet', ann.password, bare.dataDir])).code).toBe(1)
  })

  test('comes from the hub, by the login of docker, when the source of the node does not take it', async () => {
    await start(false, [], other.url)
    writeFileSync(login, auths(hubKey, ann), { mode: 0o600 })
    const before = sentTo('docker')
    expect(await pull()).toBe('pulled')
    expect(await engine.digestsOf('app:v1')).toEqual([`app@${image.digest}`])
    await until('the hub sent it to docker', 5, () => sentTo('docker') > before)
    expect(await sentBytes()).toBe(0)
  })

  test('of any registry comes by `docker login` at the node, and not without', async () => {
    await start(false)
    const name = 'localhost:4880/corp.lab/library/app:v1'
    expect(await pull(name)).toBe('refused')
    expect(await sentBytes()).toBe(0)
    await engine.docker('login', '--username', ann.user, '--password', ann.password, 'localhost:4880')
    expect(await pull(name)).toBe('pulled')
    expect(await engine.digestsOf(name)).toEqual([`localhost:4880/corp.lab/library/app@${image.digest}`])
    await engine.docker('logout', 'localhost:4880')
    await engine.docker('image', 'rm', name)
    expect(await pull(name)).toBe('refused')
  })
})
