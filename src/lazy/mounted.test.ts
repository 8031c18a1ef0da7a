import { beforeEach, describe, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { told } from '../../test/fakes/told.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { Mounted, most, mountedSchema, nothingMounted, toldSchema } from './mounted.ts'
import { rowsOf } from './mounted-rows.ts'

let clock: FakeClock
let metrics: ReturnType<typeof createMetrics>
let mounted: Mounted
beforeEach(() => {
  clock = new FakeClock()
  metrics = createMetrics()
  mounted = new Mounted(clock, metrics)
})

const metric = async (name: string) => {
  mounted.measure()
  const text = await metrics.registry.metrics()
  return text.split('\n').filter((line) => line.startsWith(name))
}

describe('what is mounted', () => {
  test('is what the mounter said last, and is forgotten when it says nothing for 90 s', () => {
    expect(mounted.facts()).toEqual(nothingMounted)
    mounted.hear(told({ mounts: 2 }))
    mounted.hear(told({ mounts: 1 }))
    clock.advance(4200)
    const facts = mounted.facts()
    expect(mountedSchema.parse(facts)).toEqual(facts)
    expect([facts.mounts.length, facts.mounters[0]?.secondsSinceHeard]).toEqual([1, 4.2])
    clock.advance(85_799)
    expect(mounted.facts().mounts).toHaveLength(1)
    clock.advance(1)
    expect(mounted.facts()).toEqual(nothingMounted)
  })

  test('by a mounter that has nothing left is nothing', () => {
    mounted.hear(told({ mounts: 1 }))
    mounted.hear(told({ mounts: 0, layers: 0 }))
    expect(mounted.facts()).toEqual(nothingMounted)
  })

  test('by several mounters is told together, and of too many of them the newest count', () => {
    for (let i = 0; i < 10; i++) mounted.hear(told({ mounter: `/run/${i}.sock`, mounts: 1 }))
    const { mounters, mounts } = mounted.facts()
    expect(mounters.map(({ mounter }) => mounter)).toEqual([2, 3, 4, 5, 6, 7, 8, 9].map((i) => `/run/${i}.sock`))
    expect(mounts).toHaveLength(8)
  })

  test('is measured, with nothing of a mounter that nothing was heard of', async () => {
    expect(await metric('shoal_mount')).toEqual(['shoal_mounts 0', ...bytes(0, 0, 0, 0)])
    mounted.hear(told({ mounts: 2, failed: 3 }))
    expect(await metric('shoal_mount')).toEqual([
      'shoal_mounts 2',
      ...bytes(3000, 900, 300, 150),
      'shoal_mount_reads_failed{mounter="/run/m.sock"} 3',
    ])
    clock.advance(90_000)
    expect(await metric('shoal_mount_reads_failed{')).toEqual([])
  })

  const bytes = (size: number, here: number, fetched: number, deduped: number) =>
    Object.entries({ size, here, fetched, deduped }).map(([of, value]) => `shoal_mounted_bytes{of="${of}"} ${value}`)
})

describe('what is told', () => {
  test.each([
    ['too many mounts', told({ mounts: most.mounts + 1 })],
    ['too many layers', told({ layers: most.layers + 1 })],
    ['a name that is too long', told({ mounter: 'x'.repeat(most.path + 1) })],
    ['a number that is none', { ...told({}), totals: { ...told({}).totals, size: -1 } }],
  ])('is not taken with %s', (_, said) => {
    expect(toldSchema.safeParse(said).success).toBe(false)
  })

  test('is taken up to its caps', () => {
    expect(toldSchema.safeParse(told({ mounts: most.mounts, layers: most.layers })).success).toBe(true)
  })
})

describe('rows', () => {
  test('are mounts first, and then layers that others hold, by repository', () => {
    const said = told({ mounts: 1, layers: 3 })
    const [image, group, ...more] = rowsOf(said)
    expect(more).toEqual([])
    expect(image).toMatchObject({ where: '/srv/0', what: 'docker.io/library/debian:13', complete: false, notes: [] })
    expect(group).toMatchObject({ where: '3 layers of snapshotter', what: 'docker.io/library/nginx' })
    expect([group?.size, group?.here, group?.fetched, group?.deduped]).toEqual([3000, 900, 300, 150])
  })

  test('say what was fetched whole and why, and what goes wrong as long as it does', () => {
    const [mount] = told({ mounts: 1 }).mounts
    const trouble = {
      ...mount!,
      rw: true,
      prefetch: false,
      error: 'no node answers',
      whole: [{ digest: told({ layers: 1 }).layers[0]!.digest, reason: 'one frame of zstd' }],
    }
    const notes = (change: object) => rowsOf({ mounts: [{ ...trouble, ...change }], layers: [] })[0]?.notes
    expect(notes({})).toEqual([
      'read-write',
      'only what is read is brought',
      '1 layer was fetched whole: one frame of zstd',
      'no node answers',
    ])
    expect(notes({ complete: true })).toEqual(['read-write', '1 layer was fetched whole: one frame of zstd'])
  })
})
