/** A file is had by its URL from a cluster that images are pushed to: everything that goes through all names goes on. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { replicationSchema } from '../../../src/admin/replication.ts'
import { pushImage, writeImage } from '../../lab/image.ts'
import { scratchRoot } from '../../lab/lab.ts'
import { syntheticLayer } from '../../lab/layers.ts'
import { builtBinary, LabNode } from '../../lab/node.ts'
import { run } from '../../lab/run.ts'
import { until } from '../../lab/until.ts'

const program = Bun.which('skopeo')
if (program === null) console.log('skipped: a file beside images: skopeo is not installed')

const [first, second, elsewhere] = ['127.0.97.1', '127.0.97.2', '127.0.97.3'] as const

describe.skipIf(program === null)('a file that was had by its URL', () => {
  let dir = ''
  const nodes: LabNode[] = []
  const server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: () => new Response('plain\n') })

  const start = (name: string, address: string, ...more: string[]) => {
    const upstream = ['--upstream', `127.0.0.1:${server.port}=http://127.0.0.1:${server.port}`]
    const flags = ['--no-mdns', '--push', '--home', 'apps.corp/**', ...upstream, ...more]
    const node = new LabNode({ address, dir: join(dir, name), flags })
    nodes.push(node)
    return node.ready()
  }
  const shoal = (node: LabNode, ...words: string[]) =>
    run([builtBinary, ...words, '--admin-addr', node.admin.slice('http://'.length)])
  const push = async (node: LabNode, name: string, seed: number) => {
    const layers = [await syntheticLayer(join(dir, 'layers'), 20_000, seed)]
    const image = writeImage(join(dir, `image-${seed}`), 'v1', { layers })
    await pushImage(image, node.mirror.slice('http://'.length), name, 'v1')
  }
  const has = async (node: LabNode, name: string) => (await fetch(`${node.mirror}/v2/${name}/manifests/v1`)).ok
  const catalog = async (node: LabNode) => (await fetch(`${node.mirror}/v2/_catalog`)).json()
  const both = { repositories: ['apps.corp/team/app', 'apps.corp/team/tools'] }

  beforeAll(() => {
    dir = mkdtempSync(join(scratchRoot, 'shoal-file-beside-'))
  })
  afterAll(async () => {
    for (const node of nodes) await node.process.stop()
    await server.stop(true)
    rmSync(dir, { recursive: true, force: true })
  })

  test('keeps no other seed from what is pushed, and is no name of a list, a rule or another cluster', async () => {
    const target = await start('target', elsewhere)
    const rules = ['--replicate', `**=http://${elsewhere}:14880`, '--keep', '**: tags=1']
    const startFirst = () => start('first', first, '--join', `${second}:14882`, ...rules)
    let source = await startFirst()
    const copy = await start('second', second, '--join', source.p2p)
    const acquainted = () =>
      until('the seeds know each other', 40, async () => (await source.metric('shoal_members', { mode: 'seed' })) === 2)
    await acquainted()

    await push(source, 'apps.corp/team/app', 1)
    await shoal(source, 'get', `http://127.0.0.1:${server.port}/plain`, '--output', join(dir, 'plain'))
    expect(await Bun.file(join(dir, 'plain')).text()).toBe('plain\n')
    await source.process.stop()
    source = await startFirst()
    await acquainted()
    await push(source, 'apps.corp/team/tools', 2)

    for (const node of [copy, target]) {
      for (const name of both.repositories) await until(`${name} is there`, 40, () => has(node, name))
    }
    for (const node of [source, copy, target]) expect(await catalog(node)).toEqual(both)
    expect((await shoal(source, 'tags')).trim().split('\n')).toEqual(both.repositories)
    await shoal(source, 'gc', '--dry-run')
    const { rules: streams } = replicationSchema.parse(JSON.parse(await source.get('/api/v1/replication')))
    expect(streams).toMatchObject([{ waiting: 0, oldest: [] }])
  }, 120_000)
})
