/**
 * What lazy loading clients ask a mirror for, request by request as their sources have it (stargz-snapshotter's and the SOCI
 * snapshotter's `fs/remote/resolver.go`, nydus' `storage/src/backend/registry.rs`), of real nodes; and what hosts that read
 * the same parts at once cost the registry.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Digest } from '../../../src/oci/digest.ts'
import { layoutOf, pieceAt, pieceBytes } from '../../../src/piece/layout.ts'
import { FakeRegistry, noise } from '../../fakes/registry.ts'
import { Lab, scratchRoot } from '../../lab/lab.ts'
import { lazyReaders } from '../../lab/lazy-readers.ts'
import { LabNode } from '../../lab/node.ts'

const size = 20_000_000

describe('a lazy loading client of a node', () => {
  let dir: string
  let registry: FakeRegistry
  let node: LabNode
  let layer: Uint8Array
  let digest: Digest
  let url: string
  beforeAll(async () => {
    dir = mkdtempSync(join(scratchRoot, 'shoal-ranges-'))
    registry = await FakeRegistry.start()
    const flags = ['--upstream', `registry.test=${registry.url}`, '--no-mdns']
    node = await new LabNode({ address: '127.0.81.1', dir: join(dir, 'node'), flags }).ready()
  }, 60_000)
  afterAll(async () => {
    await node?.process.stop()
    await registry?.stop()
    rmSync(dir, { recursive: true, force: true })
  })

  /** A layer that the node has never heard of. */
  function fresh(seed: number): void {
    layer = noise(size, seed)
    digest = registry.blob(`lab/layer${seed}`, layer)
    url = `${node.mirror}/v2/registry.test/lab/layer${seed}/blobs/${digest}`
    registry.requests = []
  }
  const get = (range: string | undefined, more: Record<string, string> = {}) =>
    fetch(url, { headers: { ...(range === undefined ? {} : { range }), ...more } })
  const piecesOf = (...spans: [number, number][]) => {
    const layout = layoutOf(size)
    const pieces = new Set<number>()
    for (const [first, last] of spans)
      for (let i = pieceAt(layout, first); i <= pieceAt(layout, last); i++) pieces.add(i)
    return [...pieces].reduce((sum, piece) => sum + pieceBytes(layout, piece), 0)
  }
  async function expectRange(first: number, last: number, more: Record<string, string> = {}): Promise<void> {
    const response = await get(`bytes=${first}-${last}`, more)
    expect([response.status, response.headers.get('content-range')]).toEqual([206, `bytes ${first}-${last}/${size}`])
    expect(Buffer.compare(await response.bytes(), layer.subarray(first, last + 1))).toBe(0)
  }

  test('as stargz-snapshotter is gets the probe, the length, the footer, several ranges at once, and the check', async () => {
    fresh(1)
    const quiet = { 'shoal-prefetch': 'none' }
    await expectRange(0, 1, quiet)
    const head = await fetch(url, { method: 'HEAD' })
    expect([head.status, head.headers.get('content-length')]).toEqual([200, String(size)])
    await expectRange(size - 51, size - 1, quiet)
    const spans: [number, number][] = [
      [0, 49_999],
      [9_000_000, 9_049_999],
      [15_000_000, 15_099_999],
    ]
    const ranges = spans.map(([first, last]) => `${first}-${last}`).join()
    const response = await get(`bytes=${ranges}`, { 'accept-encoding': 'identity', ...quiet })
    expect(response.status).toBe(206)
    const boundary = /^multipart\/byteranges; boundary=(\S+)$/.exec(response.headers.get('content-type') ?? '')?.[1]
    const body = Buffer.from(await response.bytes())
    expect(body.length).toBe(Number(response.headers.get('content-length')))
    let at = 0
    for (const [first, last] of spans) {
      const mark = body.indexOf(`--${boundary}\r\n`, at)
      const begins = body.indexOf('\r\n\r\n', mark) + 4
      expect(body.subarray(mark, begins).toString()).toContain(`Content-Range: bytes ${first}-${last}/${size}\r\n`)
      at = begins + last - first + 1
      expect(Buffer.compare(body.subarray(begins, at), layer.subarray(first, last + 1))).toBe(0)
    }
    expect(body.subarray(at).toString()).toBe(`\r\n--${boundary}--\r\n`)
    await expectRange(0, 1, quiet)
    expect(registry.sentBytes()).toBe(piecesOf([0, 1], [size - 51, size - 1], ...spans))
  }, 30_000)

  test('as the SOCI snapshotter is gets spans of 4 MiB, many at a time, and all of the rest comes behind them', async () => {
    fresh(2)
    const before = await node.metric('shoal_source_bytes_total')
    await expectRange(0, 1)
    const span = 4 * 1024 * 1024
    const starts = [2, 0, 3, 1, 2, 0].map((i) => i * span)
    await Promise.all(starts.map((start) => expectRange(start, start + span - 1)))
    // It said nothing of what else to fetch: all of it comes.
    for (let i = 0; i < 100 && (await node.metric('shoal_blobs', { state: 'complete' })) < 1; i++) await Bun.sleep(100)
    expect(await node.metric('shoal_blobs', { state: 'complete' })).toBeGreaterThanOrEqual(1)
    await expectRange(size - 10, size - 1)
    // What was on its way in order when a part was asked for may have come twice.
    expect((await node.metric('shoal_source_bytes_total')) - before).toBeLessThan(1.25 * size)
  }, 30_000)

  test('as nydusd is gets the size, single ranges, what follows them where it says so, and all of it', async () => {
    fresh(3)
    const before = await node.metric('shoal_source_bytes_total')
    const head = await fetch(url, { method: 'HEAD' })
    expect(head.headers.get('content-length')).toBe(String(size))
    await expectRange(7_000_001, 7_131_072, { 'shoal-prefetch': 'following' })
    for (let i = 0; i < 100 && registry.sentBytes() < 8_000_000; i++) await Bun.sleep(50)
    expect(registry.sentBytes()).toBeWithin(8_000_000, 10_000_000)
    const whole = await get(undefined)
    expect([whole.status, Buffer.compare(await whole.bytes(), layer)]).toEqual([200, 0])
    expect((await node.metric('shoal_source_bytes_total')) - before).toBeLessThan(1.25 * size)
  }, 30_000)

  test('reads what is here while the registry is gone, and hears soon of what is not', async () => {
    fresh(4)
    const quiet = { 'shoal-prefetch': 'none' }
    await expectRange(5_000_000, 5_000_099, quiet)
    registry.fault({ path: '/blobs/', status: 503 })
    try {
      await expectRange(5_000_050, 5_000_149, quiet)
      const refused = await get('bytes=100-199', quiet)
      expect(refused.status).toBe(404)
    } finally {
      registry.mend()
    }
    await expectRange(100, 199, quiet)
  }, 60_000)
})

const obstacle = await Lab.obstacle()
if (obstacle) console.log(`skipped: hosts that read parts of a layer: ${obstacle}`)

test.skipIf(obstacle !== undefined)(
  'three hosts that read the same scattered parts fetch what those touch, and the registry sends it once',
  async () => {
    const { hosts, touched, sourceBytes } = await lazyReaders({
      ...{ hosts: 3, size: 20e6, share: 0.05, rangeBytes: 100_000, atOnce: 16, prefetch: 'none', rate: '100mbit' },
    })
    expect(hosts.map(({ held }) => held)).toEqual([touched, touched, touched])
    expect(sourceBytes).toBe(touched)
  },
  60_000,
)
