/**
 * What the integration tests of Kraken try with its proxy, build index, origins, tracker and agents, tried with two seeds,
 * a scheduler and a peer, over a real registry as the place where images are kept for good.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pushImage, type Written, writeImage } from '../../lab/image.ts'
import { Lab } from '../../lab/lab.ts'
import { syntheticLayer } from '../../lab/layers.ts'
import { LabNode } from '../../lab/node.ts'
import { pullOn } from '../../lab/pull.ts'
import { LabRegistry } from '../../lab/registry.ts'
import { until } from '../../lab/until.ts'

const obstacle =
  (await Lab.obstacle()) ??
  (Bun.which('skopeo') && Bun.which('docker-registry') ? undefined : 'skopeo or docker-registry is not installed')
if (obstacle) console.log(`skipped: scenarios of Kraken: ${obstacle}`)

const seeds = ['seed1', 'seed2'] as const
const cluster = ['sched', ...seeds, 'peer'] as const
type Member = (typeof cluster)[number]

const here = '127.0.0.1:4880'
const login = { user: 'ann', password: 'correct-horse' }
const apps = 'apps.corp/team'

describe.skipIf(obstacle !== undefined)('an image that was pushed to a seed', () => {
  let lab: Lab
  let backend: LabRegistry
  const nodes = new Map<string, LabNode>()
  let images = 0

  beforeAll(async () => {
    lab = await Lab.create({ hosts: ['store', ...cluster, 'far'] })
    const auth = btoa(`${login.user}:${login.password}`)
    const logins = { auths: { [`${lab.host('far').address}:4880`]: { auth } } }
    writeFileSync(join(lab.dir, 'logins.json'), JSON.stringify(logins), { mode: 0o600 })
    const hash = await Bun.password.hash(login.password, { algorithm: 'bcrypt', cost: 4 })
    writeFileSync(join(lab.dir, 'users'), `${login.user}:${hash}\n`, { mode: 0o600 })
    await startBackend()
    await start(...cluster)
  }, 60_000)
  afterAll(() => lab?.close())

  async function startBackend() {
    backend = await LabRegistry.start({ host: lab.host('store'), dir: join(lab.host('store').dir, 'registry') })
  }

  /** Starts them, again if they ran before; each knows all the others that run when this is done. */
  async function start(...names: Member[]) {
    for (const name of names) nodes.set(name, launch(name))
    await Promise.all(names.map((name) => nodes.get(name)!.ready()))
    await until('the nodes know each other', 30, async () => {
      const counts = cluster.map(async (name) => {
        const node = nodes.get(name)!
        if (!node.process.running) return true
        const known = await Promise.all(['seed', 'scheduler'].map((mode) => node.metric('shoal_members', { mode })))
        return known[0] === runningSeeds().length && known[1] === 1
      })
      return (await Promise.all(counts)).every(Boolean)
    })
  }

  function launch(name: Member): LabNode {
    const others = ['sched', ...seeds].filter((other) => other !== name)
    const mode = name.startsWith('seed') ? 'seed' : name === 'sched' ? 'scheduler' : 'peer'
    const home = ['--home', `apps.corp/**=registry+http://${lab.host('store').address}:5000`]
    const copies = ['--replicate', `apps.corp/copied/**=http://${lab.host('far').address}:4880`]
    const flags = [
      ...['--no-mdns', '--mode', mode, ...others.flatMap((other) => ['--join', lab.host(other).address])],
      ...['--only-listed-upstreams', '--credentials-file', join(lab.dir, 'logins.json')],
      ...(mode === 'seed' ? [...home, '--push', '--home-write', 'back', ...copies] : []),
    ]
    return new LabNode({ host: lab.host(name), flags })
  }

  const runningSeeds = () => seeds.filter((name) => nodes.get(name)!.process.running)

  async function kill(...names: Member[]) {
    await Promise.all(names.map((name) => nodes.get(name)!.process.kill()))
  }

  async function wipe(...names: Member[]) {
    await kill(...names)
    for (const name of names) rmSync(nodes.get(name)!.dataDir, { recursive: true })
  }

  async function anImage(): Promise<Written> {
    const number = ++images
    const layers = [await syntheticLayer(lab.dir, 2_000_000, number)]
    return writeImage(join(lab.dir, `image${number}`), 'v1', { layers })
  }

  async function pushed(repository: string, tag = 'v1', image?: Written): Promise<Written> {
    const what = image ?? (await anImage())
    await pushImage(what, here, repository, tag, { from: lab.host('seed1') })
    return what
  }

  async function kept() {
    await until('the backend has all of it', 30, async () => {
      const facts = runningSeeds().map((name) => nodes.get(name)!.get('/api/v1/home'))
      return (await Promise.all(facts)).every((text) => (JSON.parse(text) as { waiting: number }).waiting === 0)
    })
  }

  const pulledOn = async (name: string, repository: string) =>
    (await pullOn(lab.host(name), `http://${here}`, repository, 'v1')).digest

  /** The own code of a refusal at the peer, the last that it says: its status is 404 always, so that engines go on. */
  async function refusal(path: string): Promise<string> {
    const { stdout } = await lab
      .host('peer')
      .tryExec(['curl', '--silent', '--max-time', '30', `http://${here}/v2/${path}`])
    return (JSON.parse(stdout) as { errors: { code: string }[] }).errors.at(-1)!.code
  }

  async function listed(name: string, path: string): Promise<unknown> {
    return JSON.parse(await lab.host(name).get(`http://${here}/v2/${path}`))
  }

  test('is found in the catalog, and under each of its tags, once', async () => {
    const [one, two] = [await anImage(), await anImage()]
    for (const tag of ['0001', '0002', '0003']) await pushed(`${apps}/one`, tag, one)
    for (const tag of ['0004', '0004']) await pushed(`${apps}/two`, tag, two)
    expect(await listed('seed2', '_catalog')).toEqual({ repositories: [`${apps}/one`, `${apps}/two`] })
    for (const name of ['seed1', 'seed2', 'peer']) {
      const { tags } = (await listed(name, `${apps}/one/tags/list`)) as { tags: string[] }
      expect(tags).toEqual(['0001', '0002', '0003'])
    }
  }, 30_000)

  test('comes to others while the backend is away, after a restart too, and from the backend once that is back and all disks are lost', async () => {
    await backend.kill()
    const image = await pushed(`${apps}/away`)
    await kill(...seeds)
    await start(...seeds)
    expect(await pulledOn('peer', `${apps}/away`)).toBe(image.digest)
    await startBackend()
    await kept()
    await wipe(...seeds, 'peer')
    await start(...seeds, 'peer')
    expect(await pulledOn('peer', `${apps}/away`)).toBe(image.digest)
  }, 90_000)

  test('is the same when somebody put it at the backend, past all seeds', async () => {
    const image = await anImage()
    await pushImage(image, '127.0.0.1:5000', 'team/beside', 'v1', { from: lab.host('store') })
    expect(await pulledOn('peer', 'apps.corp/team/beside')).toBe(image.digest)
  }, 30_000)

  test('is said not to be there only when the backend says so, and else to be out of reach', async () => {
    expect(await refusal(`${apps}/unheard/manifests/v1`)).toMatch(/^(MANIFEST|NAME)_UNKNOWN$/)
    await backend.kill()
    expect(await refusal(`${apps}/unheard/manifests/v1`)).toBe('UNAVAILABLE')
    await startBackend()
  }, 60_000)

  test('comes though the scheduler believes that seeds and peers have it, whose disks are lost', async () => {
    const image = await pushed(`${apps}/stale`)
    await kept()
    expect(await pulledOn('peer', `${apps}/stale`)).toBe(image.digest)
    await wipe(...seeds, 'peer')
    await start(...seeds, 'peer')
    expect(await pulledOn('peer', `${apps}/stale`)).toBe(image.digest)
  }, 60_000)

  test('comes when the seed that it was pushed to is gone', async () => {
    const image = await pushed(`${apps}/one-left`)
    await kept()
    await kill('seed1')
    expect(await pulledOn('peer', `${apps}/one-left`)).toBe(image.digest)
    await start('seed1')
  }, 60_000)

  test('comes to those who ask while all seeds are away, when they come up late: to one that has never met a seed too', async () => {
    const image = await pushed(`${apps}/late`)
    await kill(...seeds)
    const host = lab.host('far')
    const joins = ['sched', ...seeds].flatMap((other) => ['--join', lab.host(other).address])
    const flags = ['--no-mdns', '--mode', 'peer', '--only-listed-upstreams', ...joins, '--home', 'apps.corp/**']
    const fresh = await new LabNode({ host, flags, dir: join(host.dir, 'fresh') }).ready()
    const pulling = Promise.all(['peer', 'far'].map((name) => pulledOn(name, `${apps}/late`)))
    const asked = Bun.sleep(2000).then(() => 'they wait')
    expect(await Promise.race([asked, pulling.catch(String)])).toBe('they wait')
    await start(...seeds)
    expect(await pulling).toEqual([image.digest, image.digest])
    await fresh.process.stop()
  }, 60_000)

  test('is in another cluster that was away, though the seed that was to copy it is lost with its index', async () => {
    const image = await pushed('apps.corp/copied/app')
    await kept()
    await wipe('seed1')
    const users = ['--push-users-file', join(lab.dir, 'users')]
    const listen = ['--registry-addr', '0.0.0.0:4880']
    const flags = ['--no-mdns', '--only-listed-upstreams', '--home', 'apps.corp/**', '--push', ...users, ...listen]
    await new LabNode({ host: lab.host('far'), flags }).ready()
    await until('it has been copied', 45, async () => {
      const { code } = await lab
        .host('far')
        .tryExec(['curl', '-sfI', '-m', '5', `http://${here}/v2/apps.corp/copied/app/manifests/v1`])
      return code === 0
    })
    expect(await pulledOn('far', 'apps.corp/copied/app')).toBe(image.digest)
    await start('seed1')
  }, 90_000)
})
