import { describe, expect, test } from 'bun:test'
import { most, mostToldBytes, toldSchema } from '../../lazy/mounted.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import type { LayerFacts, MountFacts } from './api.ts'
import { nothingLeft, type Origin, type Present, reportsOf } from './report.ts'

const node = 'http://127.0.0.1:4880'
const digest = (text: string): Digest => digestOf(new TextEncoder().encode(text))
const layer = (id: string, change: Partial<LayerFacts> = {}): LayerFacts => ({
  ...{ id, digest: digest(id), path: `/run/m/${id}`, holders: ['mount:/srv'], indexed: true, errors: [] },
  ...{ size: 100, here: 40, fetched: 10, deduped: 5, disk: 45, complete: false },
  ...change,
})
const mount = (dir: string, ...layers: LayerFacts[]): MountFacts => ({
  ...{ dir, image: 'docker.io/library/debian:13', manifest: digest('manifest'), platform: 'linux/amd64' },
  ...{ rw: false, suid: false, dev: false, prefetch: true, since: '2026-01-01T12:00:00.000Z', layers },
  process: { env: ['SECRET=1'], entrypoint: [], cmd: [], workingDir: '/', user: '' },
})
const from = (facts: LayerFacts, registry = node): Origin => ({
  facts,
  registry,
  repository: { registry: 'docker.io', name: 'library/debian' },
})
const present = (mounts: MountFacts[], layers: Origin[]): Present => ({
  socket: '/run/m.sock',
  mounter: { version: '1.2.3', reads: { slow: 3, failed: 1, waiting: 0 } },
  mounts,
  layers,
})

describe('the node on this host is told', () => {
  test('of each image what its layers have together, and of a layer that it lists twice once', () => {
    const [a, b] = [layer('a'), layer('b', { complete: true, here: 100 })]
    const told = reportsOf(present([mount('/srv', a, b, a)], [from(a), from(b)])).get(node)!
    expect(toldSchema.parse(told)).toEqual(told)
    expect(told.mounts[0]).toMatchObject({ size: 200, here: 140, fetched: 20, deduped: 10, complete: false })
    expect(told.totals).toEqual({ mounts: 1, layers: 2, size: 200, here: 140, fetched: 20, deduped: 10 })
    expect(told.layers).toEqual([])
    // What the image is to run may hold secrets, and is nothing that an operator of the node asked for.
    expect(JSON.stringify(told)).not.toContain('SECRET')
  })

  test('of a layer that two images have once in all, though in both of them', () => {
    const shared = layer('a', { holders: ['mount:/one', 'mount:/two'] })
    const told = reportsOf(present([mount('/one', shared), mount('/two', shared)], [from(shared)])).get(node)!
    expect([told.totals.size, told.mounts.map(({ size }) => size)]).toEqual([100, [100, 100]])
  })

  test('what was fetched whole and why, and what went wrong last', () => {
    const whole = layer('a', { indexed: false, reason: 'one frame of zstd', errors: ['newest', 'older'] })
    const told = reportsOf(present([mount('/srv', whole)], [from(whole)])).get(node)!
    expect(told.mounts[0]).toMatchObject({
      whole: [{ digest: digest('a'), reason: 'one frame of zstd' }],
      error: 'newest',
    })
  })

  test('who holds layers beside mounts, by their first names', () => {
    const held = layer('a', { holders: ['mount:/srv', 'snapshotter/1/x', 'snapshotter/1/y', 'other'] })
    const told = reportsOf(present([mount('/srv', held)], [from(held)])).get(node)!
    expect(told.layers).toMatchObject([
      {
        repository: 'docker.io/library/debian',
        holders: [
          { who: 'snapshotter', count: 2 },
          { who: 'other', count: 1 },
        ],
      },
    ])
  })

  test('of what came through itself, and a node on another host of nothing', () => {
    const [a, b, c] = [layer('a'), layer('b'), layer('c')]
    const other = 'http://localhost:5000'
    const all = [from(a), from(b, other), from(c, 'http://10.0.0.9:4880')]
    const reports = reportsOf(present([mount('/a', a), mount('/b', b), mount('/c', c)], all))
    expect([...reports].map(([to, { mounts }]) => [to, mounts.map(({ dir }) => dir)])).toEqual([
      [node, ['/a']],
      [other, ['/b']],
    ])
  })

  test('as much as it takes, what is on its way before what is complete', () => {
    const long = 'x'.repeat(5000)
    const layers = Array.from({ length: 3000 }, (_, i) =>
      layer(`${i}`, {
        holders: Array.from({ length: 10 }, (_, j) => `${j}${long}/x`),
        ...{ errors: [long], indexed: false, reason: long, complete: i < 1000 },
      }),
    )
    const mounts = Array.from({ length: 2000 }, (_, i) => mount(`/${i}${long}`, ...layers.slice(0, 40)))
    const told = reportsOf(
      present(
        mounts,
        layers.map((each) => from(each)),
      ),
    ).get(node)!
    expect(toldSchema.safeParse(told).success).toBe(true)
    expect([told.mounts.length, told.layers.length]).toEqual([most.mounts, most.layers])
    expect(told.layers.filter(({ complete }) => !complete)).toHaveLength(2000)
    expect(told.totals).toMatchObject({ mounts: 2000, layers: 3000 })
  })

  test('that nothing is left', () => {
    const told = nothingLeft(present([], []))
    expect(toldSchema.parse(told)).toEqual(told)
    expect([told.totals.mounts, told.totals.layers]).toEqual([0, 0])
    expect(JSON.stringify(told).length).toBeLessThan(mostToldBytes)
  })
})
