/** What is fetched of a layer that nobody prefetches, for what is read of it. */
import { describe, expect, test } from 'bun:test'
import { type LazyNode, sampleLayer } from '../../../test/fakes/lazy-node.ts'
import { noise } from '../../../test/fakes/registry.ts'
import { specOf, unpackedHosts } from '../../../test/fakes/unpacked.ts'
import { seededRandom } from '../../clock.ts'
import type { UnpackedLayer } from '../unpacked-layer.ts'

import { aheadShare, perPlace } from './read-ahead.ts'

const { newNode, newLayers } = unpackedHosts()
const MiB = 1024 * 1024
/** Of a read by the kernel. */
const request = 128 * 1024
const size = 40 * MiB
const file = noise(size, 1)

/** Answers come when the gate is opened, which is for good. */
function gated(node: LazyNode): () => void {
  const gate = Promise.withResolvers<undefined>()
  node.bend = () => gate.promise
  return () => gate.resolve(undefined)
}

async function quiet(node: LazyNode): Promise<void> {
  for (let before = -1; before !== node.asked.length; await Bun.sleep(30)) before = node.asked.length
}

for (const compression of ['none', 'gzip'] as const) {
  const sample = sampleLayer([file], compression)
  const open = async (node: LazyNode) => newLayers().open({ ...specOf(node, sample), prefetch: false })
  const read = async (layer: UnpackedLayer, at: number) => {
    const length = Math.min(request, layer.size - at)
    const bytes = await layer.read(at, length, AbortSignal.timeout(20_000))
    expect(Buffer.compare(bytes, sample.shown.subarray(at, at + length))).toBe(0)
    return length
  }

  describe(`of a layer (${compression}) that is fetched as it is read`, () => {
    test('a process that reads in order has so much ahead as it has read, in part, also when all its reads come before any answer', async () => {
      const node = newNode(sample)
      const layer = await open(node)
      const random = seededRandom(3)
      for (const held of [false, true]) {
        const before = node.bytes
        const answer = held ? gated(node) : () => {}
        const from = (held ? 20 : 4) * MiB
        const places = Array.from({ length: 12 }, (_, i) => from + i * request)
        // The kernel's requests are taken by several threads.
        const taken = places.map((at, i) => [at, i + random() * 4] as const).sort(([, a], [, b]) => a - b)
        const reads: Promise<number>[] = []
        for (const [at] of taken) {
          reads.push(read(layer, at))
          await Bun.sleep(1)
          if (!held) await reads.at(-1)
        }
        answer()
        const bytes = (await Promise.all(reads)).reduce((sum, length) => sum + length, 0)
        await quiet(node)
        expect(node.bytes - before).toBeLessThanOrEqual((1 + aheadShare) * bytes + perPlace)
      }
    }, 30_000)

    test('a process that reads here and there fetches what it reads, and a constant for each place', async () => {
      const node = newNode(sample)
      const layer = await open(node)
      const random = seededRandom(11)
      const places = Array.from({ length: 12 }, () => Math.floor(random() * (size / 4096 - 64)) * 4096)
      let bytes = 0
      for (const at of places) bytes += await read(layer, at)
      await quiet(node)
      expect(node.bytes).toBeLessThanOrEqual((1 + aheadShare) * bytes + perPlace * places.length)
    }, 30_000)
  })
}
