/** What a node without room for a blob gets from other nodes, and when it goes to the source after all. */
import { afterEach, expect, test } from 'bun:test'
import { pieceLength, SwarmNetwork } from '../../test/fakes/swarm-network.ts'
import type { SwarmNode, SwarmNodeOptions } from '../../test/fakes/swarm-node.ts'
import { Failure } from '../failure.ts'
import { NodeContent } from './node-content.ts'

const pieces = 40
let network: SwarmNetwork
let blob: ReturnType<SwarmNetwork['blob']>
afterEach(() => network.close())

/** A scheduler; nodes with room for all of it; the last has room for a piece. */
function nodes(large: number, about: SwarmNodeOptions = {}): { whole: SwarmNode[]; full: SwarmNode } {
  const most = large + 1
  network = new SwarmNetwork({
    nodes: most + 1,
    options: (index) =>
      index === 0
        ? { modes: ['scheduler'] }
        : index === most
          ? { modes: ['peer'], limitBytes: pieceLength }
          : { modes: ['peer'], ...about },
  })
  blob = network.blob(pieces)
  return { whole: network.nodes.slice(1, most), full: network.nodes[most]! }
}

async function filled(whole: readonly SwarmNode[]): Promise<void> {
  for (const node of whole) {
    node.fetch(blob.location, blob.bytes.length)
    expect(await network.until(() => node.complete(blob.digest))).toBe(true)
  }
}

/** Reads all of it through that node, as a client would. */
function client({ store, swarm, source }: SwarmNode) {
  const content = new NodeContent({ store, swarm, source, tags: undefined as never })
  const { repository } = blob.location
  const state = { bytes: 0, chunks: [] as Uint8Array[], over: false, failure: undefined as Failure | undefined }
  const abort = new AbortController()
  const run = async () => {
    const reader = await content.open(repository, blob.digest, {}, abort.signal)
    try {
      for await (const bytes of reader.read({ start: 0, end: reader.size }, abort.signal)) {
        state.bytes += bytes.length
        state.chunks.push(bytes.slice())
      }
    } finally {
      came = reader.provenance()
      reader.close()
    }
  }
  let came = { store: 0, swarm: 0, source: 0 }
  run()
    .catch((error: unknown) => {
      state.failure = Failure.from(error)
    })
    .finally(() => {
      state.over = true
    })
  return {
    ...{ state, abort, came: () => came },
    right: () => Buffer.concat(state.chunks).equals(blob.bytes),
  }
}

test('it comes from those that have it, and the source is left alone', async () => {
  const { whole, full } = nodes(2)
  await filled(whole)
  const before = network.sourceBytes
  const { state, right, came } = client(full)
  expect(await network.until(() => state.over)).toBe(true)
  expect([state.failure, right(), network.sourceBytes - before]).toEqual([undefined, true, 0])
  expect(came()).toEqual({ store: 0, swarm: blob.bytes.length, source: 0 })
  expect(full.store.find(blob.digest)?.complete ?? false).toBe(false)
}, 30_000)

test('it comes from one that is only just getting it', async () => {
  const { whole, full } = nodes(1)
  const [reading] = whole
  reading!.source.gate = () => new Promise((resolve) => network.clock.after(40, resolve))
  reading!.fetch(blob.location, blob.bytes.length).fetch(false)
  expect(await network.until(() => (reading!.store.find(blob.digest)?.have.count ?? 0) > 3)).toBe(true)
  const { state, right } = client(full)
  expect(await network.until(() => state.over)).toBe(true)
  expect([state.failure, right(), full.source.sent]).toEqual([undefined, true, 0])
}, 30_000)

test('two clients at once do not end each other', async () => {
  const { whole, full } = nodes(1)
  const [reading] = whole
  reading!.source.gate = () => new Promise((resolve) => network.clock.after(40, resolve))
  reading!.fetch(blob.location, blob.bytes.length).fetch(false)
  const one = client(full)
  expect(await network.until(() => one.state.bytes > 5 * pieceLength)).toBe(true)
  const other = client(full)
  expect(await network.until(() => one.state.over && other.state.over)).toBe(true)
  expect([one.right(), other.right(), full.source.sent]).toEqual([true, true, 0])
}, 30_000)

test('a client that goes away half way leaves nothing behind', async () => {
  const { whole, full } = nodes(1)
  await filled(whole)
  const { state, abort } = client(full)
  expect(await network.until(() => state.bytes > 5 * pieceLength)).toBe(true)
  abort.abort()
  expect(await network.until(() => state.over, 1000)).toBe(true)
  expect(full.source.sent).toBe(0)
  expect(await network.until(() => whole[0]!.seeder.audience(blob.digest).size === 0, 1000)).toBe(true)
}, 30_000)

test('the source gives the rest when all that have it are gone', async () => {
  const { whole, full } = nodes(2)
  await filled(whole)
  const { state, right, came } = client(full)
  expect(await network.until(() => state.bytes > 10 * pieceLength)).toBe(true)
  for (const node of whole) network.die(node)
  expect(await network.until(() => state.over, 30_000)).toBe(true)
  expect([state.failure, right()]).toEqual([undefined, true])
  expect(full.source.sent).toBeWithin(1, blob.bytes.length - 9 * pieceLength)
  expect(came().swarm + came().source).toBe(blob.bytes.length)
}, 30_000)

test('where nobody else has it the source is asked at once', async () => {
  const { full } = nodes(1)
  const { state, right } = client(full)
  expect(await network.until(() => state.over, 1500)).toBe(true)
  expect([state.failure, right()]).toEqual([undefined, true])
}, 30_000)

test('a node that sends wrong bytes is banned, and another is asked', async () => {
  const { whole, full } = nodes(2)
  await filled(whole)
  // It stated the digests itself, or passed them on.
  whole[0]!.forge = (_, bytes) => bytes.map((byte) => byte ^ 1)
  const { state, right } = client(full)
  expect(await network.until(() => state.over)).toBe(true)
  expect([state.failure, right()]).toEqual([undefined, true])
  expect([...full.store.bans()].map(({ node }) => node)).toEqual([whole[0]!.id])
}, 30_000)

test('wrong bytes that others had from a wrong source do not reach their end, and who stated them is not believed again', async () => {
  const { whole, full } = nodes(1, { checkWhole: false })
  const wrong = blob.bytes.slice()
  wrong[5]! ^= 1
  whole[0]!.source.answer = (_, start) => ({
    size: wrong.length,
    mediaType: 'a/b',
    body: (async function* () {
      yield wrong.subarray(start)
    })(),
  })
  await filled(whole)
  const first = client(full)
  expect(await network.until(() => first.state.over)).toBe(true)
  expect(first.state.failure?.code).toBe('corrupt')
  expect(first.state.bytes).toBeLessThan(blob.bytes.length - pieceLength / 2)
  const second = client(full)
  expect(await network.until(() => second.state.over)).toBe(true)
  expect([second.state.failure, second.right()]).toEqual([undefined, true])
}, 30_000)
