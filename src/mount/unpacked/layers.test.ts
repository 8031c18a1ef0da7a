import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { closeSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import { FakeClock } from '../../../test/fakes/clock.ts'
import {
  type Bend,
  type LazyNode,
  refusal,
  type SampleLayer,
  sampleLayer,
  sampleTar,
  text,
} from '../../../test/fakes/lazy-node.ts'
import { specOf, unpackedHosts } from '../../../test/fakes/unpacked.ts'
import { seededRandom } from '../../clock.ts'
import { Failure } from '../../failure.ts'
import { encodeIndex } from '../../layer-index/encode.ts'
import { digestOf } from '../../oci/digest.ts'
import { repositoryOf } from '../../oci/reference.ts'
import type { LayerSpec, UnpackedLayer } from '../unpacked-layer.ts'
import { layerFolder } from './layer-folder.ts'
import { readState, writeState } from './state-file.ts'
import { type UnpackWhole, unpackInChild } from './whole.ts'

// Each takes its time on a busy machine.
setDefaultTimeout(60_000)

const { newNode, newLayers, newDir } = unpackedHosts()

const files = [text(1, 700_000), text(2, 10), text(3, 4096), new Uint8Array(0), text(4, 1_500_000), text(5, 100_000)]
const sample = sampleLayer(files)

function within(ms: number): AbortSignal {
  return AbortSignal.timeout(ms)
}

async function all(layer: UnpackedLayer): Promise<Uint8Array> {
  return await layer.read(0, layer.size, within(20_000))
}

/** Reads all of it, and waits until that is written: what is only on its way into its file others do not have from it. */
async function store(layer: UnpackedLayer): Promise<void> {
  await all(layer)
  await until(() => layer.ready(0, layer.size))
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

/** Somebody writes to the file without telling. */
async function flip(path: string, at: number): Promise<void> {
  // The kernel's clock for files has ticks of some milliseconds: in that of a write of the layer's own it would be one.
  await Bun.sleep(20)
  const fd = openSync(path, 'r+')
  writeSync(fd, Buffer.from([0xff]), 0, 1, at)
  closeSync(fd)
}

async function until(holds: () => boolean): Promise<void> {
  const end = performance.now() + 20_000
  while (!holds()) {
    if (performance.now() > end) throw new Error('it did not come to be')
    await Bun.sleep(10)
  }
}

describe('read', () => {
  test('answers any range with the bytes of files, and zeros between them', async () => {
    const layer = await newLayers().open(specOf(newNode(sample), sample))
    const random = seededRandom(7)
    for (let i = 0; i < 60; i++) {
      const start = Math.floor(random() * layer.size)
      const length = Math.min(layer.size - start, Math.floor(random() * 300_000))
      const bytes = await layer.read(start, length, within(20_000))
      expect(same(bytes, sample.shown.subarray(start, start + length))).toBe(true)
    }
  })

  test('fetches a part of the layer for a part of a file', async () => {
    const node = newNode(sample)
    const layer = await newLayers().open(specOf(node, sample))
    const start = 700_000 + 512 * 8 + 600_000
    expect(same(await layer.read(start, 1000, within(20_000)), sample.shown.subarray(start, start + 1000))).toBe(true)
    expect(node.asked.length).toBe(1)
    expect(node.bytes).toBeLessThan(sample.bytes.length / 2)
  })

  test('of the same chunk by many at once is one request', async () => {
    const node = newNode(sample)
    const layer = await newLayers().open(specOf(node, sample))
    const reads = Array.from({ length: 20 }, (_, i) => layer.read(1000 + i, 5000, within(20_000)))
    const answers = await Promise.all(reads)
    expect(answers.every((bytes, i) => same(bytes, sample.shown.subarray(1000 + i, 6000 + i)))).toBe(true)
    expect(node.asked.length).toBe(1)
  })

  test('from beginning to end fetches no byte much more than once', async () => {
    const node = newNode(sample)
    const layer = await newLayers().open(specOf(node, sample))
    for (let at = 0; at < layer.size; at += 128 * 1024) {
      const length = Math.min(128 * 1024, layer.size - at)
      expect(same(await layer.read(at, length, within(20_000)), sample.shown.subarray(at, at + length))).toBe(true)
    }
    expect(node.bytes).toBeLessThan(sample.bytes.length * 1.1)
  })
})

describe('wrong bytes', () => {
  const damaged: Bend = (asked, right) => {
    const bytes = right.slice()
    // Stored rather than compressed, so that only digests can tell.
    bytes[bytes.length - 700]! ^= 1
    const headers = { 'content-range': `bytes ${asked.from}-${asked.to - 1}/${plain.bytes.length}` }
    return new Response(bytes, { status: 206, headers })
  }
  const plain = sampleLayer(files, 'none')

  test('are fetched again, from elsewhere', async () => {
    const node = newNode(plain)
    node.bend = (asked, right) => (asked.fresh ? undefined : damaged(asked, right))
    const layer = await newLayers().open(specOf(node, plain))
    expect(same(await layer.read(600, 5000, within(20_000)), plain.shown.subarray(600, 5600))).toBe(true)
    expect(node.asked.map(({ fresh }) => fresh)).toEqual([false, true])
  })

  test('end the read when there are no others, and the next one asks again', async () => {
    const node = newNode(plain)
    node.bend = damaged
    const layer = await newLayers().open(specOf(node, plain))
    const read = () => layer.read(600, 5000, within(20_000))
    expect(read()).rejects.toThrow('are not what its index says')
    await read().catch(() => {})
    expect(layer.progress().errors[0]).toContain('are not what its index says')
    node.bend = () => undefined
    expect(same(await read(), plain.shown.subarray(600, 5600))).toBe(true)
  })

  test('of what starts are known to read are asked for again, and the rest comes after them', async () => {
    const node = newNode(plain)
    node.reads = [0]
    let spoiled = 0
    node.bend = (asked, right) => (spoiled++ > 0 ? undefined : damaged(asked, right))
    const layer = await newLayers().open(specOf(node, plain, true))
    await until(() => layer.progress().complete)
    expect(node.asked.slice(0, 2).map(({ fresh }) => fresh)).toEqual([false, true])
    expect(same(await all(layer), plain.shown)).toBe(true)
  })

  test('in a compressed layer are found, be it that they cannot be unpacked', async () => {
    const random = seededRandom(11)
    for (let i = 0; i < 20; i++) {
      const node = newNode(sample)
      node.bend = ({ from, to, fresh }, right) => {
        if (fresh) return undefined
        const bytes = right.slice()
        bytes[Math.floor(random() * bytes.length)]! ^= 1 << Math.floor(random() * 8)
        const headers = { 'content-range': `bytes ${from}-${to - 1}/${sample.bytes.length}` }
        return new Response(bytes, { status: 206, headers })
      }
      const layer = await newLayers().open(specOf(node, sample))
      expect(same(await all(layer), sample.shown)).toBe(true)
    }
  })
})

describe('a node', () => {
  const refusals: [string, Bend, string][] = [
    ['does not know who asks', () => refusal(401, 'no rights'), 'no rights'],
    ['cannot get it now', () => refusal(404, 'the registry is away'), 'the registry is away'],
    ['breaks off', ({ from, to }, right) => short(from, to, right), 'broke off'],
  ]
  function short(from: number, to: number, right: Uint8Array): Response {
    const headers = { 'content-range': `bytes ${from}-${to - 1}/${sample.bytes.length}` }
    return new Response(right.subarray(0, 100), { status: 206, headers })
  }

  for (const [what, bend, said] of refusals) {
    test(`that ${what} is asked again until the deadline of the read`, async () => {
      const node = newNode(sample)
      node.bend = bend
      const layer = await newLayers().open(specOf(node, sample))
      const read = layer.read(600, 100, within(20_000))
      await until(() => node.asked.length > 1)
      expect(layer.progress().errors.join()).toContain(said)
      await expect(layer.read(600, 100, within(300))).rejects.toThrow()
      node.bend = () => undefined
      expect(same(await read, sample.shown.subarray(600, 700))).toBe(true)
    })
  }

  test('that is away is asked again when it is back', async () => {
    const layers = newLayers()
    const layer = await layers.open(specOf(newNode(sample), sample))
    const first = newNode(sample)
    const port = Number(new URL(first.registry).port)
    await first.stop()
    const moved = await layers.open({ ...specOf(first, sample), node: { registry: `http://127.0.0.1:${port}` } })
    const read = layer.read(600, 100, within(20_000))
    await until(() => moved.progress().errors.some((error) => error.includes('no node answers')))
    await layers.open(specOf(newNode(sample), sample))
    expect(same(await read, sample.shown.subarray(600, 700))).toBe(true)
  })

  test('that has no such range, or answers with the whole, ends the read at once', async () => {
    for (const [answer, said] of [
      [() => refusal(416, 'there is no such range'), 'there is no such range'],
      [() => new Response(sample.bytes), 'answers requests for a range with the whole'],
    ] as const) {
      const node = newNode(sample)
      node.bend = answer
      const layer = await newLayers().open(specOf(node, sample))
      expect(layer.read(600, 100, within(20_000))).rejects.toThrow(said)
      await layer.read(600, 100, within(20_000)).catch(() => {})
      expect(node.asked.length).toBe(2)
    }
  })

  test('that is making an index is asked for it again', async () => {
    const node = newNode(sample)
    const making = { state: 'making', done: 1, total: 2 }
    node.indexAnswers.push(Response.json(making, { status: 202, headers: { 'retry-after': '0' } }))
    const layer = await newLayers().open(specOf(node, sample))
    expect(layer.size).toBe(sample.index.size)
  })

  const other = sampleLayer([text(9, 1000)])
  const indexAnswer = (bytes: Uint8Array, digest = digestOf(bytes)) =>
    new Response(bytes, { headers: { 'shoal-index-digest': digest } })

  test('with an index that is wrong is asked to look at it', async () => {
    for (const wrong of [
      () => indexAnswer(other.indexBytes),
      () => indexAnswer(other.indexBytes, digestOf(sample.indexBytes)),
      () => indexAnswer(sample.indexBytes.subarray(0, 500)),
      () => indexAnswer(encodeIndex({ ...sample.index, diffId: other.index.diffId })),
    ]) {
      const node = newNode(sample)
      node.indexAnswers.push(wrong())
      const layer = await newLayers().open(specOf(node, sample))
      expect(layer.progress().indexed).toBe(true)
      expect(node.indexAsked).toEqual([null, 'no-cache'])
    }
  })

  test('that has only a wrong one is not believed: the layer is fetched whole', async () => {
    const node = newNode(sample)
    node.indexAnswers.push(indexAnswer(other.indexBytes), indexAnswer(other.indexBytes))
    const dir = newDir()
    const asked: unknown[] = []
    const unpack = async (layer: unknown) => {
      asked.push(layer)
      throw new Failure('unavailable', 'not in this test')
    }
    const opened = newLayers({ dir, unpack }).open(specOf(node, sample))
    expect(opened).rejects.toThrow('not in this test')
    await opened.catch(() => {})
    expect(asked).toMatchObject([{ blob: { digest: sample.index.layer } }])
    expect(readdirSync(dir)).toEqual([])
  })
})

describe('bytes on the disk', () => {
  test('are found to be damaged before they are answered, and fetched again', async () => {
    const node = newNode(sample)
    const layer = await newLayers().open(specOf(node, sample))
    await all(layer)
    await until(() => layer.ready(0, layer.size))
    const before = node.asked.length
    await flip(layer.path, 700)
    expect(layer.ready(600, 1000)).toBe(false)
    expect(same(await all(layer), sample.shown)).toBe(true)
    expect(node.asked.length).toBe(before + 1)
    expect(layer.progress().errors[0]).toContain('were damaged on the disk')
    await until(() => layer.ready(0, layer.size))
  })

  test('are served again after a restart, and not hashed again while nobody has touched them', async () => {
    const [dir, node] = [newDir(), newNode(sample)]
    const first = newLayers({ dir })
    const layer = await first.open(specOf(node, sample))
    const whole = await all(layer)
    await layer.close()
    await first.close()
    const again = await newLayers({ dir }).open(specOf(node, sample))
    const asked = node.asked.length
    expect(again.ready(0, again.size)).toBe(true)
    expect(same(await all(again), whole)).toBe(true)
    expect(node.asked.length).toBe(asked)
  })

  test('are known and counted after a restart whatever kind of digest their layer has', async () => {
    const index = { ...sample.index, layer: digestOf(sample.bytes, 'sha512') }
    const long = { ...sample, index, indexBytes: encodeIndex(index) }
    const [dir, node] = [newDir(), newNode(long)]
    const first = newLayers({ dir })
    await store(await first.open(specOf(node, long)))
    await first.close()
    const before = node.bytes
    const layers = newLayers({ dir })
    await layers.tidy()
    expect(layers.usage()).toMatchObject({ layers: 1, mounted: 0 })
    expect(layers.usage().disk).toBeGreaterThan(sample.index.size / 2)
    expect(same(await all(await layers.open(specOf(node, long))), sample.shown)).toBe(true)
    expect(node.bytes).toBe(before)
  })

  test('are served without a node when all that is asked of it is here, and nothing else is', async () => {
    const [dir, node] = [newDir(), newNode(sample)]
    const first = newLayers({ dir })
    const layer = await first.open(specOf(node, sample))
    await layer.read(600, 1000, within(20_000))
    await until(() => layer.ready(600, 1000))
    await first.close()
    await node.stop()
    const again = await newLayers({ dir }).open(specOf(node, sample))
    expect(same(await again.read(600, 1000, within(20_000)), sample.shown.subarray(600, 1600))).toBe(true)
    const far = again.read(again.size - 90_000, 100, within(300))
    expect(far).rejects.toThrow()
    await far.catch(() => {})
    await until(() => again.progress().errors.length > 0)
    expect(again.progress().errors[0]).toContain('no node answers')
  })

  test('are served to who cannot wait, from other layers too, and nobody is asked for what is missing', async () => {
    const shared = text(20, 900_000)
    const [a, b] = [sampleLayer([shared]), sampleLayer([shared, text(22, 900_000)])]
    const node = newNode(a, b)
    const layers = newLayers()
    await store(await layers.open(specOf(node, a)))
    const layer = await layers.open(specOf(node, b))
    const asked = node.asked.length
    const late = AbortSignal.abort(new Error('too late'))
    expect(same(await layer.read(0, 800_000, late), b.shown.subarray(0, 800_000))).toBe(true)
    expect(layer.ready(0, 800_000)).toBe(false)
    expect(layer.read(800_000, 500_000, late)).rejects.toThrow('too late')
    await Bun.sleep(100)
    expect(node.asked).toHaveLength(asked)
  })

  test('that were damaged while nobody looked are fetched again', async () => {
    const [dir, node] = [newDir(), newNode(sample)]
    const first = newLayers({ dir })
    const { path } = await first.open(specOf(node, sample)).then(async (layer) => {
      await all(layer)
      return layer
    })
    await first.close()
    await flip(path, 700)
    const again = await newLayers({ dir }).open(specOf(node, sample))
    expect(again.ready(600, 1000)).toBe(false)
    expect(same(await all(again), sample.shown)).toBe(true)
  })

  test('of its tree that were damaged while it was not mounted are put right before it is mounted again', async () => {
    const [dir, node] = [newDir(), newNode(sample)]
    const first = newLayers({ dir })
    const layer = await first.open(specOf(node, sample))
    const { metadataPath } = layer
    const hasTree = () => same(readFileSync(metadataPath), sample.index.metadata)
    expect(hasTree()).toBe(true)
    await layer.close()
    await flip(metadataPath, 1300)
    expect(hasTree()).toBe(false)
    await (await first.open(specOf(node, sample))).close()
    expect(hasTree()).toBe(true)
    await first.close()
    rmSync(metadataPath)
    const again = await newLayers({ dir }).open(specOf(node, sample))
    expect(hasTree()).toBe(true)
    expect(same(await all(again), sample.shown)).toBe(true)
  })

  test('of its index that were damaged while it was not mounted have all of it brought anew', async () => {
    const [dir, node] = [newDir(), newNode(sample)]
    const layers = newLayers({ dir })
    const layer = await layers.open(specOf(node, sample))
    await all(layer)
    await layer.close()
    await flip(join(dirname(layer.metadataPath), 'index'), 100)
    const again = await layers.open(specOf(node, sample))
    expect(again.ready(0, again.size)).toBe(false)
    expect(same(await all(again), sample.shown)).toBe(true)
    expect(same(readFileSync(again.metadataPath), sample.index.metadata)).toBe(true)
  })

  test('that were not written when it was killed are fetched', async () => {
    const [dir, node] = [newDir(), newNode(sample)]
    const killed = newLayers({ dir })
    const layer = await killed.open(specOf(node, sample))
    await layer.read(600, 1000, within(20_000))
    // As after a kill: what it wrote down is older than its file.
    const again = await newLayers({ dir }).open(specOf(node, sample))
    expect(same(await all(again), sample.shown)).toBe(true)
  })

  test('that a file system has lost altogether are fetched again', async () => {
    const node = newNode(sample)
    const layer = await newLayers().open(specOf(node, sample))
    await all(layer)
    await Bun.file(layer.path).delete()
    expect(same(await all(layer), sample.shown)).toBe(true)
  })
})

describe('a layer', () => {
  test('that is mounted twice is fetched once', async () => {
    const node = newNode(sample)
    const layers = newLayers()
    const both = await Promise.all([layers.open(specOf(node, sample)), layers.open(specOf(node, sample))])
    await Promise.all(both.map(all))
    expect(node.bytes).toBeLessThanOrEqual(sample.bytes.length)
    expect(layers.usage()).toMatchObject({ layers: 1, mounted: 1 })
    await both[0]!.close()
    expect(same(await all(both[1]!), sample.shown)).toBe(true)
  })

  test('is written down by one at a time', async () => {
    const node = newNode(sample)
    const layers = newLayers()
    for (let i = 0; i < 100; i++) {
      const layer = await layers.open(specOf(node, sample))
      await Promise.all([layers.tidy(), layer.close()])
    }
    const layer = await layers.open(specOf(node, sample))
    expect(layer.progress().errors).toEqual([])
    await Promise.all([layers.tidy(), layer.discard()])
    expect(layer.progress().errors).toEqual([])
  })

  test('has from others what they have, and it is stored once', async () => {
    const shared = text(20, 900_000)
    const [a, b] = [sampleLayer([shared, text(21, 5000)]), sampleLayer([text(22, 3000), shared])]
    const node = newNode(a, b)
    const layers = newLayers()
    await store(await layers.open(specOf(node, a)))
    const before = node.bytes
    const layer = await layers.open(specOf(node, b))
    expect(same(await all(layer), b.shown)).toBe(true)
    expect(node.bytes - before).toBeLessThan(b.bytes.length * 0.6)
    await until(() => layer.progress().complete)
    expect(layer.progress()).toMatchObject({ deduped: 900_000, complete: true })
    expect(layer.whole()).toBe(false)
    expect(layers.usage().saved).toBe(900_000)
    await layers.tidy()
    expect(layers.usage().disk).toBeLessThan(1_300_000)
  })

  test('keeps what it has from another when that one goes', async () => {
    const shared = text(20, 900_000)
    const [a, b] = [sampleLayer([shared, text(21, 5000)]), sampleLayer([text(22, 3000), shared])]
    const node = newNode(a, b)
    const layers = newLayers({ limitBytes: 930_000 })
    const first = await layers.open(specOf(node, a))
    await store(first)
    const layer = await layers.open(specOf(node, b))
    await all(layer)
    await until(() => layer.progress().complete)
    await first.close()
    const asked = node.asked.length
    await layers.tidy()
    expect(layers.usage()).toMatchObject({ layers: 1, saved: 0 })
    expect(same(await all(layer), b.shown)).toBe(true)
    expect(node.asked.length).toBe(asked)
  })

  test('that is discarded gives its space back with the last who uses it, and others keep what they have from it', async () => {
    const [a, b] = [sampleLayer([text(61, 900_000)]), sampleLayer([text(61, 900_000), text(62, 20_000)])]
    const node = newNode(a, b)
    const layers = newLayers()
    const [first, second] = [await layers.open(specOf(node, a)), await layers.open(specOf(node, a))]
    await store(first)
    const other = await layers.open(specOf(node, b))
    await all(other)
    await until(() => other.progress().complete)
    await first.discard()
    expect(layers.usage()).toMatchObject({ layers: 2 })
    await second.discard()
    expect(layers.usage()).toMatchObject({ layers: 1, saved: 0 })
    const asked = node.asked.length
    expect(same(await all(other), b.shown)).toBe(true)
    expect(node.asked.length).toBe(asked)
  })

  test('gets into its own file what little of it others have, so that the kernel can read that alone', async () => {
    const shared = text(20, 50_000)
    const [a, b] = [sampleLayer([shared]), sampleLayer([text(22, 900_000), shared])]
    const node = newNode(a, b)
    const layers = newLayers()
    await store(await layers.open(specOf(node, a)))
    const layer = await layers.open(specOf(node, b, true))
    await until(() => layer.whole())
    expect(same(await Bun.file(layer.path).bytes(), b.shown)).toBe(true)
    expect(layer.progress().deduped).toBe(50_000)
  })

  test('that was touched while nobody looked is verified in the background, and mended', async () => {
    const [dir, node] = [newDir(), newNode(sample)]
    const first = newLayers({ dir })
    const { path } = await first.open(specOf(node, sample)).then(async (layer) => {
      await all(layer)
      return layer
    })
    await first.close()
    await flip(path, 700)
    const layer = await newLayers({ dir }).open(specOf(node, sample, true))
    await until(() => layer.whole())
    expect(same(await Bun.file(path).bytes(), sample.shown)).toBe(true)
  })

  test('takes from another only what is right', async () => {
    const shared = text(20, 900_000)
    const [a, b] = [sampleLayer([shared]), sampleLayer([text(22, 3000), shared])]
    const node = newNode(a, b)
    const layers = newLayers()
    const first = await layers.open(specOf(node, a))
    await store(first)
    const layer = await layers.open(specOf(node, b))
    await flip(first.path, 1000)
    expect(same(await all(layer), b.shown)).toBe(true)
  })

  test('has equal chunks of its own once', async () => {
    const zeros = sampleLayer([new Uint8Array(40 * 256 * 1024), text(1, 1000)], 'none')
    const node = newNode(zeros)
    const layers = newLayers()
    const layer = await layers.open(specOf(node, zeros))
    await layer.read(600, 100, within(20_000))
    expect(same(await all(layer), zeros.shown)).toBe(true)
    expect(node.bytes).toBeLessThan(2 * 1024 * 1024)
  })

  test('that nobody mounts goes when there is more than there may be, the one unused for longest first', async () => {
    const [a, b] = [sampleLayer([text(30, 500_000)]), sampleLayer([text(31, 500_000)])]
    const node = newNode(a, b)
    const layers = newLayers({ limitBytes: 900_000 })
    for (const sample of [a, b]) {
      const layer = await layers.open(specOf(node, sample))
      await all(layer)
      await layer.close()
    }
    await layers.tidy()
    expect(layers.usage()).toMatchObject({ layers: 1 })
    expect(layers.usage().disk).toBeWithin(500_000, 900_000)
    const before = node.bytes
    await all(await layers.open(specOf(node, b)))
    expect(node.bytes).toBe(before)
  })
})

describe('what nobody asked for', () => {
  test('comes in the background until the layer is complete, then no node is needed', async () => {
    const node = newNode(sample)
    const layer = await newLayers().open(specOf(node, sample, true))
    await until(() => layer.progress().complete)
    await node.stop()
    expect(same(await all(layer), sample.shown)).toBe(true)
    expect(layer.progress()).toMatchObject({ here: layer.size, complete: true, indexed: true })
    await until(() => layer.whole())
    expect(same(new Uint8Array(await Bun.file(layer.path).arrayBuffer()), sample.shown)).toBe(true)
    expect(node.bytes).toBeLessThan(sample.bytes.length * 1.1)
    expect(node.asked.every(({ prefetch }) => prefetch === 'none')).toBe(true)
    expect(layer.progress().errors).toEqual([])
  })

  test('does not come when it is not to', async () => {
    const node = newNode(sample)
    const layer = await newLayers().open(specOf(node, sample, false))
    await layer.read(600, 10, within(20_000))
    await Bun.sleep(800)
    expect(layer.progress().complete).toBe(false)
    expect(node.asked.map(({ prefetch }) => prefetch)).toEqual(['none'])
  })

  test('comes as soon as somebody wants it who has the layer already', async () => {
    const node = newNode(sample)
    const layer = await newLayers().open(specOf(node, sample, false))
    layer.prefetch()
    layer.prefetch()
    await until(() => layer.whole())
    expect(node.bytes).toBeLessThan(sample.bytes.length * 1.1)
  })

  test('comes at once where starts are known to read it first', async () => {
    const node = newNode(sample)
    node.reads = [6, 0, 99_999]
    const layer = await newLayers().open(specOf(node, sample, true))
    await until(() => node.asked.length >= 2)
    const [last, first] = node.asked
    expect(last!.from).toBeGreaterThan(first!.from)
    expect(node.asked.slice(0, 2).map(({ prefetch }) => prefetch)).toEqual(['none', 'none'])
    await until(() => layer.ready(512, 256 * 1024))
    expect(node.asked.every(({ priority }) => priority === 'u=7')).toBe(true)
  })

  test('and is on its way is asked for by itself when somebody waits for it', async () => {
    const node = newNode(sample)
    node.reads = [0]
    const { promise: later, resolve: go } = Promise.withResolvers<undefined>()
    node.bend = ({ priority }) => (priority === null ? undefined : later)
    const layer = await newLayers().open(specOf(node, sample, true))
    await until(() => node.asked.length === 1)
    expect(same(await layer.read(600, 10, within(20_000)), sample.shown.subarray(600, 610))).toBe(true)
    expect(node.asked.map(({ priority }) => priority)).toEqual(['u=7', null])
    go(undefined)
    await until(() => layer.progress().complete)
  })

  test('stays away while anything that starts read first is on its way', async () => {
    const node = newNode(sample)
    node.reads = [0]
    const { promise: later, resolve: go } = Promise.withResolvers<undefined>()
    node.bend = () => later
    const layer = await newLayers().open(specOf(node, sample, true))
    await until(() => node.asked.length === 1)
    await Bun.sleep(800)
    expect(node.asked.length).toBe(1)
    go(undefined)
    await until(() => layer.progress().complete)
  })

  test('and what this start read first is told when it ends', async () => {
    const node = newNode(sample)
    const layer = await newLayers().open(specOf(node, sample, false))
    await layer.read(512 + 300_000, 10, within(20_000))
    await layer.read(600, 10, within(20_000))
    await layer.close()
    expect(node.told).toEqual([[1, 0]])
  })

  test('and was read by the start before is not told again by those that read nothing', async () => {
    const node = newNode(sample)
    const layers = newLayers()
    const layer = await layers.open(specOf(node, sample))
    await layer.read(512 + 300_000, 10, within(20_000))
    await layer.close()
    for (let i = 0; i < 2; i++) await (await layers.open(specOf(node, sample))).close()
    expect(node.told).toEqual([[1]])
  })

  test('and was read long after the start is none of what starts read, nor of what is read after an upgrade', async () => {
    const [clock, node] = [new FakeClock(), newNode(sample)]
    const layers = newLayers({ clock })
    const read = async (layer: UnpackedLayer, at: number) => {
      const bytes = layer.read(at, 10, within(20_000))
      const moving = setInterval(() => clock.advance(1), 1)
      await bytes.finally(() => clearInterval(moving))
    }
    const layer = await layers.open(specOf(node, sample))
    await read(layer, 600)
    await clock.run(30_000)
    await until(() => node.told.length === 1)
    await read(layer, 512 + 300_000)
    await layer.close()
    await (await layers.open(specOf(node, sample))).close()
    const served = await layers.open(specOf(node, sample), false)
    await read(served, served.size - 90_000)
    await served.close()
    expect(node.told).toEqual([[0]])
  })
})

describe('an index that lies', () => {
  const truth = sampleLayer([text(40, 300_000), text(41, 5000)])
  const fake = sampleLayer([text(40, 300_000), text(42, 5000)])
  // Chunks of other bytes, under the name of a layer that they are not: such as whoever holds a key could sign.
  const index = { ...fake.index, diffId: truth.index.diffId }
  const lie = { ...fake, index, indexBytes: encodeIndex(index) }

  test('is found out when the layer is complete, and nothing of it is served any more', async () => {
    const node = newNode(lie)
    const layers = newLayers()
    const layer = await layers.open(specOf(node, lie, true))
    await until(() => layer.progress().errors.length > 0)
    expect(layer.progress().errors[0]).toContain('its index is false')
    expect(layer.whole()).toBe(false)
    expect(all(layer)).rejects.toThrow('its index is false')
    // Nor by the threads that answer from its file by themselves.
    expect(layer.ready(0, layer.size)).toBe(false)
    expect(new Uint8Array(layer.readyMap.bits).every((bits) => bits === 0)).toBe(true)
    await layer.close()
    const again = await layers.open(specOf(node, lie))
    expect(again.progress().errors).toEqual([])
  })

  test('is known for it by the next process, which asks for another', async () => {
    const [dir, node] = [newDir(), newNode(lie)]
    const first = newLayers({ dir })
    const layer = await first.open(specOf(node, lie, true))
    await until(() => layer.progress().errors.length > 0)
    await first.close()
    const again = await newLayers({ dir }).open(specOf(node, lie))
    expect(again.progress().here).toBeLessThan(again.size / 2)
  })

  test('is none where a power cut has taken what lies between the files', async () => {
    const [dir, node] = [newDir(), newNode(truth)]
    const first = newLayers({ dir })
    await store(await first.open(specOf(node, truth)))
    await first.close()
    const { gaps, state } = layerFolder(dir, truth.index.layer)
    writeFileSync(gaps, new Uint8Array(statSync(gaps).size))
    const known = readState(state)!
    expect(known.facts).toMatchObject({ checked: false, gaps: [0, statSync(gaps).size] })
    await writeState(state, { ...known, facts: { ...known.facts, boot: 'another' } })
    const layers = newLayers({ dir })
    const layer = await layers.open(specOf(node, truth, true))
    await until(() => layer.whole())
    await Bun.sleep(200)
    expect(layer.progress().errors).toEqual([])
    expect(same(await all(layer), truth.shown)).toBe(true)
  })
})

describe('a layer that nobody can make an index of', async () => {
  const files = [text(50, 400_000), text(51, 5000)]
  const tar = await sampleTar(files)
  const bytes = new Uint8Array(zstdCompressSync(tar))
  const spec = (node: LazyNode): LayerSpec => ({
    node: { registry: node.registry },
    repository: repositoryOf('docker.io', 'library/sample'),
    digest: digestOf(bytes),
    mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd',
    compressedSize: bytes.length,
    diffId: digestOf(tar),
    prefetch: true,
  })
  const unindexed = { index: { layer: digestOf(bytes) }, bytes } as SampleLayer
  const none = () => Response.json({ errors: [{ code: 'UNSUPPORTED', message: 'it is one frame' }] }, { status: 404 })

  test('is fetched whole, and says so', async () => {
    const node = newNode(unindexed)
    node.indexAnswers.push(none())
    const said: string[] = []
    const layer = await newLayers({ log: (sentence) => said.push(sentence) }).open(spec(node))
    expect(layer.progress()).toMatchObject({ indexed: false, reason: 'it is one frame', complete: true })
    expect([said.length, said[0]]).toEqual([1, expect.stringContaining('fetched whole before it is mounted')])
    expect(layer.whole()).toBe(true)
    await node.stop()
    expect(same(await layer.read(512, 400_000, within(20_000)), files[0]!)).toBe(true)
    expect((await Bun.file(layer.metadataPath).bytes()).length).toBeGreaterThan(1024)
  }, 30_000)

  test('is fetched whole under a digest of another kind too', async () => {
    const digest = digestOf(bytes, 'sha512')
    const node = newNode({ index: { layer: digest }, bytes } as SampleLayer)
    node.indexAnswers.push(none())
    const layer = await newLayers().open({ ...spec(node), digest })
    expect(layer.whole()).toBe(true)
  }, 30_000)

  test('is unpacked again when its file was damaged, and never wrong', async () => {
    const node = newNode(unindexed)
    node.indexAnswers.push(none())
    const layer = await newLayers().open(spec(node))
    await flip(layer.path, 1000)
    expect(same(await layer.read(512, 400_000, within(20_000)), files[0]!)).toBe(true)
    await until(() => layer.ready(512, 400_000))
  }, 30_000)

  test('is not unpacked again when nobody mounts it any more', async () => {
    const node = newNode(unindexed)
    node.indexAnswers.push(none())
    const again = Promise.withResolvers<AbortSignal>()
    let times = 0
    const unpack: UnpackWhole = async (...asked) => {
      if (++times === 1) return await unpackInChild(...asked)
      const [, , , signal] = asked
      again.resolve(signal)
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    }
    const layer = await newLayers({ unpack }).open({ ...spec(node), prefetch: false })
    await flip(layer.path, 1000)
    expect(layer.read(512, 400_000, within(300))).rejects.toThrow()
    const signal = await again.promise
    await Bun.sleep(400)
    expect(signal.aborted).toBe(false)
    await layer.close()
    expect([signal.aborted, times]).toEqual([true, 2])
    expect(readdirSync(dirname(layer.path)).filter((name) => name.endsWith('.again'))).toEqual([])
  }, 30_000)

  test('is not mounted when it is another one than the image says', async () => {
    const node = newNode(unindexed)
    node.indexAnswers.push(none())
    const opened = newLayers().open({ ...spec(node), diffId: digestOf(bytes) })
    expect(opened).rejects.toThrow('says that it unpacks to something else')
    await opened.catch(() => {})
  }, 30_000)
})
