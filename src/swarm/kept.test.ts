/** Transfers that nobody reads and somebody wants. */
import { afterEach, expect, setDefaultTimeout, spyOn, test } from 'bun:test'
import { SwarmNetwork } from '../../test/fakes/swarm-network.ts'

// Each takes its time on a busy machine.
setDefaultTimeout(60_000)

let network: SwarmNetwork
afterEach(() => network.close())

test('what somebody keeps goes on in the background, unread, for as long as it takes', async () => {
  network = new SwarmNetwork({ nodes: 2 })
  const { location, digest } = network.blob(4)
  const [, node] = network.nodes
  let open = () => {}
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  for (const each of network.nodes) each.source.gate = () => gate
  const transfer = node!.fetch(location)
  const letGo = transfer.keep()
  await network.until(() => false, 70_000)
  expect([node!.swarm.find(digest), transfer.background]).toEqual([transfer, true])
  open()
  expect(await network.until(() => node!.complete(digest))).toBe(true)
  letGo()
})

test('what nobody wants any more stops at those who get it from others, and then at the one that reads it', async () => {
  network = new SwarmNetwork({ nodes: 3 })
  const { location, digest } = network.blob(40)
  for (const each of network.nodes) {
    each.source.gate = () => new Promise((resolve) => void network.clock.after(50, resolve))
  }
  const kept = network.nodes.map((node) => node.fetch(location).keep())
  expect(await network.until(() => network.nodes.every((node) => (node.store.find(digest)?.have.count ?? 0) > 2))).toBe(
    true,
  )
  const reader = network.nodes.find((node) => node.swarm.find(digest)?.feeding)!
  const others = network.nodes.filter((node) => node !== reader)
  // Wanted by somebody: it stays.
  expect(others[0]!.swarm.relinquish(digest)).toBe(true)
  expect(others[0]!.swarm.find(digest)).toBeDefined()
  for (const letGo of kept) letGo()
  expect(reader.swarm.relinquish(digest)).toBe(false)
  for (const node of others) expect(node.swarm.relinquish(digest)).toBe(true)
  expect(await network.until(() => reader.swarm.relinquish(digest), 5_000)).toBe(true)
  const sent = network.sourceBytes
  await network.until(() => false, 10_000)
  expect(network.nodes.map((node) => node.swarm.find(digest))).toEqual([undefined, undefined, undefined])
  expect(network.sourceBytes - sent).toBeLessThan(200_001)
})

test('who reads it for others goes on when nobody at its own host wants it any more, for as long as they do', async () => {
  network = new SwarmNetwork({ nodes: 3 })
  const { location, digest } = network.blob(40)
  for (const each of network.nodes) {
    each.source.gate = () => new Promise((resolve) => void network.clock.after(1000, resolve))
  }
  const [reader, ...others] = network.nodes
  // The scheduler names who asks first, which no order tells.
  const letGo = reader!.fetch(location).keep()
  expect(await network.until(() => reader!.swarm.find(digest)?.feeding ?? false)).toBe(true)
  for (const other of others) other.fetch(location).keep()
  expect(await network.until(() => reader!.seeder.audience(digest).size === 2)).toBe(true)
  letGo()
  await network.until(() => false, 70_000)
  expect(reader!.swarm.find(digest)?.feeding).toBe(true)
  expect(await network.until(() => others.every((other) => other.complete(digest)), 60_000)).toBe(true)
  expect(network.sourceBytes).toBe(reader!.source.sent)
})

test('who reads it for others stops when they do', async () => {
  network = new SwarmNetwork({ nodes: 2 })
  const { location, digest } = network.blob(40)
  const [reader, other] = network.nodes
  reader!.source.gate = () => new Promise((resolve) => void network.clock.after(1000, resolve))
  const letGo = reader!.fetch(location).keep()
  expect(await network.until(() => reader!.swarm.find(digest)?.feeding ?? false)).toBe(true)
  other!.fetch(location).keep()
  expect(await network.until(() => reader!.seeder.audience(digest).size === 1)).toBe(true)
  letGo()
  await network.until(() => false, 70_000)
  other!.swarm.find(digest)!.stop('it was cancelled there')
  expect(await network.until(() => reader!.swarm.find(digest) === undefined, 1000)).toBe(true)
})

test('what comes to others through a node that keeps it is not in the background there while one of them reads it', async () => {
  network = new SwarmNetwork({
    nodes: 3,
    options: (index) => (index === 0 ? { modes: ['scheduler', 'seed'], zone: 'eu/a' } : { zone: 'us/b' }),
  })
  const { location, digest } = network.blob(200)
  const [seed, gateway, peer] = network.nodes
  seed!.source.gate = () => new Promise((resolve) => void network.clock.after(100, resolve))
  const asks = spyOn(seed!.seeder, 'offer')
  /** Whether what others asked the seed for in the next 3 s was asked for in the background, and what it reads itself is. */
  const background = async () => {
    asks.mockClear()
    await network.until(() => false, 3000)
    const asked = asks.mock.calls.map(([, wanted, by]) => `${by === gateway!.id} ${wanted.background}`)
    return [...new Set(asked), seed!.swarm.find(digest)!.background]
  }
  gateway!.fetch(location).keep()
  expect(await network.until(() => (gateway!.store.find(digest)?.have.count ?? 0) > 2)).toBe(true)
  expect(await background()).toEqual(['true true', true])
  const reads = new AbortController()
  const reader = peer!.reader(location, reads.signal)
  expect(await network.until(() => reader.read.length > 4)).toBe(true)
  expect(await background()).toEqual(['true false', false])
  reads.abort()
  // Each on the way remembers for a moment.
  await network.until(() => false, 12_000)
  expect(await background()).toEqual(['true true', true])
})

test('what one parent among others keeps stays in the background, whoever reads it: else all nodes would hurry each other', async () => {
  network = new SwarmNetwork({
    nodes: 3,
    options: (index) => ({ modes: index === 0 ? ['scheduler', 'seed'] : ['peer'] }),
  })
  const { location, digest } = network.blob(100)
  const [seed, keeper, peer] = network.nodes
  seed!.source.gate = () => new Promise((resolve) => void network.clock.after(100, resolve))
  const kept = keeper!.fetch(location)
  kept.keep()
  expect(await network.until(() => (keeper!.store.find(digest)?.have.count ?? 0) > 20)).toBe(true)
  peer!.reader(location)
  expect(await network.until(() => keeper!.seeder.wanted(digest) && seed!.seeder.wanted(digest))).toBe(true)
  expect([seed!.swarm.find(digest)!.background, kept.background]).toEqual([false, true])
})
