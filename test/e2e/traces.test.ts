/** A pull of three nodes, each with a part of the work, is one trace at a collector. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { nodeSchema } from '../../src/admin/view.ts'
import { Cluster, splitModes } from '../lab/cluster.ts'
import { type CollectedSpan, collectorPort, collectorProgram, spansIn } from '../lab/collector.ts'
import { Lab } from '../lab/lab.ts'
import { until } from '../lab/until.ts'

const obstacle = await Lab.obstacle()
if (obstacle) console.log(`skipped: traces of a pull: ${obstacle}`)

/** Of the layer, on its way to two nodes: so many spans of each name at least. */
const parts = {
  ...{ 'choose parents': 1, 'order a seed': 1, 'take an order': 1, 'bring a blob': 2 },
  ...{ 'read from the source': 1, 'pieces from a node': 1, 'pieces to a node': 1 },
}

describe.skipIf(obstacle !== undefined)('a traced pull', () => {
  let swarm: Cluster
  /** Where each node runs, by its id. */
  const names = new Map<string, string>()
  let spans: CollectedSpan[] = []
  beforeAll(async () => {
    swarm = await Cluster.create({ members: splitModes(1, 1, 1), discovery: 'join', size: 8e6 })
    const registry = swarm.lab.host('registry')
    const collector = registry.spawn(collectorProgram, { log: 'collector.log' })
    const hosts = ['sched1', 'seed1', 'peer1']
    for (const name of hosts) swarm.launch(name, ['--trace-endpoint', `http://${registry.address}:${collectorPort}`])
    await Promise.all(hosts.map((name) => swarm.node(name).ready()))
    await swarm.acquainted()
    for (const name of hosts) {
      names.set(nodeSchema.parse(JSON.parse(await swarm.node(name).get('/api/v1/node'))).id, name)
    }
    await swarm.pull('peer1')
    // Each node sends its own when it likes.
    await until('the collector has the end of all that the pull is made of', 20, () => {
      spans = spansIn(collector.logged())
      const ofLayer = spans.filter(({ facts }) => facts['shoal.digest'] === swarm.layer.digest).map(({ name }) => name)
      const there = ([name, count]: [string, number]) => ofLayer.filter((each) => each === name).length >= count
      return Object.entries(parts).every(there) && spans.some(({ name }) => name === 'pull')
    })
  }, 120_000)
  afterAll(() => swarm?.close())

  /** `pull@peer1 > GET blob@peer1 > ...` */
  function pathOf(span: CollectedSpan): string {
    const own = `${span.name}@${names.get(String(span.resource['service.instance.id']))}`
    const parent = spans.find(({ id }) => id === span.parent)
    return parent ? `${pathOf(parent)} > ${own}` : own
  }

  test('leads from the engine to whom its node asked, to the seed, and to the registry', () => {
    const ofLayer = spans.filter(({ facts }) => facts['shoal.digest'] === swarm.layer.digest)
    const paths = ofLayer.map(pathOf)
    const bring = 'pull@peer1 > GET blob@peer1 > bring a blob@peer1'
    const chosen = `${bring} > ask for parents@peer1 > choose parents@sched1`
    const seed = `${chosen} > order a seed@sched1 > take an order@seed1 > bring a blob@seed1`
    for (const path of [bring, chosen, seed, `${seed} > read from the source@seed1`]) expect(paths).toContain(path)
    expect(paths).toContain(`${bring} > pieces from a node@peer1`)
    expect(paths).toContain(`${bring} > pieces from a node@peer1 > pieces to a node@seed1`)
    expect(new Set(ofLayer.map(({ trace }) => trace)).size).toBe(1)
  })

  test('says how much came from where', () => {
    const pull = spans.find(({ name }) => name === 'pull')
    const { size } = swarm.layer
    expect(pull?.facts['shoal.swarm']).toBeGreaterThanOrEqual(size)
    expect(pull?.facts['shoal.source']).toBe(0)
    const given = spans.find((span) => span.name === 'pieces to a node' && Number(span.facts['shoal.bytes']) > 1e6)
    expect(given?.facts['shoal.bytes']).toBe(size)
  })

  test('has nothing in it that failed', () => {
    expect(spans.filter(({ status }) => status === 2).map(pathOf)).toEqual([])
  })
})
