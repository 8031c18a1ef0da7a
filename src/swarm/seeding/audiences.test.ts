import { beforeEach, expect, test } from 'bun:test'
import { FakeClock } from '../../../test/fakes/clock.ts'
import { FakeSession } from '../../../test/fakes/session.ts'
import { digestOf } from '../../oci/digest.ts'
import { Bitmap } from '../../piece/bitmap.ts'
import { layoutOf } from '../../piece/layout.ts'
import { Metainfo } from '../../piece/metainfo.ts'
import type { Blob, BlobStore } from '../../store/blob-store.ts'
import type { Frame } from '../../wire/messages.ts'
import { Audiences } from './audiences.ts'
import { Seeder } from './seeder.ts'

const MiB = 1024 * 1024
const digest = digestOf(Uint8Array.of(1))
const layout = layoutOf(100 * 1024 * MiB)

/** Takes what it is sent when the test says so. */
class SlowSession extends FakeSession {
  most = 0
  override send(frame: Frame): void {
    super.send(frame)
    this.backlog += JSON.stringify(frame).length
    this.most = Math.max(this.most, this.backlog)
  }
}

let blob: Blob
const state = (piece: number) => {
  const digests = new Uint8Array(32).fill(piece)
  blob.metainfo.add({ first: piece, digests, signer: 'author', signature: new Uint8Array(64) })
}
const store = { find: () => blob, onGone() {} } as unknown as BlobStore

/** As a source leaves it that brings a piece in the time in which statements are gathered. */
beforeEach(() => {
  const metainfo = new Metainfo(digest, layout)
  blob = {
    digest,
    size: layout.size,
    layout,
    kind: 'blob',
    metainfo,
    have: new Bitmap(layout.count),
  } as unknown as Blob
  for (let piece = 0; piece < layout.count; piece++) state(piece)
})

test('more statements than a session takes at once are told in portions, and the state after them', () => {
  const audiences = new Audiences({ store, feeding: () => true })
  const [slow, quick] = [new SlowSession('slow'), new SlowSession('quick')]
  for (const session of [slow, quick]) audiences.want(session, digest)
  audiences.publish()
  let rounds = 0
  while (quick.all('state').length === 0 && rounds++ < 1000) {
    quick.backlog = 0
    audiences.publish()
  }
  const all = Array.from({ length: layout.count }, (_, piece) => piece)
  expect(quick.all('meta').map(({ first }) => first)).toEqual(all)
  expect(quick.sent.at(-1)?.t).toBe('state')
  expect([slow, quick].map(({ most }) => most < 1.1 * MiB)).toEqual([true, true])
  expect([slow.all('meta').length < 4000, slow.all('state'), audiences.news]).toEqual([true, [], true])
})

test('who has room again is told the rest with nobody asking for it, and all that came meanwhile', () => {
  const clock = new FakeClock()
  const seeder = new Seeder({ store, clock, feeding: () => true })
  const session = new SlowSession('ann')
  seeder.want(session, digest)
  clock.advance(1_000)
  expect([session.most < 1.1 * MiB, session.all('state')]).toEqual([true, []])
  blob.have.set(7)
  seeder.stored(digest, 7)
  for (let i = 0; i < 50; i++) {
    session.backlog = 0
    clock.advance(100)
  }
  const [told] = session.all('state')
  expect([...new Bitmap(layout.count, Uint8Array.fromBase64(told!.have)).indexes()]).toEqual([7])
  expect([session.all('meta').length, session.all('state').length, session.all('have').length]).toEqual([
    layout.count,
    1,
    0,
  ])
  expect(clock.pending).toBe(0)
  seeder.close()
})

test('who was told all and does not read on is told what came in a state, once it reads', () => {
  const audiences = new Audiences({ store, feeding: () => true })
  const session = new SlowSession('ann')
  blob = { ...blob, metainfo: new Metainfo(digest, layout) }
  audiences.want(session, digest)
  expect(session.take().map(({ t }) => t)).toEqual(['state'])
  session.backlog = 2 * MiB
  state(3)
  blob.have.set(3)
  audiences.stored(digest, 3)
  audiences.publish()
  expect(session.take()).toEqual([])
  session.backlog = 0
  audiences.publish()
  expect(session.take().map(({ t }) => t)).toEqual(['meta', 'state'])
  state(4)
  audiences.stored(digest, 4)
  audiences.publish()
  expect(session.take().map(({ t }) => t)).toEqual(['meta', 'have'])
  expect(audiences.news).toBe(false)
})
