/**
 * Nodes and Harbor: what Harbor orders, what registries tell of pushes, and the ways to put the two together, with Debian's
 * docker-registry in Harbor's place. Zero bytes from the source means that no content of it was read: a tag is asked for.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { nodeSchema } from '../../../src/admin/view.ts'
import { manifestTypes } from '../../../src/oci/media.ts'
import { HarborClient, type HarborImage, harborToken } from '../../fakes/harbor.ts'
import { FakeRegistry, noise } from '../../fakes/registry.ts'
import { pushImage, type Written, writeImage, writeIndex } from '../../lab/image.ts'
import { scratchRoot } from '../../lab/lab.ts'
import { syntheticLayer } from '../../lab/layers.ts'
import { LabNode } from '../../lab/node.ts'
import { pullHere } from '../../lab/pull.ts'
import { LabRegistry } from '../../lab/registry.ts'
import { until } from '../../lab/until.ts'

const missing = ['skopeo', 'curl', 'docker-registry'].filter((program) => !Bun.which(program))
if (missing.length > 0) console.log(`skipped: nodes and Harbor: not there: ${missing.join(', ')}`)

const membersSchema = z.object({ members: z.array(z.unknown()) })
const jobSchema = z.object({ state: z.string() })

describe.skipIf(missing.length > 0)('a cluster with Harbor', () => {
  let dir: string
  /** Two registries over one storage, as hosts know them: `apps.test`. The first tells of pushes. */
  let first: LabRegistry
  let second: LabRegistry
  /** Wants a login that no node has. */
  let corp: FakeRegistry
  let seeds: LabNode[] = []
  let peer: LabNode
  const others: LabRegistry[] = []
  let made = 0

  beforeAll(async () => {
    dir = mkdtempSync(join(scratchRoot, 'shoal-harbor-'))
    const seed = { address: '127.0.83.1', admin: 'http://127.0.83.1:14883' }
    const endpoint = {
      name: 'shoal',
      url: `${seed.admin}/registry/notifications`,
      timeout: '2s',
      threshold: 3,
      backoff: '1s',
    }
    const notifications = { events: { includereferences: true }, endpoints: [endpoint] }
    first = await LabRegistry.start({ dir: join(dir, 'first'), more: { notifications } })
    second = await LabRegistry.start({ dir: join(dir, 'second'), storage: join(dir, 'first', 'data') })
    corp = await FakeRegistry.start({ auth: { kind: 'bearer', user: 'somebody', password: 'else' } })
    corp.tokens.push(harborToken)
    const upstreams = [
      ...[`apps.test=${first.url}`, `apps.test=${second.url}`],
      ...[`docker.io=${first.url}/v2/hub`, `corp.test=http://${corp.host}`],
    ]
    const flags = ['--no-mdns', '--tag-ttl', '1s', '--source-rate', '20MB/s', '--credentials-file', '/dev/null']
    for (const upstream of upstreams) flags.push('--upstream', upstream)
    const mode = (modes: string) => [...flags, '--mode', modes]
    const joined = (modes: string) => [...mode(modes), '--join', `${seed.address}:14882`]
    seeds = [
      new LabNode({ address: seed.address, dir: join(dir, 'seed1'), flags: mode('scheduler,seed') }),
      new LabNode({ address: '127.0.83.2', dir: join(dir, 'seed2'), flags: joined('seed') }),
    ]
    peer = new LabNode({ address: '127.0.83.3', dir: join(dir, 'peer'), flags: joined('peer') })
    await Promise.all([...seeds, peer].map((node) => node.ready()))
    await until('they know each other', 20, async () => {
      const members = async (node: LabNode) =>
        membersSchema.parse(JSON.parse(await node.get('/api/v1/members'))).members
      return (
        (await Promise.all([...seeds, peer].map(members))).every(({ length }) => length > 1) &&
        (await members(seeds[0]!)).length === 3
      )
    })
  }, 60_000)
  afterAll(async () => {
    await Promise.all([...seeds, peer].map((node) => node?.process.stop()))
    await Promise.all([...others, first, second, corp].map((registry) => registry?.stop()))
    if (dir) rmSync(dir, { recursive: true, force: true })
  })

  /** An image that nobody has seen before. */
  async function image(bytes = 2_000_000): Promise<Written> {
    const name = `image-${++made}`
    return writeImage(join(dir, name), 'v1', { layers: [await syntheticLayer(join(dir, 'layers'), bytes, made)] })
  }
  /** Where no notification goes out. */
  const push = (written: Written, repository: string) => pushImage(written, second.hostPort, repository, 'v1')
  const client = () => new HarborClient(seeds[0]!.admin)
  const asHarbor = (endpoint: string, repository: string, digest: string): HarborImage => ({
    endpoint,
    repository,
    tag: 'v1',
    digest,
  })
  async function sourceBytes(): Promise<number> {
    const each = await Promise.all([...seeds, peer].map((node) => node.metric('shoal_source_bytes_total')))
    return each.reduce((sum, bytes) => sum + bytes, 0)
  }
  /** That many bytes were read from sources. */
  async function readDuring(work: () => Promise<unknown>): Promise<number> {
    const before = await sourceBytes()
    await work()
    return (await sourceBytes()) - before
  }
  const newest = async () => {
    const { preheats } = JSON.parse(await seeds[0]!.get('/api/v1/preheats?limit=1')) as { preheats: unknown[] }
    return preheats.length === 0 ? undefined : jobSchema.parse(preheats[0]).state
  }
  const has = (digest: string) => async (node: LabNode) =>
    node.get(`/api/v1/blobs/${digest}`).then(
      (text) => (JSON.parse(text) as { complete: boolean }).complete,
      () => false,
    )
  const onSeeds = async (digest: string) => (await Promise.all(seeds.map(has(digest)))).every((there) => there)

  test('brings what Harbor orders as of Dragonfly, until SUCCESS; the pull reads 0 bytes from the source', async () => {
    const written = await image()
    await push(written, 'team/dragonfly')
    await client().dragonflyHealth()
    const { taskId } = await client().dragonflyPreheat(asHarbor(second.url, 'team/dragonfly', written.digest))
    let status = ''
    await until('Harbor is told of success', 20, async () => {
      status = (await client().dragonflyProgress(taskId)).status
      return status !== 'RUNNING'
    })
    expect([status, await onSeeds(written.digest)]).toEqual(['SUCCESS', true])
    expect(await readDuring(() => pullHere(peer.mirror, 'apps.test/team/dragonfly', 'v1'))).toBe(0)
  }, 60_000)

  test("reads a private project with Harbor's own token, and gives it to nobody who may not have it", async () => {
    const { manifest } = corp.image('team/secret', 'v1', [noise(300_000, 5)])
    const order = asHarbor(`http://${corp.host}`, 'team/secret', manifest)
    const { taskId } = await client().dragonflyPreheat(order)
    await until('it is over', 20, async () => (await client().dragonflyProgress(taskId)).status !== 'RUNNING')
    expect(await client().dragonflyProgress(taskId)).toEqual({ taskId, status: 'SUCCESS', error: '' })
    expect(await onSeeds(manifest)).toBe(true)
    const ask = (headers: Record<string, string>) =>
      fetch(`${peer.mirror}/v2/corp.test/team/secret/manifests/v1`, { headers })
    expect((await ask({})).ok).toBe(false)
    const allowed = await ask({ authorization: `Bearer ${harborToken}`, accept: manifestTypes.ociManifest })
    expect(allowed.status).toBe(200)
  }, 60_000)

  test('says FAILURE and why, where there is no such image', async () => {
    const order = asHarbor(second.url, 'team/none', `sha256:${'0'.repeat(64)}`)
    const { taskId } = await client().dragonflyPreheat(order)
    await until('it is over', 30, async () => (await client().dragonflyProgress(taskId)).status !== 'RUNNING')
    const { status, error } = await client().dragonflyProgress(taskId)
    expect([status, error]).toEqual(['FAIL', expect.stringContaining('apps.test/team/none')])
  }, 60_000)

  test('brings what Harbor orders as of Kraken; the pull reads 0 bytes from the source', async () => {
    const written = await image()
    await push(written, 'team/kraken')
    await client().krakenHealth()
    await client().krakenPreheat(asHarbor(second.url, 'team/kraken', written.digest))
    await until('it is brought', 20, async () => (await newest()) === 'done')
    expect(await onSeeds(written.digest)).toBe(true)
    expect(await readDuring(() => pullHere(peer.mirror, 'apps.test/team/kraken', 'v1'))).toBe(0)
  }, 60_000)

  test.each(['Default', 'CloudEvents'] as const)(
    'warms what a webhook of Harbor says, as %s',
    async (format) => {
      const written = await image(300_000)
      await push(written, 'team/hooked')
      await client().webhook(asHarbor(second.url, 'team/hooked', written.digest), format)
      await until('the seeds have it', 20, () => onSeeds(written.digest))
    },
    60_000,
  )

  test.each(['oci', 'v2s2'] as const)(
    'has what was pushed to a registry that tells, before anybody pulls, as %s',
    async (format) => {
      const written = await image()
      const layer = z.object({ layers: z.array(z.object({ digest: z.string() })) })
      await pushImage(written, first.hostPort, `team/told-${format}`, 'v1', { format })
      const manifest = await fetch(`${second.url}/v2/team/told-${format}/manifests/v1`, {
        headers: { accept: Object.values(manifestTypes).join(', ') },
      })
      const { layers } = layer.parse(await manifest.json())
      await until('the seeds have its layer', 20, () => onSeeds(layers[0]!.digest))
      await until('the seeds have its manifest', 20, () => onSeeds(manifest.headers.get('docker-content-digest') ?? ''))
      expect(await readDuring(() => pullHere(peer.mirror, `apps.test/team/told-${format}`, 'v1'))).toBe(0)
    },
    60_000,
  )

  test('has an index that was pushed, with the images of all its platforms', async () => {
    const layers = await Promise.all([81, 82].map((seed) => syntheticLayer(join(dir, 'layers'), 200_000, seed)))
    const index = writeIndex(join(dir, 'index'), 'v1', [
      { layers: [layers[0]!] },
      { layers: [layers[1]!], architecture: 'arm64' },
    ])
    await pushImage(index, first.hostPort, 'team/index', 'v1')
    for (const { digest } of [index, ...layers]) await until('the seeds have it', 20, () => onSeeds(digest))
  }, 60_000)

  test('gets from Harbor, behind it, what dockerd calls by its plain name', async () => {
    const written = await image(300_000)
    await push(written, 'hub/library/debian')
    const { digest } = await pullHere(peer.mirror, 'library/debian', 'v1')
    expect(digest).toBe(written.digest)
  }, 60_000)

  test('gives Harbor, in front of it, what its proxy project asks for, once for any number of Harbors', async () => {
    const written = await image()
    await push(written, 'hub/team/app')
    const front = async (name: string) => {
      const registry = await LabRegistry.start({ dir: join(dir, name), more: { proxy: { remoteurl: peer.mirror } } })
      others.push(registry)
      return (await pullHere(registry.url, 'team/app', 'v1')).digest
    }
    expect(await front('front1')).toBe(written.digest)
    expect(await readDuring(async () => expect(await front('front2')).toBe(written.digest))).toBe(0)
  }, 60_000)

  test('stands beside another registry over the same storage: what is pushed there is pulled here', async () => {
    const written = await image(300_000)
    await push(written, 'team/beside')
    expect((await pullHere(peer.mirror, 'apps.test/team/beside', 'v1')).digest).toBe(written.digest)
    expect((await pullHere(second.url, 'team/beside', 'v1')).digest).toBe(written.digest)
  }, 60_000)

  test('goes on at the second place of a registry when the first is killed within a layer, and comes back to it', async () => {
    const written = await image(30_000_000)
    await push(written, 'team/large')
    const before = await sourceBytes()
    const pulled = pullHere(peer.mirror, 'apps.test/team/large', 'v1')
    await until('the layer is on its way', 20, async () => (await sourceBytes()) > before + 2_000_000, 20)
    await first.kill()
    expect((await pulled).digest).toBe(written.digest)
    const state = async (node: LabNode) => {
      const { sources = [] } = nodeSchema.parse(JSON.parse(await node.get('/api/v1/node')))
      return sources.find(({ registry }) => registry === 'apps.test')?.endpoints.map((each) => each.state)
    }
    const states = async () => (await Promise.all(seeds.map(state))).map((each) => each?.join(' '))
    // A body that broke off is no reason to leave it; that nobody listens there is.
    await pullHere(peer.mirror, 'apps.test/team/beside', 'v1')
    expect(await states()).toContain('down up')
    const { port, dir: folder } = first
    first = await LabRegistry.start({ dir: folder, port })
    await until('it answers again', 20, async () => !(await states()).includes('down up'))
    await push(await image(300_000), 'team/again')
    await pullHere(peer.mirror, 'apps.test/team/again', 'v1')
    expect(new Set(await states())).toEqual(new Set(['up up']))
  }, 90_000)
})
