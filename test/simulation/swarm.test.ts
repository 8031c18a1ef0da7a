/** Whole swarms in one process: real nodes over a network of promises, in time that is moved by hand. */
import { afterEach, describe, expect, test } from 'bun:test'
import { Failure } from '../../src/failure.ts'
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

const pieces = 12

describe('one cold blob', () => {
  test.each([1, 2, 3])('that eight nodes want at once leaves the source once (seed %d)', async (seed) => {
    const network = networkOf({ nodes: 8, seed })
    const { location, digest, bytes } = network.blob(pieces)
    for (const node of network.nodes.slice(1)) node.fetch(location)
    expect(await network.until(() => network.nodes.every((node) => node.complete(digest)))).toBe(true)
    expect(network.sourceBytes).toBe(bytes.length)
    expect(network.nodes.filter((node) => node.source.opened > 0).map(({ id }) => id)).toEqual([network.nodes[0]!.id])
  })

  test('comes to readers in order, and its end only when the whole digest was verified', async () => {
    const network = networkOf({ nodes: 5 })
    const { location, digest, bytes } = network.blob(pieces)
    const readers = network.nodes.slice(1).map((node) => ({ node, reader: node.reader(location) }))
    const finished = await network.until(() => {
      for (const { node, reader } of readers) {
        const length = reader.read.reduce((sum, part) => sum + part.length, 0)
        if (length === bytes.length) expect(node.complete(digest)).toBe(true)
      }
      return readers.every(({ reader }) => reader.over)
    })
    expect(finished).toBe(true)
    for (const { reader } of readers) expect(Buffer.concat(reader.read).equals(bytes)).toBe(true)
  })

  test('is read while it arrives, long before it is whole', async () => {
    const network = networkOf({ nodes: 3 })
    const { location, digest } = network.blob(64)
    network.nodes[0]!.source.gate = () => new Promise((resolve) => network.clock.after(20, resolve))
    const reader = network.nodes[1]!.reader(location)
    expect(await network.until(() => reader.read.length > 3)).toBe(true)
    expect(network.nodes[1]!.store.find(digest)!.have.count).toBeLessThan(32)
  })

  test('is sent to the others once by the node that reads the source, give or take', async () => {
    const network = networkOf({ nodes: 8 })
    const { location, digest } = network.blob(64)
    for (const node of network.nodes.slice(1)) node.fetch(location)
    const [seed] = network.nodes
    expect(await network.until(() => network.nodes.every((node) => node.complete(digest)))).toBe(true)
    const fromSeed = network.nodes.slice(1).length
    const sent = seed!.seeder.sending().reduce((sum, { meter }) => sum + meter.total, 0)
    expect(sent / (64 * pieceLength)).toBeLessThan(fromSeed / 2)
  }, 30_000)
})

describe('what is on the disk already', () => {
  test('is not fetched again after a restart', async () => {
    const network = networkOf({ nodes: 3 })
    const { location, digest, bytes } = network.blob(pieces)
    const [, first, second] = network.nodes
    first!.fetch(location)
    expect(await network.until(() => first!.complete(digest))).toBe(true)
    const blob = second!.store.create({ digest, size: bytes.length, kind: 'blob' })
    for (const piece of [0, 3, 4, 7]) {
      await blob.write(piece, bytes.subarray(piece * pieceLength, (piece + 1) * pieceLength))
    }
    const transfer = second!.fetch(location)
    expect(await network.until(() => second!.complete(digest))).toBe(true)
    expect(transfer.bytes).toEqual({ swarm: bytes.length - 4 * pieceLength, source: 0 })
  })

  test('in whole but unverified is verified, and others get it although nobody had stated its pieces', async () => {
    const network = networkOf({ nodes: 3, options: (i) => (i === 0 ? { modes: ['scheduler'] } : {}) })
    const { location, digest, bytes } = network.blob(pieces)
    const [, holder, child] = network.nodes
    for (const node of network.nodes) node.source.gate = () => new Promise(() => {})
    const blob = holder!.store.create({ digest, size: bytes.length, kind: 'blob' })
    for (let piece = 0; piece < pieces; piece++) {
      await blob.write(piece, bytes.subarray(piece * pieceLength, (piece + 1) * pieceLength))
    }
    network.announce(holder!, [digest])
    const transfer = child!.fetch(location, bytes.length)
    expect(await network.until(() => transfer.describe().parents.length > 0)).toBe(true)
    await network.clock.run(100)
    holder!.fetch(location)
    expect(await network.until(() => child!.complete(digest))).toBe(true)
    expect(network.sourceBytes).toBe(0)
  })
})

describe('a node that lies', () => {
  test('about bytes is banned by those it lied to, and everyone has the blob in the end', async () => {
    const network = networkOf({ nodes: 6 })
    const { location, digest, bytes } = network.blob(pieces)
    const liar = network.nodes[1]!
    liar.forge = (_, piece) => piece.map((byte) => byte ^ 0xff)
    for (const node of network.nodes.slice(1)) node.fetch(location)
    expect(await network.until(() => network.nodes.every((node) => node.complete(digest)))).toBe(true)
    for (const node of network.nodes) {
      expect(Buffer.compare(await node.store.find(digest)!.read({ start: 0, end: bytes.length }), bytes)).toBe(0)
      for (const { node: banned } of node.store.bans()) expect(banned).toBe(liar.id)
    }
    expect(network.nodes.some((node) => node.bans.has(liar.id))).toBe(true)
  })

  test('about what the pieces are ends in an error, nobody is served the lie, and once they know better they ban it alone', async () => {
    const network = networkOf({ nodes: 5, options: (i) => (i === 0 ? { checkWhole: false } : {}) })
    const { location, digest, bytes } = network.blob(pieces)
    const liar = network.nodes[0]!
    const wrong = bytes.slice()
    wrong.fill(0, 5 * pieceLength, 6 * pieceLength)
    const stat = { size: bytes.length, mediaType: 'application/octet-stream' }
    liar.source.answer = (_, start) => ({
      ...stat,
      body: (async function* () {
        yield wrong.subarray(start)
      })(),
    })
    const readers = network.nodes.slice(1).map((node) => node.reader(location))
    const ends = network.nodes.slice(1).map((node) => node.fetch(location).finished.catch((error) => error))
    expect(await network.until(() => readers.every(({ over }) => over))).toBe(true)
    for (const end of ends) expect(Failure.from(await end).code).toBe('corrupt')
    for (const reader of readers) {
      expect(reader.outcome).toBeInstanceOf(Failure)
      expect(Buffer.concat(reader.read).length).toBeLessThan(bytes.length)
    }
    for (const node of network.nodes.slice(1)) {
      expect(node.complete(digest)).toBe(false)
      expect([...node.store.bans()]).toEqual([])
    }
    const again = network.nodes.slice(1).map((node) => node.reader(location))
    expect(await network.until(() => again.every(({ over }) => over), 60_000)).toBe(true)
    for (const reader of again) expect(Buffer.concat(reader.read).equals(bytes)).toBe(true)
    for (const node of network.nodes.slice(1)) {
      for (const { node: banned } of node.store.bans()) expect(banned).toBe(liar.id)
    }
    expect(network.nodes.some((node) => node.bans.has(liar.id))).toBe(true)
  })

  test('is told from one whose source is broken: that takes its word back, and nobody is banned', async () => {
    const network = networkOf({ nodes: 5 })
    const { location, digest, bytes } = network.blob(pieces)
    const wrong = bytes.slice()
    wrong.fill(0, 5 * pieceLength, 6 * pieceLength)
    const [fetcher] = network.nodes
    fetcher!.source.answer = (_, start) => ({
      size: bytes.length,
      mediaType: 'application/octet-stream',
      body: (async function* () {
        yield wrong.subarray(start)
      })(),
    })
    const readers = network.nodes.slice(1).map((node) => node.reader(location))
    expect(await network.until(() => readers.every(({ over }) => over), 60_000)).toBe(true)
    fetcher!.source.answer = undefined
    const again = network.nodes.slice(1).map((node) => node.reader(location))
    expect(await network.until(() => again.every(({ over }) => over), 60_000)).toBe(true)
    for (const reader of again) expect(Buffer.concat(reader.read).equals(bytes)).toBe(true)
    expect(network.nodes.slice(1).every((node) => node.complete(digest))).toBe(true)
    for (const node of network.nodes) expect([...node.store.bans()]).toEqual([])
  })

  test('is not believed any more, and pieces that it alone vouches for are read from the source', async () => {
    const network = networkOf({ nodes: 3 })
    const { location, digest, bytes } = network.blob(pieces)
    const [author, holder, node] = network.nodes
    holder!.fetch(location)
    expect(await network.until(() => holder!.complete(digest) && author!.complete(digest))).toBe(true)
    node!.bans.add(author!.id, 'it lied about something else')
    const transfer = node!.fetch(location, bytes.length)
    expect(await network.until(() => node!.complete(digest))).toBe(true)
    expect(transfer.bytes).toEqual({ swarm: 0, source: bytes.length })
  })

  test.each([
    { has: 'it alone has the blob', holders: 1 },
    { has: 'others have the blob from it', holders: 4 },
  ])(
    'or is thought to is not waited for: $has, and who does not believe it reads the source soon',
    async ({ holders }) => {
      const network = networkOf({ nodes: 5 })
      const { location, digest, bytes } = network.blob(pieces)
      const [author] = network.nodes
      const others = network.nodes.slice(0, holders)
      for (const node of others) node.fetch(location)
      expect(await network.until(() => others.every((node) => node.complete(digest)))).toBe(true)
      await network.clock.run(1000)
      const node = network.nodes[4]!
      node.bans.doubts.raise(author!.store.find(digest)!.metainfo, [author!.id], () => false)
      const reader = node.reader(location)
      expect(await network.until(() => reader.over, 8000)).toBe(true)
      expect(Buffer.concat(reader.read).equals(bytes)).toBe(true)
      expect(network.sourceBytes).toBe(2 * bytes.length)
    },
  )

  test('about bytes and says nothing of digests is banned as well, by whoever has the blob then', async () => {
    const network = networkOf({ nodes: 6 })
    const { location, digest } = network.blob(pieces)
    const liar = network.nodes[1]!
    liar.mute = true
    liar.forge = (_, piece) => piece.map((byte) => byte ^ 0xff)
    for (const node of network.nodes.slice(1)) node.fetch(location)
    expect(await network.until(() => network.nodes.every((node) => node.complete(digest)))).toBe(true)
    const banned = network.nodes.flatMap((node) => [...node.store.bans()].map((ban) => ban.node))
    expect(banned.length).toBeGreaterThan(0)
    expect(new Set(banned)).toEqual(new Set([liar.id]))
  })

  test('by stating digests late, as a busy host does, is not replaced within seconds', async () => {
    const network = networkOf({ nodes: 3 })
    const { location, digest } = network.blob(pieces)
    const [busy, , node] = network.nodes
    busy!.mute = true
    const reader = node!.reader(location)
    expect(await network.until(() => node!.store.find(digest) !== undefined)).toBe(true)
    await network.clock.run(4000)
    expect(network.nodes.slice(1).map(({ source }) => source.sent)).toEqual([0, 0])
    expect(await network.until(() => reader.over, 10_000)).toBe(true)
  })

  test.each([
    { what: 'has all of the blob', whole: true },
    { what: 'reads the blob from the source', whole: false },
  ])('by keeping digests to itself is not waited for for long: it $what', async ({ whole }) => {
    const network = networkOf({ nodes: 3 })
    const { location, digest, bytes } = network.blob(pieces)
    const [mute, , node] = network.nodes
    mute!.mute = true
    if (whole) {
      mute!.fetch(location)
      expect(await network.until(() => mute!.complete(digest))).toBe(true)
      await network.clock.run(1000)
    }
    const reader = node!.reader(location)
    expect(await network.until(() => reader.over, 10_000)).toBe(true)
    expect(Buffer.concat(reader.read).equals(bytes)).toBe(true)
    expect([...node!.store.bans()]).toEqual([])
  })

  test('about the size is found out by who asks the source, and the next attempt is right', async () => {
    const network = networkOf({ nodes: 3, options: (i) => (i === 0 ? { modes: ['scheduler'] } : {}) })
    const { location, digest } = network.blob(pieces)
    const [, liar, victim] = network.nodes
    liar!.store.create({ digest, size: 5 * pieceLength, kind: 'blob' })
    liar!.source.failure = new Failure('unavailable', 'the source is down')
    liar!.fetch(location)
    const first = victim!.reader(location)
    expect(await network.until(() => first.over)).toBe(true)
    expect(Failure.from(first.outcome).code).toBe('corrupt')
    // Nobody signs a size: it may have been told so itself.
    expect(victim!.bans.list()).toEqual([])
    const second = victim!.reader(location)
    expect(await network.until(() => second.over)).toBe(true)
    expect(second.outcome).toBeUndefined()
    expect(victim!.complete(digest)).toBe(true)
  })
})

describe('the node that reads the source', () => {
  test('vanishes in the middle, and another goes on where it stopped', async () => {
    const network = networkOf({
      nodes: 6,
      options: (i) => ({ modes: i === 0 ? ['scheduler'] : i < 3 ? ['seed', 'peer'] : ['peer'] }),
    })
    const { location, digest, bytes } = network.blob(48)
    for (const node of network.nodes) {
      node.source.gate = () => new Promise((resolve) => network.clock.after(8, resolve))
    }
    const peers = network.nodes.slice(3)
    for (const node of peers) node.fetch(location)
    expect(await network.until(() => peers.some((node) => (node.store.find(digest)?.have.count ?? 0) > 16))).toBe(true)
    const fetcher = network.nodes.find((node) => node.swarm.find(digest)?.feeding)!
    network.die(fetcher)
    expect(await network.until(() => peers.every((node) => node.complete(digest)))).toBe(true)
    // What had reached somebody was not read again, but for what was on its way.
    expect(network.sourceBytes).toBeLessThan(1.7 * bytes.length)
  })

  test.each(['denied', 'no-blob', 'unavailable'] as const)('is told %s: everybody hears so soon', async (code) => {
    const network = networkOf({ nodes: 5 })
    const { location } = network.blob(pieces)
    for (const node of network.nodes) node.source.failure = new Failure(code, `the source says ${code}`)
    const readers = network.nodes.slice(1).map((node) => node.reader(location))
    expect(await network.until(() => readers.every(({ over }) => over), 30_000)).toBe(true)
    for (const reader of readers) expect(Failure.from(reader.outcome).code).toBe(code)
    expect(network.nodes.every((node) => [...node.swarm.transfers()].length === 0)).toBe(true)
  })

  test('is denied, others are not: they get the blob, and do not all read the source', async () => {
    const network = networkOf({ nodes: 6 })
    const { location, digest, bytes } = network.blob(pieces)
    network.nodes[0]!.source.failure = new Failure('denied', 'who are you?')
    const peers = network.nodes.slice(1)
    for (const node of peers) node.fetch(location)
    expect(await network.until(() => peers.every((node) => node.complete(digest)))).toBe(true)
    expect(network.sourceBytes).toBeLessThan(2 * bytes.length)
  })
})

describe('a reader', () => {
  test('that goes away stops waiting at once, also for the last piece, and the others read on', async () => {
    const network = networkOf({ nodes: 3 })
    const { location, bytes } = network.blob(pieces)
    let open = () => {}
    const opened = new Promise<void>((resolve) => {
      open = resolve
    })
    network.nodes[0]!.source.gate = () => opened
    const [, node] = network.nodes
    const transfer = node!.fetch(location, bytes.length)
    const away = new AbortController()
    const first = node!.reader(location, away.signal)
    const stays = node!.reader(location)
    const last = transfer.piece(transfer.reader(), pieces - 1, away.signal).catch((error) => error)
    await network.clock.run(100)
    away.abort()
    await network.clock.run(10)
    expect(first.over).toBe(true)
    expect(Failure.from(first.outcome).code).toBe('cancelled')
    expect(Failure.from(await last).code).toBe('cancelled')
    open()
    expect(await network.until(() => stays.over)).toBe(true)
    expect(Buffer.concat(stays.read).equals(bytes)).toBe(true)
  })

  test('is the reason for a transfer: without any it ends after a while', async () => {
    const network = networkOf({ nodes: 3 })
    const { location } = network.blob(pieces)
    network.nodes[0]!.source.gate = () => new Promise(() => {})
    const [, node] = network.nodes
    node!.fetch(location)
    expect(await network.until(() => [...node!.swarm.transfers()].length === 0, 90_000)).toBe(true)
  })
})

test('a swarm that is over leaves no timers but those that always run', async () => {
  const network = networkOf({ nodes: 6 })
  const before = network.clock.pending
  const { location, digest } = network.blob(pieces)
  for (const node of network.nodes.slice(1)) node.fetch(location)
  expect(await network.until(() => network.nodes.every((node) => node.complete(digest)))).toBe(true)
  await network.clock.run(10_000)
  expect(network.clock.pending).toBe(before)
})
