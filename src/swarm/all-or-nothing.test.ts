/** A source that ignores ranges, as some caches do: it is read once, in order, however little is wanted first. */
import { afterEach, beforeEach, expect, spyOn, test } from 'bun:test'
import { pieceLength, SwarmNetwork } from '../../test/fakes/swarm-network.ts'

let network: SwarmNetwork
beforeEach(() => {
  network = new SwarmNetwork({ nodes: 1 })
  const { source } = network.nodes[0]!
  source.sendsAll = true
  source.chunk = pieceLength
  source.gate = () => new Promise((resolve) => network.clock.after(10, resolve))
})
afterEach(() => network.close())

test('by who wants parts of it', async () => {
  const [node] = network.nodes
  const { location, bytes, digest } = network.blob(60)
  const transfer = node!.swarm.fetch(location, bytes.length, true)
  const reader = transfer.reader()
  for (const piece of [50, 20, 40, 10, 30]) transfer.aim(reader, [[piece, piece + 1]])
  expect(await network.until(() => transfer.blob!.have.has(30))).toBe(true)
  transfer.aim(reader, [[59, 60]])
  expect(await network.until(() => transfer.blob!.have.has(59))).toBe(true)
  expect(network.sourceBytes).toBe(bytes.length)
  expect(node!.complete(digest)).toBe(true)
})

test('by who wants all of it, and parts of that first', async () => {
  const [node] = network.nodes
  const { location, bytes, digest } = network.blob(60)
  const transfer = node!.swarm.fetch(location, bytes.length)
  await network.until(() => transfer.blob!.have.has(5))
  const reader = transfer.reader()
  for (const piece of [50, 40, 30]) {
    transfer.aim(reader, [[piece, piece + 1]])
    await network.clock.run(50)
  }
  expect(await network.until(() => node!.complete(digest))).toBe(true)
  // What was on its way when it was seen.
  expect(network.sourceBytes).toBeLessThan(bytes.length + 5 * pieceLength)
})

test('from its beginning, where that is what somebody waits for', async () => {
  const [node] = network.nodes
  const { location, bytes } = network.blob(60)
  const { source } = node!
  const open = source.open.bind(source)
  // Of the answers that are asked for at once the first one tells.
  spyOn(source, 'open').mockImplementation(async (of, start, ...more) => {
    await new Promise<void>((resolve) => network.clock.after(start === 0 ? 20 : 500, resolve))
    return open(of, start, ...more)
  })
  const transfer = node!.swarm.fetch(location, bytes.length, true)
  transfer.aim(transfer.reader(), [[0, 40]])
  expect(await network.until(() => transfer.blob!.have.has(0))).toBe(true)
  expect(transfer.blob!.have.count).toBeLessThan(10)
  expect(await network.until(() => transfer.blob!.have.has(39))).toBe(true)
  expect(network.sourceBytes).toBeLessThan(1.2 * bytes.length)
})
