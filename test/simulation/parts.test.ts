/** Parts of blobs: real nodes over a network of promises, in time that is moved by hand. */
import { afterEach, describe, expect, test } from 'bun:test'
import { type PartReader, readPart } from '../fakes/part-reader.ts'
import { type NetworkInit, pieceLength, SwarmNetwork } from '../fakes/swarm-network.ts'

const networks: SwarmNetwork[] = []
afterEach(() => {
  for (const network of networks.splice(0)) network.close()
})

function networkOf(init: NetworkInit): SwarmNetwork {
  const network = new SwarmNetwork(init)
  networks.push(network)
  return network
}

const over = (readers: readonly PartReader[]) => () => readers.every((reader) => reader.over)
/** Bytes in the middle of a piece. */
const inside = (piece: number, bytes = 4096) => ({
  start: piece * pieceLength + 1000,
  end: piece * pieceLength + 1000 + bytes,
})

describe('a part of a blob that nobody has', () => {
  test('is all that is read of it, at the source and elsewhere', async () => {
    const network = networkOf({ nodes: 4 })
    const { location, bytes } = network.blob(40)
    const [seed, node] = network.nodes
    const span = inside(30)
    const reader = readPart(node!, location, span)
    expect(await network.until(over([reader]))).toBe(true)
    expect(reader.outcome).toBeUndefined()
    expect(Buffer.from(bytes.subarray(span.start, span.end)).equals(reader.bytes!)).toBe(true)
    await network.clock.run(20_000)
    expect(network.sourceBytes).toBe(pieceLength)
    expect([...seed!.store.find(location.digest)!.have.indexes()]).toEqual([30])
    expect([...node!.store.find(location.digest)!.have.indexes()]).toEqual([30])
  })

  test('may be its end, which nobody waits for the rest of', async () => {
    const network = networkOf({ nodes: 2 })
    const { location, bytes } = network.blob(40)
    const reader = readPart(network.nodes[1]!, location, { start: bytes.length - 50, end: bytes.length })
    expect(await network.until(over([reader]))).toBe(true)
    expect(Buffer.from(bytes.subarray(-50)).equals(reader.bytes!)).toBe(true)
    expect(network.sourceBytes).toBeLessThanOrEqual(pieceLength)
  })

  test('is read by a node on its own from the source, by range', async () => {
    const network = networkOf({ nodes: 1 })
    const { location, digest } = network.blob(40)
    const readers = [inside(5, pieceLength), inside(20)].map((span) => readPart(network.nodes[0]!, location, span))
    expect(await network.until(over(readers))).toBe(true)
    const { source } = network.nodes[0]!
    const ranges = source.calls.filter((call) => call.startsWith('open')).sort()
    expect(ranges).toEqual(
      [
        `open ${digest} ${20 * pieceLength}-${21 * pieceLength}`,
        `open ${digest} ${5 * pieceLength}-${7 * pieceLength}`,
      ].sort(),
    )
  })

  test('that many ask for leaves the source once, and nobody gets what nobody asked for', async () => {
    const network = networkOf({ nodes: 9 })
    const { location, bytes, digest } = network.blob(60)
    const pieces = [3, 11, 12, 30, 44, 59]
    const readers = network.nodes.slice(1).flatMap((node) =>
      pieces.map((piece) => {
        const span = { start: piece * pieceLength + 7, end: Math.min(bytes.length, piece * pieceLength + 9000) }
        return { span, reader: readPart(node, location, span) }
      }),
    )
    expect(await network.until(over(readers.map(({ reader }) => reader)))).toBe(true)
    for (const { span, reader } of readers) {
      expect(Buffer.from(bytes.subarray(span.start, span.end)).equals(reader.bytes!)).toBe(true)
    }
    expect(network.sourceBytes).toBe(5 * pieceLength + pieceLength - 1000)
    for (const node of network.nodes) expect([...node.store.find(digest)!.have.indexes()]).toEqual(pieces)
  })

  test('is given up when its reader leaves before it came', async () => {
    const network = networkOf({ nodes: 2 })
    const { location, digest } = network.blob(40)
    const [seed, node] = network.nodes
    seed!.source.gate = () => new Promise((resolve) => network.clock.after(400, resolve))
    const first = readPart(node!, location, inside(0))
    const leave = new AbortController()
    const readers = [10, 12, 14, 16, 18, 20].map((piece) =>
      readPart(node!, location, inside(piece), { signal: leave.signal }),
    )
    await network.until(() => seed!.source.sent > 0, 5000)
    leave.abort()
    expect(await network.until(over([first, ...readers]))).toBe(true)
    expect(first.bytes).toBeDefined()
    await network.clock.run(10_000)
    // Four were on their way.
    expect(seed!.store.find(digest)!.have.count).toBeLessThanOrEqual(4)
  })
})

describe('a part of a blob that is on its way', () => {
  test('comes before the rest, which goes on', async () => {
    const network = networkOf({ nodes: 3 })
    const { location, bytes, digest } = network.blob(120)
    const [seed, engine, lazy] = network.nodes
    seed!.source.gate = () => new Promise((resolve) => network.clock.after(20, resolve))
    engine!.fetch(location)
    expect(await network.until(() => (engine!.store.find(digest)?.have.count ?? 0) > 5)).toBe(true)
    const reader = readPart(lazy!, location, inside(100))
    expect(await network.until(over([reader]))).toBe(true)
    expect(seed!.store.find(digest)!.have.count).toBeLessThan(60)
    expect(lazy!.store.find(digest)!.have.count).toBe(1)
    expect(await network.until(() => engine!.complete(digest), 120_000)).toBe(true)
    // The source had been asked for all of it when the part was.
    expect(network.sourceBytes).toBeLessThan(bytes.length + pieceLength)
    expect(lazy!.store.find(digest)!.have.count).toBe(1)
  })

  test('comes after what somebody waits for, if nobody waits for it', async () => {
    const network = networkOf({ nodes: 2 })
    const { location, bytes, digest } = network.blob(400)
    const [seed, lazy] = network.nodes
    seed!.fetch(location)
    expect(await network.until(() => seed!.complete(digest), 120_000)).toBe(true)
    const span = { start: 0, end: 390 * pieceLength }
    const patient = readPart(lazy!, location, span, { patient: true })
    expect(await network.until(() => (lazy!.store.find(digest)?.have.count ?? 0) > 5)).toBe(true)
    const { have, layout } = lazy!.store.find(digest)!
    const readers = [380, 370, 360, 350].map((piece) => readPart(lazy!, location, inside(piece)))
    expect(await network.until(over(readers))).toBe(true)
    const before = have.count
    expect(await network.until(over([patient]))).toBe(true)
    expect(Buffer.from(bytes.subarray(span.start, span.end)).equals(patient.bytes!)).toBe(true)
    expect(await network.until(() => have.count >= span.end / layout.pieceLength)).toBe(true)
    expect(before).toBeLessThan(have.count / 3)
  })

  test('leaves the source once where all of the rest is wanted too, but not first', async () => {
    const network = networkOf({ nodes: 3 })
    const { location, bytes, digest } = network.blob(200)
    const [, lazy] = network.nodes
    const readers = [150, 20, 90, 91, 199].map((piece) => readPart(lazy!, location, inside(piece), { whole: true }))
    expect(await network.until(over(readers))).toBe(true)
    expect(lazy!.store.find(digest)!.have.count).toBeLessThan(100)
    expect(await network.until(() => lazy!.complete(digest), 120_000)).toBe(true)
    expect(network.sourceBytes).toBeLessThan(bytes.length + 2 * pieceLength)
  })

  test('turns into all of it when somebody wants that, on the node and at whoever reads the source', async () => {
    const network = networkOf({ nodes: 3 })
    const { location, bytes, digest } = network.blob(60)
    const [, lazy, engine] = network.nodes
    const reader = readPart(lazy!, location, inside(40))
    expect(await network.until(over([reader]))).toBe(true)
    await network.clock.run(5000)
    const whole = engine!.reader(location)
    expect(await network.until(() => whole.over)).toBe(true)
    expect(Buffer.concat(whole.read).equals(bytes)).toBe(true)
    expect(network.sourceBytes).toBe(bytes.length)
    expect(lazy!.store.find(digest)!.have.count).toBe(1)
    lazy!.fetch(location)
    expect(await network.until(() => lazy!.complete(digest))).toBe(true)
    expect(network.sourceBytes).toBe(bytes.length)
  })

  test('comes from the nodes that have it where the source is gone', async () => {
    const network = networkOf({ nodes: 5 })
    const { location, bytes } = network.blob(60)
    const [, one, two, three] = network.nodes
    const first = [readPart(one!, location, inside(10)), readPart(two!, location, inside(50))]
    expect(await network.until(over(first))).toBe(true)
    for (const node of network.nodes) node.source.gate = () => new Promise(() => {})
    const later = [inside(10), inside(50)].map((span) => ({ span, reader: readPart(three!, location, span) }))
    expect(await network.until(over(later.map(({ reader }) => reader)))).toBe(true)
    for (const { span, reader } of later) {
      expect(Buffer.from(bytes.subarray(span.start, span.end)).equals(reader.bytes!)).toBe(true)
    }
  })
})

test('a transfer of parts is quiet while nobody reads, ends after a while, and the next read begins another', async () => {
  const network = networkOf({ nodes: 3 })
  const { location, digest } = network.blob(60)
  const [seed, , node] = network.nodes
  expect(await network.until(over([readPart(node!, location, inside(10))]))).toBe(true)
  await network.clock.run(30_000)
  expect(node!.swarm.find(digest)).toBeDefined()
  expect(seed!.swarm.find(digest)).toBeDefined()
  await network.clock.run(100_000)
  expect(node!.swarm.find(digest)).toBeUndefined()
  await network.clock.run(100_000)
  expect(seed!.swarm.find(digest)).toBeUndefined()
  expect(network.sourceBytes).toBe(pieceLength)
  const again = readPart(node!, location, inside(20))
  expect(await network.until(over([again]))).toBe(true)
  expect(again.bytes).toBeDefined()
  expect(again.tookMs!).toBeLessThan(1000)
  expect(network.sourceBytes).toBe(2 * pieceLength)
}, 20_000)
