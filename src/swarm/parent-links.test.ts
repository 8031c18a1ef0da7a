/** What other nodes say about a blob, sense and nonsense, and what a node makes of it. */
import { afterEach, beforeEach, describe, expect, spyOn, test } from 'bun:test'
import { FakeSession } from '../../test/fakes/session.ts'
import { pieceLength, SwarmNetwork } from '../../test/fakes/swarm-network.ts'
import type { SwarmNode } from '../../test/fakes/swarm-node.ts'
import { repositoryOf } from '../oci/reference.ts'
import { Bitmap } from '../piece/bitmap.ts'
import { layoutOf } from '../piece/layout.ts'
import { pieceDigest, pieceDigestBytes, segmentPayload } from '../piece/metainfo.ts'
import type { FrameOf } from '../wire/messages.ts'
import type { Transfer } from './transfer.ts'

const pieces = 10
let network: SwarmNetwork
let node: SwarmNode
let transfer: Transfer
let blob: ReturnType<SwarmNetwork['blob']>

beforeEach(() => {
  network = new SwarmNetwork({ nodes: 2 })
  node = network.nodes[1]!
  blob = network.blob(pieces)
  for (const { source } of network.nodes) source.gate = () => new Promise(() => {})
})
afterEach(() => network.close())

/** A session with a node that says what the test makes it say; it wants the blob, so it is taken for a parent too. */
function puppet(id: string): FakeSession {
  const session = new FakeSession(id)
  node.swarm.frame(session, { t: 'want', digest: blob.digest })
  return session
}

test('a node of another site that wants the blob is served, and not taken for a parent', () => {
  const at = (zone: string) => {
    const session = new FakeSession(zone.replaceAll('/', '-'), zone)
    node.swarm.frame(session, { t: 'want', digest: blob.digest })
    return session.all('want').length
  }
  Object.assign(node.membership.self, { zone: 'eu/a/r1' })
  transfer = node.fetch(blob.location, blob.bytes.length)
  expect([at('eu/a/r2'), at('eu/b/r1')]).toEqual([1, 0])
})

function state(about: Partial<FrameOf<'state'>> = {}, ...held: number[]): FrameOf<'state'> {
  const have = new Bitmap(pieces)
  for (const piece of held) have.set(piece)
  const { digest, bytes } = blob
  const size = bytes.length
  return { t: 'state', digest, size, pieceLength, kind: 'blob', feeding: false, have: have.bytes.toBase64(), ...about }
}

function meta(signer: string, first: number, digests: Uint8Array, about: Partial<FrameOf<'meta'>> = {}) {
  const { digest, bytes } = blob
  const size = bytes.length
  const signature = network.sign(signer, segmentPayload(digest, layoutOf(size), first, digests)).toBase64()
  return { t: 'meta', digest, size, first, digests: digests.toBase64(), signer, signature, ...about } as const
}

function digestsOf(first: number, count: number): Uint8Array {
  const digests = new Uint8Array(count * pieceDigestBytes)
  for (let i = 0; i < count; i++) {
    const start = (first + i) * pieceLength
    digests.set(pieceDigest(blob.bytes.subarray(start, start + pieceLength)), i * pieceDigestBytes)
  }
  return digests
}

const parents = () => transfer.describe().parents.map(({ id }) => id)
const known = () => [...node.store.find(blob.digest)!.metainfo.known.indexes()]

describe('a parent', () => {
  beforeEach(() => {
    transfer = node.fetch(blob.location, blob.bytes.length)
  })

  test('that wants the blob is asked for it', () => {
    const session = puppet('ann')
    expect(session.all('want').length).toBe(1)
    expect(parents()).toContain('ann')
  })

  test.each([
    ['another size', { size: 5 }],
    ['another piece length', { pieceLength: 1024 }],
  ])('that says %s is left, and the transfer goes on', (_, lie) => {
    const session = puppet('ann')
    node.swarm.frame(session, state(lie))
    expect(parents()).not.toContain('ann')
    expect(session.all('unwant').length).toBe(1)
    expect([...node.swarm.transfers()]).toEqual([transfer])
  })

  test('says which private repositories have it before any piece of it counts; an older one does not say', () => {
    const told: unknown[] = []
    node.owned = (digest, repositories) => {
      const bob = transfer.describe().parents.find(({ id }) => id === 'bob')!
      told.push([digest, repositories, bob.inFlight])
    }
    node.swarm.frame(puppet('ann'), state({}, 1))
    const repositories = [repositoryOf('corp.example', 'org/private')]
    node.swarm.frame(puppet('bob'), state({ private: repositories }, 2))
    expect(told).toEqual([[blob.digest, repositories, 0]])
  })

  test('that tells of pieces before it told its state is not believed yet', () => {
    const session = puppet('ann')
    node.swarm.frame(session, { t: 'have', digest: blob.digest, pieces: [1, 2] })
    node.swarm.frame(session, meta('ann', 0, digestsOf(0, 4)))
    node.swarm.frame(session, state({}, 3))
    expect(transfer.describe().parents.find(({ id }) => id === 'ann')!.inFlight).toBe(1)
  })

  test.each([
    ['too short', new Uint8Array(0)],
    ['too long', new Uint8Array(4000).fill(0xff)],
  ])('may send a bitmap that is %s: what it does not cover is missing, what is beyond is nothing', (_, bits) => {
    const session = puppet('ann')
    node.swarm.frame(session, state({ have: bits.toBase64() }))
    node.swarm.frame(session, { t: 'have', digest: blob.digest, pieces: [0, pieces, 0xff_ffff] })
    expect(parents()).toContain('ann')
  })

  test('may tell its state twice', () => {
    const session = puppet('ann')
    for (const held of [1, 2]) node.swarm.frame(session, state({}, held))
    expect(parents().filter((id) => id === 'ann')).toEqual(['ann'])
  })

  test('that no longer holds the blob is left and not banned', () => {
    const session = puppet('ann')
    node.swarm.frame(session, state({}, 1))
    node.swarm.frame(session, { t: 'gone', digest: blob.digest, code: 'no such code', message: 'whatever' })
    expect(parents()).not.toContain('ann')
    expect(node.bans.has('ann')).toBe(false)
  })

  test('whose session closes is left', () => {
    const session = puppet('ann')
    node.swarm.closed(session, 'gone')
    expect(parents()).not.toContain('ann')
    expect(node.seeder.audience(blob.digest).has(session)).toBe(false)
  })

  test('over another session than the one it is known by has no say', () => {
    puppet('ann')
    node.swarm.frame(new FakeSession('ann'), { t: 'gone', digest: blob.digest })
    expect(parents()).toContain('ann')
  })

  test('is one of so many at most', () => {
    for (let i = 0; i < 60; i++) puppet(`child${i}`)
    expect(parents().length).toBe(24)
  })
})

describe('a statement', () => {
  beforeEach(() => {
    transfer = node.fetch(blob.location, blob.bytes.length)
  })

  test('is believed by its signature, whoever passes it on', () => {
    node.swarm.frame(puppet('ann'), meta('author', 2, digestsOf(2, 3)))
    expect(known()).toEqual([2, 3, 4])
  })

  test('with a false signature gets who passed it on banned, not who is said to have signed', () => {
    const session = puppet('ann')
    const { signature } = meta('ann', 0, digestsOf(0, 1))
    node.swarm.frame(session, meta('author', 0, digestsOf(0, 1), { signature }))
    expect(known()).toEqual([])
    expect([node.bans.has('ann'), node.bans.has('author')]).toEqual([true, false])
    node.swarm.frame(session, meta('ann', 0, digestsOf(0, 1)))
    expect(session.open).toBe(false)
  })

  test.each([
    ['past the end', pieces - 1, digestsOfNothing(2)],
    ['of half a digest', 0, digestsOfNothing(1).subarray(0, 17)],
  ])('%s gets its sender left', (_, first, digests) => {
    const session = puppet('ann')
    node.swarm.frame(session, meta('ann', first, digests))
    expect(known()).toEqual([])
    expect(parents()).not.toContain('ann')
  })

  test('that contradicts an earlier one is not believed, its sender is left, and nobody is banned', () => {
    node.swarm.frame(puppet('ann'), meta('author', 0, digestsOf(0, 2)))
    node.swarm.frame(puppet('bob'), meta('other', 1, digestsOfNothing(3)))
    expect(known()).toEqual([0, 1])
    expect(parents()).toContain('ann')
    expect(parents()).not.toContain('bob')
    expect([...node.store.bans()]).toEqual([])
  })

  test('by a banned node is passed over', () => {
    node.bans.add('author', 'it lied')
    node.swarm.frame(puppet('ann'), meta('author', 0, digestsOf(0, 2)))
    expect(known()).toEqual([])
    expect(parents()).toContain('ann')
  })

  test('that says what is known already is not worth the check of its signature', () => {
    const [all, some, more] = [digestsOf(0, 3), digestsOf(1, 2), digestsOf(2, 2)]
    const frames = [meta('author', 0, all), meta('author', 0, all), meta('author', 1, some), meta('author', 2, more)]
    // The fake verifies by signing again.
    const verify = spyOn(network, 'sign')
    const checked = frames.map((frame, i) => {
      node.swarm.frame(puppet(`node-${i}`), frame)
      return verify.mock.calls.length
    })
    expect(checked).toEqual([1, 1, 1, 2])
  })

  test('is kept once, however often it is sent', () => {
    const session = puppet('ann')
    for (let i = 0; i < 50; i++) node.swarm.frame(session, meta('ann', 0, digestsOf(0, 4)))
    expect(node.store.find(blob.digest)!.metainfo.segments.length).toBe(1)
  })
})

test('a node whose right bytes contradict the lie of a third is not banned; the lie ends with the transfer', async () => {
  const [seed] = network.nodes
  for (const { source } of network.nodes) source.gate = () => {}
  transfer = node.fetch(blob.location, blob.bytes.length)
  const liar = puppet('liar')
  node.swarm.frame(liar, meta('liar', 0, digestsOfNothing(pieces)))
  const over = transfer.finished.catch((error) => error)
  expect(await network.until(() => node.swarm.find(blob.digest) === undefined)).toBe(true)
  expect(await over).toMatchObject({ code: 'corrupt' })
  expect(node.bans.list()).toEqual([])
  expect([node.bans.doubts.distrusts('liar', blob.digest), node.bans.doubts.distrusts('honest', blob.digest)]).toEqual([
    true,
    false,
  ])
  expect(seed!.bans.has(node.id)).toBe(false)
  // The seed had read the pieces itself when the lie reached it.
  expect(seed!.store.find(blob.digest)!.metainfo.segments.map(({ signer }) => signer)).not.toContain('liar')
  node.fetch(blob.location)
  expect(await network.until(() => node.complete(blob.digest))).toBe(true)
})

function digestsOfNothing(count: number): Uint8Array {
  return new Uint8Array(count * pieceDigestBytes).fill(7)
}
