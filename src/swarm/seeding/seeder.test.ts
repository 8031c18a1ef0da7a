import { afterEach, describe, expect, test } from 'bun:test'
import { FakeClock, settle } from '../../../test/fakes/clock.ts'
import { type MemoryBlob, MemoryStore } from '../../../test/fakes/memory-store.ts'
import { FakeSession } from '../../../test/fakes/session.ts'
import { Failure } from '../../failure.ts'
import { Meter } from '../../meter.ts'
import { digestOf } from '../../oci/digest.ts'
import { type Repository, repositoryOf } from '../../oci/reference.ts'
import { Bitmap } from '../../piece/bitmap.ts'
import { pieceBytes, pieceStart } from '../../piece/layout.ts'
import { pieceDigest } from '../../piece/metainfo.ts'
import { Bucket } from '../../rate.ts'
import { hearFrame } from '../../wire/messages.ts'
import type { PieceOnDisk, WantedPieces } from '../../wire/wire.ts'
import { signedSegments } from '../statements.ts'
import { Seeder, type SeederOptions } from './seeder.ts'

const bytes = new Uint8Array(6 * 256 * 1024).map((_, i) => (i * 7) >> 9)
const digest = digestOf(bytes)
const signer = { id: 'author', sign: () => new Uint8Array(64) }
const batchMs = 50

const rigs: Rig[] = []
afterEach(() => {
  for (const rig of rigs.splice(0)) rig.seeder.close()
})

/** A seeder over a store in memory, told of every change as a node would. */
class Rig {
  readonly clock = new FakeClock()
  readonly store = new MemoryStore({ clock: this.clock })
  feeding = false
  readonly seeder: Seeder

  constructor(options: Partial<SeederOptions> = {}) {
    const { store, clock } = this
    const tuning = { leastSlots: 2, mostSlots: 2, crowdSlots: 2, mostWaiting: 4 }
    this.seeder = new Seeder({ store, clock, tuning, feeding: () => this.feeding, batchMs, ...options })
    rigs.push(this)
  }
  begin(): MemoryBlob {
    const blob = this.store.create({ digest, size: bytes.length, kind: 'blob' })
    this.seeder.begun(blob)
    return blob
  }
  async add(...pieces: number[]): Promise<MemoryBlob> {
    const blob = this.store.find(digest) ?? this.begin()
    for (const piece of pieces) {
      const start = pieceStart(blob.layout, piece)
      const part = bytes.subarray(start, start + pieceBytes(blob.layout, piece))
      for (const segment of signedSegments(blob, [{ piece, digest: pieceDigest(part) }], signer)) blob.learn(segment)
      this.seeder.learned(digest)
      await blob.write(piece, part)
      this.seeder.stored(digest, piece)
    }
    return blob
  }
  want(id: string): FakeSession {
    const session = new FakeSession(id)
    this.seeder.want(session, digest)
    return session
  }
  offer(peer: string, wanted: WantedPieces = { pieces: [0] }): Offer {
    return new Offer(this.seeder, peer, wanted)
  }
}

class Offer {
  readonly controller = new AbortController()
  got: PieceOnDisk | undefined
  refused: string | undefined

  constructor(seeder: Seeder, peer: string, wanted: WantedPieces) {
    seeder.offer(digest, wanted, peer, this.controller.signal).then(
      (piece) => {
        this.got = piece
      },
      (error: unknown) => {
        this.refused = Failure.from(error).code
      },
    )
  }
}

describe('a session that wants a blob', () => {
  test('is told at once what is held, the digests before the pieces', async () => {
    const rig = new Rig()
    await rig.add(1, 4)
    const session = rig.want('ann')
    expect(session.sent.map(({ t }) => t)).toEqual(['meta', 'meta', 'state'])
    const [state] = session.all('state')
    expect([...new Bitmap(6, Uint8Array.fromBase64(state!.have)).indexes()]).toEqual([1, 4])
    expect(state).toMatchObject({ size: bytes.length, pieceLength: 256 * 1024, feeding: false })
  })

  test('that is not known yet is told as soon as its size is', async () => {
    const rig = new Rig()
    const session = rig.want('ann')
    rig.clock.advance(10 * batchMs)
    expect(session.sent).toEqual([])
    rig.feeding = true
    rig.begin()
    expect(session.all('state')).toMatchObject([{ feeding: true, size: bytes.length }])
  })

  test('is told of new pieces in batches, and of their digests before them', async () => {
    const rig = new Rig()
    rig.begin()
    const session = rig.want('ann')
    session.take()
    await rig.add(2, 5, 3)
    expect(session.sent).toEqual([])
    rig.clock.advance(batchMs)
    expect(session.sent.map(({ t }) => t)).toEqual(['meta', 'meta', 'meta', 'have'])
    expect(session.all('have')[0]!.pieces).toEqual([2, 5, 3])
    session.take()
    rig.clock.advance(10 * batchMs)
    expect(session.sent).toEqual([])
  })

  test('is told of private repositories that have the blob, in the state, and again when there is news of them', async () => {
    const owners: Repository[] = []
    const rig = new Rig({ owners: () => owners })
    const blob = await rig.add(1)
    const [plain] = rig.want('ann').all('state')
    expect(plain).not.toHaveProperty('private')
    for (let i = 0; i < 20; i++) owners.push(repositoryOf(`r${i}.example`, 'org/private'))
    const session = rig.want('bob')
    rig.seeder.begun(blob)
    const told = session.all('state').map((frame) => frame.private)
    expect(told).toEqual([owners.slice(0, 8), owners.slice(0, 8)])
    expect(hearFrame(JSON.stringify(session.all('state')[0]))).toBeDefined()
  })

  test('is sent each statement once', async () => {
    const rig = new Rig()
    await rig.add(0)
    const session = rig.want('ann')
    await rig.add(1)
    rig.clock.advance(batchMs)
    await rig.add(2)
    rig.clock.advance(batchMs)
    expect(session.all('meta').map(({ first }) => first)).toEqual([0, 1, 2])
  })

  test('is told that the blob is gone, with the reason, and then what is held when it comes back', async () => {
    const rig = new Rig()
    await rig.add(0)
    const session = rig.want('ann')
    session.take()
    rig.seeder.gone(digest, new Failure('denied', `${'no '.repeat(400)}`))
    const [gone] = session.all('gone')
    expect(gone!.code).toBe('denied')
    expect(gone!.message!.length).toBeLessThanOrEqual(500)
    session.take()
    rig.begin()
    expect(session.sent.map(({ t }) => t)).toEqual(['meta', 'state'])
  })

  test('is told when the store drops the blob', async () => {
    const rig = new Rig()
    await rig.add(0)
    const session = rig.want('ann')
    await rig.store.remove(digest)
    expect(session.all('gone').length).toBe(1)
  })

  test('hears nothing more once it does not want it, or is closed', async () => {
    const rig = new Rig()
    rig.begin()
    const [ann, bob, cat] = ['ann', 'bob', 'cat'].map((id) => rig.want(id))
    for (const session of [ann, bob, cat]) session!.take()
    rig.seeder.unwant(ann!, digest)
    rig.seeder.closed(bob!)
    await rig.add(0)
    rig.clock.advance(batchMs)
    expect([ann, bob, cat].map((session) => session!.all('have').length)).toEqual([0, 0, 1])
    expect([...rig.seeder.audience(digest)]).toEqual([cat!])
  })

  test('that is closed because it does not take what it is told is forgotten', async () => {
    const rig = new Rig()
    await rig.add(0)
    const session = rig.want('ann')
    await rig.add(1)
    // As a session ends whose other side does not read.
    session.send = () => rig.seeder.closed(session)
    rig.clock.advance(batchMs)
    expect([...rig.seeder.audience(digest)]).toEqual([])
    // What it was told is no longer held against it.
    const taken: string[] = []
    session.send = ({ t }) => void taken.push(t)
    rig.want('bob')
    rig.seeder.want(session, digest)
    expect(taken).toEqual(['meta', 'meta', 'state'])
  })

  test('may want many blobs, but not without end', () => {
    const rig = new Rig()
    const session = new FakeSession('ann')
    for (let i = 0; i < 4096; i++) rig.seeder.want(session, digestOf(new TextEncoder().encode(String(i))))
    expect(session.open).toBe(true)
    rig.seeder.want(session, digest)
    expect(session.closing).toContain('too many')
  })
})

describe('a piece', () => {
  test('is offered as a place in the file, and the blob is held until it is sent', async () => {
    const rig = new Rig()
    const blob = await rig.add(0, 1)
    const offer = rig.offer('ann', { pieces: [1] })
    await settle()
    expect(offer.got).toMatchObject({ piece: 1, path: blob.path, start: 256 * 1024, end: 512 * 1024 })
    expect(blob.held).toBe(true)
    offer.got!.done(true)
    expect(blob.held).toBe(false)
  })

  test('that is not here, of a blob that is or is not, is refused', async () => {
    const rig = new Rig()
    const before = rig.offer('ann')
    await rig.add(0)
    const after = rig.offer('ann', { pieces: [3, 99] })
    await settle()
    expect([before.refused, after.refused]).toEqual(['no-blob', 'no-blob'])
  })

  test('waits for a slot, which the child frees by saying that it got one', async () => {
    const rig = new Rig()
    await rig.add(0)
    const ann = rig.want('ann')
    const offers = ['ann', 'bob', 'cat'].map((peer) => rig.offer(peer))
    await settle()
    expect(offers.map(({ got }) => got?.piece)).toEqual([0, 0, undefined])
    expect(rig.seeder.uploads).toBe(3)
    rig.seeder.got(ann, digest, 0)
    await settle()
    expect(offers[2]!.got?.piece).toBe(0)
  })

  test('is taken for delivered when the child stays silent for long after it was sent', async () => {
    const rig = new Rig()
    await rig.add(0)
    const offers = ['ann', 'bob', 'cat'].map((peer) => rig.offer(peer))
    await settle()
    offers[0]!.got!.done(true)
    await rig.clock.run(1900)
    expect(offers[2]!.got).toBeUndefined()
    await rig.clock.run(200)
    expect(offers[2]!.got?.piece).toBe(0)
  })

  test('that a child does not take in time frees its slot, and is held until the connection is over', async () => {
    const rig = new Rig()
    const blob = await rig.add(0, 1)
    const slow = [rig.offer('ann'), rig.offer('bob')]
    await settle()
    const next = rig.offer('eve')
    await rig.clock.run(2_900)
    expect(next.got).toBeUndefined()
    await rig.clock.run(20_000)
    const later = rig.offer('eve')
    await settle()
    expect(later.got).toMatchObject({ piece: 0 })
    expect(blob.held).toBe(true)
    for (const { got } of slow) got!.done(false)
    later.got!.done(true)
    expect(blob.held).toBe(false)
  })

  test('that the child drops, or no longer wants, frees its slot at once', async () => {
    const rig = new Rig()
    await rig.add(0, 1, 2, 3)
    const [a, b] = [rig.want('a'), rig.want('b')]
    const sent = [rig.offer('a', { pieces: [0] }), rig.offer('b', { pieces: [1] })]
    const waiting = [rig.offer('c', { pieces: [2] }), rig.offer('d', { pieces: [3] })]
    await settle()
    for (const { got } of sent) got?.done(true)
    expect(waiting.map(({ got }) => got?.piece)).toEqual([undefined, undefined])
    rig.seeder.got(a, digest, 0, true)
    await settle()
    expect(waiting.map(({ got }) => got?.piece)).toEqual([2, undefined])
    rig.seeder.unwant(b, digest)
    await settle()
    expect(waiting.map(({ got }) => got?.piece)).toEqual([2, 3])
  })
  test('that broke off frees its slot at once', async () => {
    const rig = new Rig()
    await rig.add(0)
    const offers = ['ann', 'bob', 'cat'].map((peer) => rig.offer(peer))
    await settle()
    offers[1]!.got!.done(false)
    await settle()
    expect(offers[2]!.got?.piece).toBe(0)
  })

  test('on its way twice to the same child, which gives up one of them, takes no slot when it is there', async () => {
    const rig = new Rig()
    await rig.add(0)
    const ann = rig.want('ann')
    const twice = [rig.offer('ann'), rig.offer('ann')]
    const next = [rig.offer('bob'), rig.offer('cat')]
    await settle()
    for (const { got } of twice) got!.done(true)
    expect(next.map(({ got }) => got?.piece)).toEqual([undefined, undefined])
    rig.seeder.got(ann, digest, 0, true)
    rig.seeder.got(ann, digest, 0)
    await settle()
    expect(next.map(({ got }) => got?.piece)).toEqual([0, 0])
  })

  test('on its way twice to the same child goes on when the first of the two breaks off', async () => {
    const rig = new Rig()
    await rig.add(0)
    const ann = rig.want('ann')
    const [first, second] = [rig.offer('ann'), rig.offer('ann')]
    await settle()
    const third = rig.offer('bob')
    const fourth = rig.offer('cat')
    first.got!.done(false)
    await settle()
    expect([third.got?.piece, fourth.got]).toEqual([0, undefined])
    second.got!.done(true)
    rig.seeder.got(ann, digest, 0)
    await settle()
    expect(fourth.got?.piece).toBe(0)
  })

  test('is not waited for by who went away', async () => {
    const rig = new Rig()
    await rig.add(0)
    const ann = rig.want('ann')
    const offers = ['ann', 'bob', 'cat', 'dan'].map((peer) => rig.offer(peer))
    await settle()
    offers[2]!.controller.abort()
    await settle()
    expect(offers[2]!.refused).toBe('too-many')
    rig.seeder.got(ann, digest, 0)
    await settle()
    expect(offers[3]!.got?.piece).toBe(0)
  })

  test('is not offered to who has gone before asking', async () => {
    const rig = new Rig()
    await rig.add(0)
    const aborted = rig.seeder.offer(digest, { pieces: [0] }, 'ann', AbortSignal.abort())
    await expect(aborted).rejects.toMatchObject({ code: 'no-blob' })
    expect(rig.seeder.uploads).toBe(0)
  })

  test('that does not come within the patience of a waiting child makes it try elsewhere', async () => {
    const rig = new Rig()
    const blob = await rig.add(0)
    const nothing = new Uint8Array([0b1])
    const offer = rig.offer('ann', { unwanted: nothing, from: 0 })
    await rig.clock.run(2900)
    expect(offer.refused).toBeUndefined()
    await rig.clock.run(300)
    expect(offer.refused).toBe('too-many')
    expect(rig.seeder.uploads).toBe(0)
    expect(blob.held).toBe(false)
  })

  test('that comes while a child waits for anything goes to that child', async () => {
    const rig = new Rig()
    await rig.add(0)
    rig.want('ann')
    const offer = rig.offer('ann', { unwanted: new Uint8Array([0b1]), from: 0 })
    await settle()
    await rig.add(5)
    await settle()
    expect(offer.got?.piece).toBe(5)
  })

  test('cannot be waited for by more than the line holds', async () => {
    const rig = new Rig()
    await rig.add(0)
    const offers = Array.from({ length: 7 }, (_, i) => rig.offer(`child ${i}`))
    await settle()
    expect(offers.filter(({ refused }) => refused === 'too-many').length).toBe(1)
  })

  test('can be waited for by a child that comes when another fills the line: that one tries elsewhere', async () => {
    const rig = new Rig()
    await rig.add(0)
    const greedy = Array.from({ length: 20 }, () => rig.offer('greedy'))
    await settle()
    const ann = rig.offer('ann')
    await settle()
    expect(ann.refused).toBeUndefined()
    // Two are on their way to it, four waited, and the newest of these made room.
    expect(greedy.map(({ got, refused }) => (got ? 'sent' : (refused ?? 'waits')))).toEqual([
      ...['sent', 'sent', 'waits', 'waits', 'waits'],
      ...Array(15).fill('too-many'),
    ])
  })

  test('of a blob that left while the child waited is refused', async () => {
    const rig = new Rig()
    await rig.add(0)
    const ann = rig.want('ann')
    const offers = ['ann', 'bob', 'cat'].map((peer) => rig.offer(peer))
    await settle()
    for (const { got } of offers) got?.done(true)
    await rig.store.remove(digest)
    rig.seeder.got(ann, digest, 0)
    await rig.clock.run(3200)
    expect(offers[2]!.refused).toBeDefined()
    await rig.clock.run(2000)
    expect(rig.seeder.uploads).toBe(0)
  })
})

test('what is being sent is shown while it goes on, and forgotten soon after', async () => {
  const rig = new Rig()
  await rig.add(0)
  const offer = rig.offer('ann')
  await settle()
  expect(rig.seeder.sending()).toMatchObject([{ digest, to: 'ann' }])
  const [upload] = rig.seeder.sending()
  expect(upload!.meter.total).toBe(256 * 1024)
  offer.got!.done(true)
  await rig.clock.run(6000)
  expect(rig.seeder.sending()).toEqual([])
})

test('a closed seeder leaves no timer behind', async () => {
  const rig = new Rig()
  rig.seeder.close()
  expect(rig.clock.pending).toBe(0)
})

test('a draining seeder sends what is under way, and tells everyone else to go elsewhere', async () => {
  const rig = new Rig()
  await rig.add(0, 1, 2)
  const ann = rig.want('ann')
  const [first, second, waiting] = [0, 1, 2].map((piece) => rig.offer('ann', { pieces: [piece] }))
  await settle()
  let drained = false
  const draining = rig.seeder.drain(10_000).then(() => {
    drained = true
  })
  const late = rig.offer('bob')
  await settle()
  expect([first!.got?.piece, second!.got?.piece]).toEqual([0, 1])
  expect([waiting!.refused, late.refused]).toEqual(['too-many', 'too-many'])
  rig.seeder.got(ann, digest, 0)
  await rig.clock.run(200)
  expect(drained).toBe(false)
  rig.seeder.got(ann, digest, 1)
  await rig.clock.run(200)
  await draining
})

test('a drain does not wait for ever', async () => {
  const rig = new Rig()
  await rig.add(0)
  rig.want('ann')
  rig.offer('ann')
  await settle()
  const draining = rig.seeder.drain(1_000)
  await rig.clock.run(1_200)
  await draining
  expect(rig.seeder.uploads).toBe(1)
})

describe('a limited uplink', () => {
  const piece = 256 * 1024

  /** Four children, each of which asks again as soon as it has what it was sent, for so many seconds. */
  async function sendFor(seconds: number, bytesPerSecond: number) {
    const sent = new Meter(0)
    const rig = new Rig({
      limit: new Bucket(bytesPerSecond, 0),
      sent,
      tuning: { leastSlots: 2, mostSlots: 64, crowdSlots: 2, mostWaiting: 64 },
    })
    await rig.add(0, 1, 2, 3, 4, 5)
    let [longest, refused] = [0, 0]
    const child = async (peer: string) => {
      while (rig.clock.now() < seconds * 1000) {
        const askedAt = rig.clock.now()
        const session = new FakeSession(peer)
        try {
          const got = await rig.seeder.offer(digest, { pieces: [0] }, peer, new AbortController().signal)
          longest = Math.max(longest, rig.clock.now() - askedAt)
          got.done(true)
          rig.seeder.got(session, digest, got.piece)
        } catch {
          refused++
        }
      }
    }
    for (const peer of ['ann', 'bob', 'cat', 'dan']) void child(peer)
    await rig.clock.run(seconds * 1000)
    return { bytes: sent.total, longest, refused }
  }

  test('sends what its limit allows and no less, and nobody waits for longer than its turns take', async () => {
    for (const rate of [2 * piece, 16 * piece]) {
      const { bytes, longest, refused } = await sendFor(20, rate)
      expect(bytes / (20 * rate)).toBeGreaterThan(0.95)
      expect(bytes).toBeLessThanOrEqual(20.1 * rate + 2 * piece)
      expect(longest).toBeLessThanOrEqual((5 * 1000 * piece) / rate)
      expect(refused).toBe(0)
    }
  })

  test('decides at the last moment whose turn it is, so that who is in a hurry does not wait for who came earlier', async () => {
    const rig = new Rig({ limit: new Bucket(piece, 0) })
    await rig.add(0, 1)
    const first = rig.offer('ann')
    await settle()
    expect(first.got).toBeDefined()
    const idle = [0, 1].map((piece) => rig.offer('bob', { pieces: [piece], background: true }))
    await settle()
    const hurried = [0, 1].map((piece) => rig.offer('cat', { pieces: [piece] }))
    first.got!.done(false)
    for (let i = 0; i < 30; i++) {
      await rig.clock.run(100)
      for (const { got } of [...idle, ...hurried]) got?.done(false)
    }
    expect(hurried.map(({ got }) => got !== undefined)).toEqual([true, true])
    expect(idle.map(({ got }) => got !== undefined)).toEqual([true, false])
  })
})

describe('a blob that children ask for', () => {
  test('is wanted while one of them waits for it, and not when it is for the background', async () => {
    const rig = new Rig()
    await rig.add(0)
    rig.offer('ann', { pieces: [0], background: true })
    expect(rig.seeder.wanted(digest)).toBe(false)
    rig.offer('bob')
    expect(rig.seeder.wanted(digest)).toBe(true)
    await rig.clock.run(6000)
    expect(rig.seeder.wanted(digest)).toBe(false)
  })
})

describe('a piece that was not looked at for long', () => {
  test('is looked at before it is handed out, and then for a while not again', async () => {
    const rig = new Rig()
    const blob = await rig.add(0, 1)
    rig.clock.advance(3600_000)
    expect(blob.sound(0)).toBe(false)
    const offer = rig.offer('ann')
    await settle()
    expect([offer.got?.piece, blob.sound(0), blob.sound(1)]).toEqual([0, true, false])
  })

  test('and has rotted is handed out to nobody, and its place in line is free for the next', async () => {
    const rig = new Rig()
    const blob = await rig.add(0, 1)
    blob.rot(0)
    const offers = ['ann', 'bob'].map((peer) => rig.offer(peer))
    await settle()
    expect(offers.map(({ got, refused }) => got ?? refused)).toEqual(['no-blob', 'no-blob'])
    expect([blob.have.has(0), rig.seeder.uploads]).toEqual([false, 0])
    const other = rig.offer('ann', { pieces: [1] })
    await settle()
    expect(other.got?.piece).toBe(1)
  })
})
