/** What layers that go, or cannot be read, leave to those that have something from them. */
import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { cpSync, readlinkSync, writeFileSync } from 'node:fs'
import { BadDisk } from '../../../test/fakes/bad-disk.ts'
import { type LazyNode, refusal, type SampleLayer, sampleLayer, text } from '../../../test/fakes/lazy-node.ts'
import { specOf, unpackedHosts } from '../../../test/fakes/unpacked.ts'
import { until } from '../../../test/lab/until.ts'
import { OpenFiles, readAt } from '../../store/open-files.ts'
import type { UnpackedLayer } from '../unpacked-layer.ts'
import { layerFolder } from './layer-folder.ts'

// Each takes its time on a busy machine.
setDefaultTimeout(60_000)

const { newDir, newNode, newLayers } = unpackedHosts()

const shared = text(20, 900_000)
const [a, b] = [sampleLayer([shared, text(21, 5000)], 'none'), sampleLayer([text(22, 3000), shared], 'none')]

async function reads(layer: UnpackedLayer, { shown }: SampleLayer): Promise<boolean> {
  return Buffer.compare(await layer.read(0, layer.size, AbortSignal.timeout(20_000)), shown) === 0
}

/** All of it is in its file, or lies where others have it. */
async function store(layer: UnpackedLayer, sample: SampleLayer): Promise<void> {
  expect(await reads(layer, sample)).toBe(true)
  await until('it is stored', 20, () => layer.progress().complete)
}

/** Of `a` the first 300,000 bytes come, and no more. */
function stall(node: LazyNode): void {
  node.bend = ({ digest, from, to }, right) => {
    if (digest !== a.index.layer) return undefined
    const body = new ReadableStream({ start: (controller) => controller.enqueue(right.slice(0, 300_000)) })
    const headers = { 'content-range': `bytes ${from}-${to - 1}/${a.bytes.length}` }
    return new Response(body, { status: 206, headers })
  }
}

test('what is on its way to a layer that is let go is written by then', async () => {
  const node = newNode(a)
  stall(node)
  const dir = newDir()
  const layer = await newLayers({ dir }).open(specOf(node, a))
  expect(layer.read(512, 900_000, AbortSignal.timeout(200))).rejects.toThrow()
  await Bun.sleep(300)
  const since = performance.now()
  await layer.close()
  expect(performance.now() - since).toBeLessThan(5000)
  // As after a kill.
  const next = await newLayers({ dir }).open(specOf(node, a))
  expect(next.ready(512, 256 * 1024)).toBe(true)
})

test('a layer that was removed while it came lends nothing any more', async () => {
  const node = newNode(a, b)
  stall(node)
  const layers = newLayers()
  const going = await layers.open(specOf(node, a))
  expect(going.read(512, 900_000, AbortSignal.timeout(200))).rejects.toThrow()
  await Bun.sleep(300)
  const layer = await layers.open(specOf(node, b))
  await going.discard()
  await Bun.sleep(100)
  expect(await reads(layer, b)).toBe(true)
  expect(layers.usage()).toMatchObject({ layers: 1, saved: 0 })
})

test('layers that go at the same time do not rely on each other for what others have from them', async () => {
  const only = text(23, 300_000)
  const both = [sampleLayer([shared, only]), sampleLayer([shared, text(24, 400)])]
  const third = sampleLayer([shared, only, text(25, 400)])
  const node = newNode(...both, third)
  const dir = newDir()
  // Each has all in its own file, for neither was there when the other one came.
  for (const sample of both) {
    const alone = newDir()
    const layers = newLayers({ dir: alone })
    await store(await layers.open(specOf(node, sample)), sample)
    await layers.close()
    cpSync(alone, dir, { recursive: true })
  }
  const layers = newLayers({ dir })
  const going = await Promise.all(both.map((sample) => layers.open(specOf(node, sample))))
  const layer = await layers.open(specOf(node, third))
  await store(layer, third)
  expect(layers.usage()).toMatchObject({ layers: 3, saved: 1_200_000 })
  await Promise.all(going.map((each) => each.discard()))
  const asked = node.asked.length
  expect(await reads(layer, third)).toBe(true)
  expect(node.asked.length).toBe(asked)
})

test('what is handed over when a layer goes stays with one that is mounted meanwhile', async () => {
  const node = newNode(a, b)
  const [asked, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  let slow = ''
  const files = new OpenFiles(128, async (fd, into, position) => {
    if (slow !== '' && readlinkSync(`/proc/self/fd/${fd}`) === slow) {
      asked.resolve()
      await go.promise
    }
    return readAt(fd, into, position)
  })
  const layers = newLayers({ files })
  const lender = await layers.open(specOf(node, a))
  await store(lender, a)
  const before = await layers.open(specOf(node, b))
  await store(before, b)
  await before.close()
  slow = lender.path
  const gone = lender.discard()
  await asked.promise
  const layer = await layers.open(specOf(node, b))
  go.resolve()
  await gone
  await node.stop()
  expect([layer.progress().complete, await reads(layer, b)]).toEqual([true, true])
})

test('what a layer has and the disk cannot read any more comes again, for it and for who has it from there', async () => {
  const node = newNode(a, b)
  const disk = new BadDisk()
  const layers = newLayers({ files: new OpenFiles(128, disk.read) })
  const lender = await layers.open(specOf(node, a))
  await store(lender, a)
  const layer = await layers.open(specOf(node, b))
  await store(layer, b)
  expect(layers.usage().saved).toBe(900_000)
  const file = lender.path.split('/').slice(-2).join('/')
  disk.bad = [{ file, at: 1000 }]
  expect(await reads(layer, b)).toBe(true)
  disk.bad = [{ file, at: 600_000 }]
  const part = await lender.read(500_000, 200_000, AbortSignal.timeout(20_000))
  expect(Buffer.compare(part, a.shown.subarray(500_000, 700_000))).toBe(0)
  expect(lender.progress().errors.join()).toContain('cannot be read: EIO')
})

test('a layer that is let go while all of it is held against its digest waits for nobody', async () => {
  // Of one that is compressed all comes, also what lies between its files.
  const sample = sampleLayer([shared])
  const [dir, node, disk] = [newDir(), newNode(sample), new BadDisk()]
  const first = newLayers({ dir })
  await store(await first.open(specOf(node, sample)), sample)
  await first.close()
  const asked = node.asked.length
  disk.bad = [{ file: 'data', at: 1000 }]
  node.bend = () => new Promise(() => {})
  const layers = newLayers({ dir, files: new OpenFiles(128, disk.read) })
  const layer = await layers.open(specOf(node, sample, true))
  await until('what cannot be read is asked for', 20, () => node.asked.length > asked)
  const since = performance.now()
  await layer.close()
  expect(performance.now() - since).toBeLessThan(5000)
})

describe('what a layer has from another that is gone since a power cut', () => {
  /** Both are here, and of the one that lends nothing is known any more. */
  async function cut() {
    const [before, dir, node] = [newDir(), newDir(), newNode(a, b)]
    const first = newLayers({ dir: before })
    for (const sample of [a, b]) await store(await first.open(specOf(node, sample)), sample)
    expect(first.usage().saved).toBe(900_000)
    await first.close()
    cpSync(before, dir, { recursive: true })
    writeFileSync(layerFolder(dir, a.index.layer).state, '')
    return { node, layers: newLayers({ dir }) }
  }

  test('comes in the background', async () => {
    const { node, layers } = await cut()
    const layer = await layers.open(specOf(node, b, true))
    await until('it is in its own file', 20, () => layer.whole())
    await node.stop()
    expect(await reads(layer, b)).toBe(true)
  })

  test('keeps no other one waiting while its own index is made', async () => {
    const { node, layers } = await cut()
    const making = () => Response.json({ state: 'making' }, { status: 202, headers: { 'retry-after': '1' } })
    node.indexAnswers.push(...Array.from({ length: 100 }, making))
    const slow = layers.open(specOf(node, a)).catch(() => 'not made')
    await until('it is asked for', 20, () => node.indexAsked.length > 0)
    const layer = await layers.open(specOf(node, b, true))
    await until('it is in its own file', 20, () => layer.whole())
    await node.stop()
    expect(await reads(layer, b)).toBe(true)
    await layers.close()
    expect(await slow).toBe('not made')
  })

  test('does not count as here', async () => {
    const { node, layers } = await cut()
    const early = await layers.open(specOf(node, b))
    await layers.tidy()
    expect(early.progress().complete).toBe(false)
    expect(layers.usage().saved).toBe(0)
  })
})

test('what another layer has lost since is brought when the layer that had it from there is mounted again', async () => {
  const [node, disk] = [newNode(a, b), new BadDisk()]
  const layers = newLayers({ files: new OpenFiles(128, disk.read) })
  const lender = await layers.open(specOf(node, a))
  await store(lender, a)
  const layer = await layers.open(specOf(node, b))
  await store(layer, b)
  await layer.close()
  disk.bad = [{ file: lender.path.split('/').slice(-2).join('/'), at: 1000 }]
  node.bend = () => refusal(404, 'not now')
  await lender.read(512, 1000, AbortSignal.timeout(300)).catch(() => {})
  node.bend = () => undefined
  const asked = node.asked.length
  const again = await layers.open(specOf(node, b, true))
  await until('it is asked for', 20, () => node.asked.slice(asked).some(({ digest }) => digest === b.index.layer))
  await until('it is here', 20, () => again.progress().complete)
})

test('what another layer turns out not to have when it is copied comes in the background', async () => {
  const little = text(30, 50_000)
  const [lends, has] = [sampleLayer([little]), sampleLayer([text(31, 900_000), little])]
  const [node, disk] = [newNode(lends, has), new BadDisk()]
  const layers = newLayers({ files: new OpenFiles(128, disk.read) })
  const lender = await layers.open(specOf(node, lends))
  await store(lender, lends)
  disk.bad = [{ file: lender.path.split('/').slice(-2).join('/'), at: 1000 }]
  const layer = await layers.open(specOf(node, has, true))
  await until('it is in its own file', 20, () => layer.whole())
  expect(layer.progress().deduped).toBe(0)
})
