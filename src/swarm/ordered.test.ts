/** A seed that is told to read a blob, and how long it is said to be. */
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { SwarmNetwork } from '../../test/fakes/swarm-network.ts'

let network: SwarmNetwork
beforeEach(() => {
  network = new SwarmNetwork({ nodes: 2 })
})
afterEach(() => network.close())

test('it reads it with the size that the asking node knows, where the source does not tell', async () => {
  const [seed, peer] = [network.nodes[0]!, network.nodes[1]!]
  const { location, bytes, digest } = network.blob(4)
  seed.source.untold = true
  peer.fetch(location, bytes.length)
  expect(await network.until(() => peer.complete(digest))).toBe(true)
  expect([seed.source.opened, peer.source.opened]).toEqual([1, 0])
})

test('it believes the source, where that tells, and not who ordered it', async () => {
  const seed = network.nodes[0]!
  const { location, bytes, digest } = network.blob(4)
  seed.swarm.order(location, false, bytes.length + 1)
  expect(await network.until(() => seed.complete(digest))).toBe(true)
  expect(seed.source.opened).toBe(1)
})

test('one that stops takes no order, and reads nothing any more', async () => {
  const [seed, peer] = [network.nodes[0]!, network.nodes[1]!]
  const { location } = network.blob(4)
  seed.swarm.close('the node ends')
  expect(() => seed.swarm.order(location)).toThrow('this node is stopping')
  expect(() => seed.swarm.fetch(location)).toThrow('this node is stopping')
  await network.clock.run(5000)
  expect([seed.swarm.idle, seed.source.calls, peer.source.calls]).toEqual([true, [], []])
})

test('it knows better the next time, where a wrong size was all that it had', async () => {
  const seed = network.nodes[0]!
  const { location, bytes, digest } = network.blob(4)
  seed.source.untold = true
  seed.swarm.order(location, false, bytes.length + 1)
  expect(await network.until(() => seed.swarm.idle)).toBe(true)
  expect(seed.complete(digest)).toBe(false)
  seed.swarm.order(location, false, bytes.length + 1)
  expect(await network.until(() => seed.complete(digest))).toBe(true)
})
