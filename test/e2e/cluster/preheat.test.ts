/** Preheats on hosts with nodes, by the command: what comes, to whom, in which order, and what survives. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, digestOf } from '../../../src/oci/digest.ts'
import { Cluster } from '../../lab/cluster.ts'
import { engineObstacle } from '../../lab/engines/obstacle.ts'
import { LabFiles } from '../../lab/files.ts'
import { pushImage, writeImage } from '../../lab/image.ts'
import { syntheticBlob, syntheticLayer } from '../../lab/layers.ts'
import { begunPreheat, preheatAt, preheated, shoalPreheat } from '../../lab/preheat.ts'
import { pullOn } from '../../lab/pull.ts'
import { until } from '../../lab/until.ts'

const obstacle = await engineObstacle('preheats', ['skopeo', 'docker-registry'])
const [small, large] = [3_000_000, 24_000_000]
const names = ['head', 'near1', 'near2', 'far']
const zones: Record<string, string> = { head: 'eu/fra', near1: 'eu/fra', near2: 'eu/fra', far: 'us/east' }

describe.skipIf(obstacle !== undefined)('a preheat', () => {
  let cluster: Cluster
  let files: LabFiles
  let folder: string
  let pushed = 0
  beforeAll(async () => {
    const members = names.map((name) => ({
      name,
      mode: name === 'head' ? 'scheduler,seed' : 'peer',
      flags: ['--zone', zones[name]!],
    }))
    cluster = await Cluster.create({ members, discovery: 'join', size: small })
    const host = cluster.lab.host('registry')
    folder = join(host.dir, 'files')
    mkdirSync(folder)
    files = await LabFiles.start(host, folder)
    for (const name of names) launch(name)
    await Promise.all(names.map((name) => cluster.node(name).ready()))
    await cluster.acquainted()
    await until(
      'the scheduler knows all',
      30,
      async () => (await cluster.node('head').metric('shoal_members', { mode: 'peer' })) === 3,
    )
  }, 60_000)
  afterAll(() => cluster?.close())

  const sourceRate = (rate: string | undefined) => cluster.lab.host('registry').shape(rate)
  const launch = (name: string) => cluster.launch(name, ['--upstream', `files.lab=${files.url}`])
  const head = () => cluster.node('head')

  /** An image that no node has seen. */
  async function image(bytes: number): Promise<{ name: string; layer: Digest; repository: string }> {
    const repository = `lab/image${++pushed}`
    const layer = await syntheticLayer(cluster.lab.dir, bytes, 100 + pushed)
    const written = writeImage(join(cluster.lab.dir, `layout${pushed}`), 'v1', { layers: [layer] })
    await pushImage(written, '127.0.0.1:5000', repository, 'v1', { from: cluster.lab.host('registry') })
    return {
      name: `registry.lab/${repository}:v1`,
      layer: layer.digest as Digest,
      repository: `registry.lab/${repository}`,
    }
  }
  /** Hosts whose nodes have all of it. */
  async function holders(digest: Digest): Promise<string[]> {
    const held = await Promise.all(
      names.map(async (name) => {
        const { blobs } = JSON.parse(await cluster.node(name).get('/api/v1/blobs?state=complete&limit=1000'))
        return blobs.some((blob: { digest: Digest }) => blob.digest === digest) ? [name] : []
      }),
    )
    return held.flat()
  }
  const bytesRead = () => cluster.total('shoal_source_bytes_total')

  test('to all nodes reads the source once, and pulls on all of them afterwards read nothing of it', async () => {
    const { name, repository } = await image(small)
    const before = await bytesRead()
    const { state, counts, bytes, total } = await preheated(cluster.node('far'), name, '--scope', 'all')
    expect([state, counts.done, bytes]).toEqual(['done', 4, total])
    const read = await bytesRead()
    expect(read - before).toBeLessThan(1.1 * small)
    const pulls = names.map((host) => pullOn(cluster.lab.host(host), cluster.node(host).mirror, repository, 'v1'))
    for (const pull of await Promise.all(pulls)) expect(pull.bytes).toBeGreaterThan(small)
    expect((await bytesRead()) - read).toBe(0)
    // Again it costs nothing, and is another job.
    const again = await preheated(head(), name, '--scope', 'all')
    expect([again.counts.done, (await bytesRead()) - read]).toEqual([4, 0])
  }, 60_000)

  test('goes to seeds unless told otherwise, to a zone, or to a share, which is the same again', async () => {
    const [one, two, three] = [await image(300_000), await image(300_000), await image(300_000)]
    await preheated(head(), one.name)
    expect(await holders(one.layer)).toEqual(['head'])
    await preheated(head(), two.name, '--scope', 'all', '--zone', 'us')
    // A seed read it for that one.
    expect(await holders(two.layer)).toEqual(['head', 'far'])
    const first = await preheated(head(), three.name, '--scope', 'all', '--share', '50%')
    const second = await preheated(cluster.node('near1'), three.name, '--scope', 'all', '--share', '0.5')
    expect(second.nodes.map(({ node }) => node).sort()).toEqual(first.nodes.map(({ node }) => node).sort())
    expect(first.counts.done).toBe(2)
    const chosen = await Promise.all(
      names.map(async (name) => {
        const { id } = JSON.parse(await cluster.node(name).get('/api/v1/node')) as { id: string }
        return first.nodes.some(({ node }) => node === id) ? [name] : []
      }),
    )
    expect(await holders(three.layer)).toEqual(names.filter((name) => name === 'head' || chosen.flat().includes(name)))
  }, 60_000)

  test('brings a file by its URL, from its server once', async () => {
    const bytes = syntheticBlob(2_000_000, 5)
    writeFileSync(join(folder, 'disk.img'), bytes)
    const { counts } = await preheated(head(), `${files.url}/disk.img`, '--scope', 'all', '--pin', '7d')
    expect(counts.done).toBe(4)
    expect((await holders(digestOf(bytes))).sort()).toEqual([...names].sort())
    expect(files.sent('/disk.img') / bytes.length).toBeWithin(1, 1.1)
    const { pins } = JSON.parse(await cluster.node('near2').get('/api/v1/pins'))
    expect(pins).toContainEqual(expect.objectContaining({ name: expect.stringMatching(/^preheat \d+ of /), blobs: 1 }))
  }, 60_000)

  /** Of a large one, whose source is slow from now on. */
  async function underWay(rate: string, ...flags: string[]): Promise<{ id: number; layer: Digest }> {
    const { name, layer } = await image(large)
    await sourceRate(rate)
    const { id } = await begunPreheat(head(), name, '--scope', 'all', ...flags)
    await until('it is under way', 20, async () => (await brought(id)) > 500_000, 50)
    return { id, layer }
  }
  /** By the node that has most. */
  async function brought(id: number): Promise<number> {
    const { nodes } = await preheatAt(head(), id)
    return Math.max(...nodes.map(({ bytes }) => bytes))
  }
  const stateOf = async (id: number) => (await preheatAt(head(), id)).state
  const transfers = (host: string) => cluster.node(host).get('/api/v1/transfers')

  test('lets a pull that somebody waits for go first', async () => {
    const wanted = await image(2 * small)
    const { id } = await underWay('24mbit')
    const { host, mirror } = cluster.node('near1')
    const pull = pullOn(host!, mirror, wanted.repository, 'v1')
    pull.catch(() => {})
    await until('the pull begins', 30, async () => (await transfers('head')).includes(wanted.layer), 20)
    const before = await brought(id)
    await pull
    // A sixteenth of what the source sends meanwhile, and what came before and after it.
    expect((await brought(id)) - before).toBeLessThan(small)
    expect(await stateOf(id)).toBe('running')
    await sourceRate(undefined)
    await until('then it goes on', 60, async () => (await stateOf(id)) === 'done')
  }, 90_000)

  test('that is cancelled stops everywhere, and leaves nothing pinned', async () => {
    const { id, layer } = await underWay('8mbit', '--pin', '1d')
    expect(await stateOf(id)).toBe('running')
    expect((await shoalPreheat(cluster.node('near1'), '--cancel', String(id))).code).toBe(0)
    await until('nothing of it moves any more', 20, async () =>
      (await Promise.all(names.map(transfers))).every((text) => !text.includes(layer)),
    )
    for (const host of names) {
      const { pins } = JSON.parse(await cluster.node(host).get('/api/v1/pins')) as { pins: { name: string }[] }
      expect(pins.filter((pin) => pin.name.startsWith(`preheat ${id} of`))).toEqual([])
    }
    expect(await holders(layer)).toEqual([])
    expect((await shoalPreheat(head(), '--status', String(id))).stdout).toContain(`preheat ${id} cancelled`)
    await sourceRate(undefined)
  }, 60_000)

  test('goes on when the node that runs it is killed in the middle and started again', async () => {
    const { id, layer } = await underWay('8mbit')
    await head().process.kill()
    launch('head')
    await head().ready()
    expect(await stateOf(id)).toBe('running')
    await sourceRate(undefined)
    await until('it is done', 60, async () => (await stateOf(id)) === 'done')
    expect((await holders(layer)).sort()).toEqual([...names].sort())
  }, 120_000)

  test('of what there is not fails with the reason', async () => {
    const { code, stderr } = await shoalPreheat(cluster.node('near1'), 'registry.lab/lab/nothing:v1')
    expect(code).toBe(1)
    expect(stderr).toContain('registry.lab/lab/nothing')
  }, 60_000)
})
