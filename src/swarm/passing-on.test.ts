/** What several nodes do that wait for the same few pieces: one passes them on to the next as they come. */
import { afterEach, beforeEach, expect, spyOn, test } from 'bun:test'
import { SwarmNetwork } from '../../test/fakes/swarm-network.ts'

let network: SwarmNetwork
let blob: ReturnType<SwarmNetwork['blob']>

/** A scheduler, a node that has all of a small blob, and twelve that have nothing. */
beforeEach(async () => {
  network = new SwarmNetwork({ nodes: 14, options: (i) => ({ modes: [i === 0 ? 'scheduler' : 'peer'] }) })
  blob = network.blob(3)
  network.nodes[1]!.fetch(blob.location, blob.bytes.length)
  expect(await network.until(() => network.nodes[1]!.complete(blob.digest))).toBe(true)
})
afterEach(() => network.close())

const others = () => network.nodes.slice(2)

test('the holder sends each piece to few of them, and all have it', async () => {
  const holder = network.nodes[1]!
  const sent = spyOn(holder.seeder, 'offer')
  const readers = others().map((node) => node.reader(blob.location))
  expect(await network.until(() => readers.every(({ over }) => over), 10_000)).toBe(true)
  for (const { read } of readers) expect(Buffer.concat(read).equals(blob.bytes)).toBe(true)
  expect(network.passedOn).toBeGreaterThan(10)
  const outcomes = await Promise.allSettled(sent.mock.results.map(({ value }) => value))
  expect(outcomes.filter(({ status }) => status === 'fulfilled').length).toBeLessThan(24)
  expect(network.sourceBytes).toBe(blob.bytes.length)
}, 60_000)

test('one that sends wrong bytes gives none to anybody but whom it sends them to, and only it is banned', async () => {
  const holder = network.nodes[1]!
  // It has no scheduler's word for it, so the others find out by themselves.
  holder.forge = (_, bytes) => {
    const wrong = bytes.slice()
    wrong[wrong.length - 1]! ^= 1
    return wrong
  }
  const readers = others().map((node) => node.reader(blob.location))
  expect(await network.until(() => readers.every(({ over }) => over), 60_000)).toBe(true)
  for (const { read } of readers) expect(Buffer.concat(read).equals(blob.bytes)).toBe(true)
  for (const node of others()) {
    const banned = network.nodes.filter(({ id }) => node.bans.has(id))
    expect(banned.every((each) => each === holder)).toBe(true)
  }
}, 60_000)

test('one that dies while it passes pieces on keeps nobody waiting for long', async () => {
  const readers = others().map((node) => node.reader(blob.location))
  expect(await network.until(() => network.passedOn > 2, 10_000)).toBe(true)
  const [dead, ...alive] = others()
  network.die(dead!)
  expect(await network.until(() => readers.slice(1).every(({ over }) => over), 10_000)).toBe(true)
  for (const { read } of readers.slice(1)) expect(Buffer.concat(read).equals(blob.bytes)).toBe(true)
  for (const node of alive) expect(node.bans.has(dead!.id)).toBe(false)
}, 60_000)

test('one that sends the beginning of each piece and then nothing keeps the others waiting once, and not the source', async () => {
  const [dribbler, ...honest] = others()
  spyOn(dribbler!.seeder, 'passOn').mockImplementation(async (_, wanted) => {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new Uint8Array(40 * 1024)),
    })
    const [piece] = 'pieces' in wanted ? wanted.pieces : [0]
    return { piece: piece!, length: 256 * 1024, body, over: new Promise(() => {}) }
  })
  dribbler!.reader(blob.location)
  const readers = honest.map((node) => node.reader(blob.location))
  expect(await network.until(() => readers.every(({ over }) => over), 6000)).toBe(true)
  for (const { read } of readers) expect(Buffer.concat(read).equals(blob.bytes)).toBe(true)
  expect(network.sourceBytes).toBe(blob.bytes.length)
}, 60_000)
