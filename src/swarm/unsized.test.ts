/** A blob whose size nobody has told: who reads the source asks that for it first. */
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { SwarmNetwork } from '../../test/fakes/swarm-network.ts'
import { pause } from '../clock.ts'

let network: SwarmNetwork
let blob: ReturnType<SwarmNetwork['blob']>

/** A scheduler, and four nodes that read the source themselves. */
beforeEach(() => {
  network = new SwarmNetwork({ nodes: 5, options: (i) => ({ modes: i === 0 ? ['scheduler'] : ['peer'] }) })
  blob = network.blob(40)
})
afterEach(() => network.close())

test('those who wait for a node that hears nothing from the source say so, and another is named soon', async () => {
  const [, named, ...others] = network.nodes
  named!.source.stat = () => new Promise(() => {})
  const readers = [named!.reader(blob.location)]
  expect(await network.until(() => named!.swarm.find(blob.digest)!.feeding, 1000)).toBe(true)
  readers.push(...others.map((node) => node.reader(blob.location)))
  expect(await network.until(() => readers.every(({ over }) => over), 10_000)).toBe(true)
  for (const { read } of readers) expect(Buffer.concat(read).equals(blob.bytes)).toBe(true)
  expect(network.sourceBytes).toBe(blob.bytes.length)
}, 60_000)

test('a source that takes longer than that is heard in the end by the first who asked, and read once', async () => {
  for (const { source } of network.nodes) {
    source.stat = async (_, signal) => {
      await pause(network.clock, 20_000, signal)
      return { size: blob.bytes.length, mediaType: 'application/octet-stream' }
    }
  }
  const readers = network.nodes.slice(1).map((node) => node.reader(blob.location))
  expect(await network.until(() => readers.every(({ over }) => over), 25_000)).toBe(true)
  for (const { read } of readers) expect(Buffer.concat(read).equals(blob.bytes)).toBe(true)
  expect(network.sourceBytes).toBe(blob.bytes.length)
}, 60_000)
