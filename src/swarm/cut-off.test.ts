/** What nodes do that were cut off from each other, or from the source, and are not any more. */
import { afterEach, expect, test } from 'bun:test'
import { SwarmNetwork } from '../../test/fakes/swarm-network.ts'
import type { SwarmNode } from '../../test/fakes/swarm-node.ts'

let network: SwarmNetwork
afterEach(() => network.close())

/** Its source sends nothing until the test says so. */
function hung(...nodes: SwarmNode[]): () => void {
  const { promise, resolve } = Promise.withResolvers<void>()
  for (const { source } of nodes) source.gate = () => promise
  return resolve
}

function slow({ source }: SwarmNode): void {
  source.gate = () => new Promise((resolve) => network.clock.after(100, resolve))
}

test('a parent that was lost is asked again as soon as it is back, before the source has sent what it holds', async () => {
  network = new SwarmNetwork({ nodes: 3, options: (index) => ({ modes: [index === 0 ? 'scheduler' : 'peer'] }) })
  const [, whole, node] = network.nodes
  const blob = network.blob(100)
  whole!.fetch(blob.location, blob.bytes.length)
  expect(await network.until(() => whole!.complete(blob.digest))).toBe(true)
  slow(node!)
  const reader = node!.reader(blob.location)
  expect(await network.until(() => (node!.store.find(blob.digest)?.have.count ?? 0) > 10)).toBe(true)
  network.cutOff(node!)
  expect(await network.until(() => node!.source.sent > 1_000_000)).toBe(true)
  const { sent } = node!.source
  network.bringBack(node!)
  expect(await network.until(() => node!.source.streams === 0, 1000)).toBe(true)
  // A piece was under way.
  expect(node!.source.sent - sent).toBeLessThan(600_000)
  expect(await network.until(() => reader.over, 5000)).toBe(true)
  expect(Buffer.concat(reader.read).equals(blob.bytes)).toBe(true)
}, 60_000)

test('parents that were lost are tried when the source is back, before anybody has heard of them', async () => {
  network = new SwarmNetwork({ nodes: 3, options: (index) => ({ modes: [index === 0 ? 'scheduler' : 'peer'] }) })
  const [, whole, node] = network.nodes
  const blob = network.blob(100)
  whole!.fetch(blob.location, blob.bytes.length)
  expect(await network.until(() => whole!.complete(blob.digest))).toBe(true)
  const back = hung(node!)
  const reader = node!.reader(blob.location)
  expect(await network.until(() => (node!.store.find(blob.digest)?.have.count ?? 0) > 10)).toBe(true)
  network.cutOff(node!)
  expect(await network.until(() => node!.source.streams > 0, 20_000)).toBe(true)
  await network.until(() => false, 3000)
  slow(node!)
  network.reconnect(node!)
  back()
  expect(await network.until(() => reader.over, 3000)).toBe(true)
  expect(Buffer.concat(reader.read).equals(blob.bytes)).toBe(true)
  expect(node!.source.sent).toBeLessThan(1_000_000)
}, 60_000)

test('a parent that comes back while it is dialled in vain is dialled once more', async () => {
  network = new SwarmNetwork({ nodes: 3, options: (index) => ({ modes: [index === 0 ? 'scheduler' : 'peer'] }) })
  const [, whole, node] = network.nodes
  const blob = network.blob(20)
  whole!.fetch(blob.location, blob.bytes.length)
  expect(await network.until(() => whole!.complete(blob.digest))).toBe(true)
  network.cutOff(whole!)
  hung(node!)
  const transfer = node!.fetch(blob.location, blob.bytes.length)
  expect(await network.until(() => transfer.describe().parents.length > 0, 500)).toBe(true)
  node!.membership.drop(whole!.id, network.clock.now(), 'it does not answer')
  network.bringBack(whole!)
  // The first dial fails when a second is over; a scheduler would name that node again some time later.
  expect(await network.until(() => node!.complete(blob.digest), 1300)).toBe(true)
}, 60_000)

test('a reader of the source that hangs and was replaced does not read beside its successor when the source is back', async () => {
  network = new SwarmNetwork({
    nodes: 4,
    options: (index) => ({ modes: [index === 0 ? 'scheduler' : index < 3 ? 'seed' : 'peer'] }),
  })
  const [, one, other, peer] = network.nodes
  const blob = network.blob(100)
  const back = hung(one!, other!, peer!)
  const reader = peer!.reader(blob.location)
  const named = () => [one!, other!].filter((seed) => seed.swarm.find(blob.digest)?.feeding)
  expect(await network.until(() => named().length === 1)).toBe(true)
  const [first] = named()
  const second = first === one ? other! : one!
  expect(await network.until(() => second.source.streams > 0, 10_000)).toBe(true)
  await network.until(() => false, 1000)
  for (const { source } of [one!, other!]) source.chunk = 50_000
  back()
  expect(await network.until(() => reader.over)).toBe(true)
  expect(Buffer.concat(reader.read).equals(blob.bytes)).toBe(true)
  expect(first!.source.sent).toBe(0)
  expect(second.source.sent).toBeLessThan(1.1 * blob.bytes.length)
}, 60_000)
