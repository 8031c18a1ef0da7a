/** Bodies that break, stall, lie and never end: what a blob looks like from a bad registry. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { collect, refuses } from '../../test/conformance/source.ts'
import { FakeRegistry, type Fault, noise } from '../../test/fakes/registry.ts'
import { type SourceKit, sourceOver } from '../../test/fakes/registry-source.ts'
import { until } from '../../test/lab/until.ts'
import { digestOf } from '../oci/digest.ts'
import type { RegistrySourceOptions } from './registry-source.ts'

const layer = noise(2_500_000, 3)
const digest = digestOf(layer)

describe('a blob from a registry', () => {
  let registry: FakeRegistry
  beforeEach(async () => {
    registry = await FakeRegistry.start()
    registry.image('org/app', 'v1', [layer])
  })
  afterEach(() => registry.stop())

  const blobs = (fault: Fault) => registry.fault({ path: '/blobs/', method: 'GET', ...fault })
  const open = async (kit: SourceKit, start = 0) =>
    (await kit.source.open({ repository: kit.repository, kind: 'blob', digest }, start)).body
  const read = async (start = 0, options: Partial<RegistrySourceOptions> = {}) =>
    collect(await open(sourceOver(registry, options), start))
  const ranges = () => registry.requests.map((r) => r.headers.range)

  test('goes on where the connection broke', async () => {
    blobs({ cutAfter: 1_000_000, times: 1 })
    expect(digestOf(await read())).toBe(digest)
    expect(ranges()).toEqual([undefined, 'bytes=1000000-'])
  })

  test('goes on where the connection broke after a start in the middle', async () => {
    blobs({ cutAfter: 1_000_000, times: 1 })
    expect(digestOf(await read(500_000))).toBe(digestOf(layer.subarray(500_000)))
    expect(ranges()).toEqual(['bytes=500000-', 'bytes=1500000-'])
  })

  test('goes on where the connection fell silent', async () => {
    blobs({ stallAfter: 700_000, times: 1 })
    expect(digestOf(await read(0, { timeouts: { headersMs: 600_000, idleMs: 100_000 } }))).toBe(digest)
    expect(ranges()).toEqual([undefined, 'bytes=700000-'])
  })

  test('goes on through errors of the registry between two connections', async () => {
    blobs({ cutAfter: 1_000_000, times: 1 })
    const body = await open(sourceOver(registry))
    blobs({ status: 503, times: 2 })
    expect(digestOf(await collect(body))).toBe(digest)
    expect(registry.requests.map((r) => r.status)).toEqual([200, 503, 503, 206])
  })

  test('skips what it has when the registry ignores ranges', async () => {
    blobs({ ignoreRange: true })
    blobs({ cutAfter: 1_200_000, times: 1 })
    expect(digestOf(await read())).toBe(digest)
    expect(registry.requests.map((r) => r.status)).toEqual([200, 200])
    expect(digestOf(await read(2_000_000))).toBe(digestOf(layer.subarray(2_000_000)))
  })

  test('says while it skips that something comes, and that the registry ignores ranges', async () => {
    const { source, repository } = sourceOver(registry)
    const location = { repository, kind: 'blob' as const, digest }
    expect((await source.open(location, 2_000_000)).ranged).toBeUndefined()
    blobs({ ignoreRange: true })
    expect((await source.open(location, 0)).ranged).toBeUndefined()
    const opened = await source.open(location, 2_000_000, undefined, 2_100_000)
    expect(opened.ranged).toBe(false)
    const lengths: number[] = []
    let length = 0
    for await (const chunk of opened.body) {
      lengths.push(chunk.length)
      length += chunk.length
    }
    expect(lengths[0]).toBe(0)
    // It is on its way in any case.
    expect(length).toBe(500_000)
  })

  test('fails in the end when every connection breaks early', async () => {
    blobs({ cutAfter: 1000 })
    const failure = await refuses(read(), 'unavailable')
    expect(failure.message).toContain('the connection broke')
    expect(registry.requests).toHaveLength(4)
  })

  test('has patience with a registry that breaks often but brings much each time', async () => {
    const large = noise(8 * 1_100_000, 4)
    const { source, repository } = sourceOver(registry)
    const location = { repository, kind: 'blob' as const, digest: registry.blob('org/app', large) }
    blobs({ cutAfter: 1_100_000 })
    expect(digestOf(await collect((await source.open(location, 0)).body))).toBe(location.digest)
    expect(registry.requests).toHaveLength(8)
  })

  test.each([
    ['begins elsewhere', 'bytes 999999-2499999/2500000'],
    ['is of another size', 'bytes 1000000-2499999/2500001'],
    ['is malformed', 'all of it'],
  ])('is corrupt when the range it goes on with %s', async (_, contentRange) => {
    blobs({ cutAfter: 1_000_000, times: 1 })
    const body = await open(sourceOver(registry))
    blobs({ contentRange })
    const failure = await refuses(collect(body), 'corrupt')
    expect(failure.message).toContain(`asked for bytes 1000000- of 2500000, got "${contentRange}"`)
  })

  test('is corrupt when its size changes between two connections', async () => {
    blobs({ cutAfter: 1_000_000, times: 1 })
    const body = await open(sourceOver(registry))
    blobs({ ignoreRange: true, length: 2_600_000, bytes: 2_600_000 })
    const failure = await refuses(collect(body), 'corrupt')
    expect(failure.message).toContain('its size changed from 2500000 to 2600000 bytes')
  })

  test('is asked for one byte to learn its size when HEAD does not tell', async () => {
    registry.fault({ path: '/blobs/', length: 'none' })
    expect(digestOf(await read())).toBe(digest)
    expect(ranges()).toEqual([undefined, undefined, 'bytes=0-0'])
  })

  test('is asked for its size by HEAD when it comes in chunks', async () => {
    blobs({ length: 'none' })
    expect(digestOf(await read())).toBe(digest)
    expect(registry.requests.map((r) => r.method)).toEqual(['GET', 'HEAD'])
  })

  test('is corrupt when it is endless, and never more than its size is given out', async () => {
    blobs({ length: 'none', bytes: Number.POSITIVE_INFINITY })
    let given = 0
    const reading = open(sourceOver(registry)).then(async (body) => {
      for await (const chunk of body) given += chunk.length
    })
    const failure = await refuses(reading, 'corrupt')
    expect(failure.message).toContain('longer than the 2500000 bytes it was said to have')
    expect(given).toBeLessThanOrEqual(layer.length)
  })

  test.each([
    ['at once, for as long as it brings much each time', 1_050_000, 3],
    ['as after a break where that is little', 700_000, 4],
  ])('is asked on where it sends less of a range than it was asked for: %s', async (_, mostOfRange, requests) => {
    blobs({ mostOfRange })
    expect(digestOf(await read(1))).toBe(digestOf(layer.subarray(1)))
    expect(ranges()).toEqual(Array.from({ length: requests }, (_, i) => `bytes=${1 + i * mostOfRange}-`))
  })

  test('is not asked for ever where it sends a few bytes of each range', async () => {
    blobs({ mostOfRange: 1000 })
    const failure = await refuses(read(1), 'unavailable')
    expect(failure.message).toContain('ended after 4001 of 2500000 bytes: it comes in small parts')
    expect(registry.requests).toHaveLength(4)
  })

  test('is corrupt when a range ends before the end that it states', async () => {
    blobs({ mostOfRange: 2_000_000, length: 'none', bytes: 1_900_000 })
    const failure = await refuses(read(1), 'corrupt')
    expect(failure.message).toContain('ended after 1900001 of 2500000 bytes')
  })

  test('is corrupt when it ends early without breaking', async () => {
    blobs({ length: 'none', bytes: 2_000_000 })
    const failure = await refuses(read(), 'corrupt')
    expect(failure.message).toContain('ended after 2000000 of 2500000 bytes')
  })

  test('is corrupt when nobody tells its size', async () => {
    registry.fault({ path: '/blobs/', length: 'none', ignoreRange: true })
    const failure = await refuses(read(), 'corrupt')
    expect(failure.message).toContain('does not tell its size')
  })

  test('is not decoded, whatever encoding the registry claims for it', async () => {
    const zipped = Bun.gzipSync(new Uint8Array(50_000))
    const digest = registry.blob('org/app', zipped)
    blobs({ encoding: 'gzip' })
    const { source, repository } = sourceOver(registry)
    const { body, size } = await source.open({ repository, kind: 'blob', digest }, 0)
    expect(size).toBe(zipped.length)
    expect(digestOf(await collect(body))).toBe(digest)
    expect(registry.requests[0]!.headers['accept-encoding']).toBe('identity')
  })

  test('is taken no faster than the limit allows, and counted', async () => {
    const asked: number[] = []
    let release = () => {}
    const limit = (bytes: number) => {
      asked.push(bytes)
      return new Promise<void>((resolve) => {
        release = resolve
      })
    }
    const kit = sourceOver(registry, { limit })
    const reading = collect(await open(kit))
    while (asked.length === 0) await Bun.sleep(1)
    await Bun.sleep(20)
    expect(asked).toHaveLength(1)
    let over = false
    const done = reading.finally(() => {
      over = true
    })
    while (!over) {
      release()
      await Bun.sleep(0)
    }
    expect(digestOf(await done)).toBe(digest)
    expect(asked.reduce((a, b) => a + b)).toBe(layer.length)
    const { values } = await kit.metrics.sourceBytes.get()
    expect(values).toEqual([{ value: layer.length, labels: { source: registry.host } }])
  })

  test('does not keep a caller waiting for the limit when it gives up', async () => {
    const controller = new AbortController()
    const { source, repository } = sourceOver(registry, { limit: () => new Promise(() => {}) })
    const { body } = await source.open({ repository, kind: 'blob', digest }, 0, controller.signal)
    const reading = collect(body)
    await Bun.sleep(20)
    controller.abort()
    await refuses(reading, 'cancelled')
  })

  test('has nothing beyond its end, even where the registry ignores ranges', async () => {
    blobs({ ignoreRange: true })
    await refuses(read(layer.length + 1), 'bad-range')
    expect(await read(layer.length)).toHaveLength(0)
  })

  test('is let go at once when its reader stops', async () => {
    blobs({ rate: 1_000_000 })
    for await (const _ of await open(sourceOver(registry))) break
    await until('the connection is closed, in the middle', 10, () => registry.requests[0]!.brokenOff === true)
    expect(registry.requests[0]!.sent).toBeLessThan(layer.length)
    expect(registry.requests).toHaveLength(1)
  })
})
