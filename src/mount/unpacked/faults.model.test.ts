/**
 * Whatever the node answers, whoever writes to the files and however often the mounter starts anew: a read gives the right
 * bytes or fails, and what other threads are told is ready is right. Each run is a seed; one that fails prints it.
 */
import { expect, test } from 'bun:test'
import { closeSync, existsSync, openSync, readSync, statSync, writeSync } from 'node:fs'
import { type LazyNode, refusal, type SampleLayer, sampleLayer, text } from '../../../test/fakes/lazy-node.ts'
import { specOf, unpackedHosts } from '../../../test/fakes/unpacked.ts'
import { type Random, seededRandom } from '../../clock.ts'
import type { UnpackedLayer } from '../unpacked-layer.ts'
import type { UnpackedLayers } from './layers.ts'

const { newDir, newLayers, newNode } = unpackedHosts()

const shared = text(1, 300_000)
const samples = [
  sampleLayer([text(2, 400_000), shared, text(3, 700)]),
  sampleLayer([text(4, 5000), shared, text(5, 150_000)]),
  sampleLayer([text(6, 90_000), shared, text(3, 700), text(7, 300_000)], 'none'),
]
const seeds = [1, 2, 3, 4, 5, 6, 7, 8]
const steps = 40

function misbehave(node: LazyNode, random: Random): void {
  node.bend = ({ digest, from, to }, right) => {
    const chance = random()
    if (chance < 0.15) {
      const bytes = right.slice()
      bytes[Math.floor(random() * bytes.length)]! ^= 1 << Math.floor(random() * 8)
      return partial(bytes, digest, from, to)
    }
    if (chance < 0.25) return partial(right.subarray(0, Math.floor(random() * right.length)), digest, from, to)
    if (chance < 0.3) return refusal(404, 'not now')
    return undefined
  }
}

function partial(bytes: Uint8Array, digest: string, from: number, to: number): Response {
  const size = samples.find(({ index }) => index.layer === digest)!.bytes.length
  return new Response(bytes, { status: 206, headers: { 'content-range': `bytes ${from}-${to - 1}/${size}` } })
}

function damage(path: string, random: Random): void {
  if (!existsSync(path)) return
  const fd = openSync(path, 'r+')
  for (let i = 0; i < 3; i++) writeSync(fd, Buffer.of(random() * 256), 0, 1, Math.floor(random() * statSync(path).size))
  closeSync(fd)
}

/**
 * Nothing has been written to the file for a while. A write by somebody else in the very moment of one of the layer's own
 * cannot be told from that one.
 */
async function settled(path: string): Promise<void> {
  const ctime = () => statSync(path, { bigint: true }).ctimeNs
  for (let last = 0n; last !== ctime(); await Bun.sleep(30)) last = ctime()
}

/** As the threads do that answer reads by themselves. */
function readyBytesAreRight(layer: UnpackedLayer, { shown }: SampleLayer): boolean {
  const { bits, block, ctime } = layer.readyMap
  if (statSync(layer.path, { bigint: true }).ctimeNs !== new BigInt64Array(ctime)[0]) return true
  const map = new Uint8Array(bits)
  const fd = openSync(layer.path, 'r')
  try {
    for (let at = 0; at * block < layer.size; at++) {
      if ((map[at >> 3]! & (1 << (at & 7))) === 0) continue
      const bytes = new Uint8Array(Math.min(block, layer.size - at * block))
      readSync(fd, bytes, 0, bytes.length, at * block)
      if (Buffer.compare(bytes, shown.subarray(at * block, at * block + bytes.length)) !== 0) return false
    }
    return true
  } finally {
    closeSync(fd)
  }
}

for (const seed of seeds) {
  test(`no read is ever wrong (seed ${seed})`, async () => {
    const random = seededRandom(seed)
    const [dir, node] = [newDir(), newNode(...samples)]
    misbehave(node, random)
    const prefetch = seed % 2 === 0
    let layers: UnpackedLayers = newLayers({ dir })
    const openAll = async () => await Promise.all(samples.map((sample) => layers.open(specOf(node, sample, prefetch))))
    let open = await openAll()
    let right = 0
    for (let step = 0; step < steps; step++) {
      const which = Math.floor(random() * samples.length)
      const [layer, { shown }] = [open[which]!, samples[which]!]
      const chance = random()
      if (chance < 0.06) {
        for (const one of open) await one.close()
        await layers.close()
        if (random() < 0.5) damage(layer.path, random)
        layers = newLayers({ dir })
        open = await openAll()
      } else if (chance < 0.2) {
        // In the background it writes whenever it likes.
        if (prefetch) continue
        await settled(layer.path)
        damage(layer.path, random)
      } else {
        const reads = Array.from({ length: 1 + Math.floor(random() * 4) }, async () => {
          const start = Math.floor(random() * layer.size)
          const length = Math.min(layer.size - start, Math.floor(random() * 200_000))
          const bytes = await layer.read(start, length, AbortSignal.timeout(1500)).catch(() => undefined)
          if (bytes) expect(Buffer.compare(bytes, shown.subarray(start, start + length))).toBe(0)
          return bytes !== undefined
        })
        right += (await Promise.all(reads)).filter(Boolean).length
      }
      for (const [i, sample] of samples.entries()) expect(readyBytesAreRight(open[i]!, sample)).toBe(true)
    }
    expect(right).toBeGreaterThan(steps / 2)
    node.bend = () => undefined
    for (const [i, sample] of samples.entries()) {
      const bytes = await open[i]!.read(0, open[i]!.size, AbortSignal.timeout(20_000))
      expect(Buffer.compare(bytes, sample.shown)).toBe(0)
    }
  }, 60_000)
}
