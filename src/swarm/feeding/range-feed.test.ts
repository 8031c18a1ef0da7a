import { beforeEach, expect, test } from 'bun:test'
import { bytesOf } from '../../../test/fakes/bytes.ts'
import { FakeClock, settle } from '../../../test/fakes/clock.ts'
import { MemoryStore } from '../../../test/fakes/memory-store.ts'
import { FakeSource } from '../../../test/fakes/source.ts'
import { Failure } from '../../failure.ts'
import { repositoryOf } from '../../oci/reference.ts'
import { pieceDigest } from '../../piece/metainfo.ts'
import type { Run } from '../download/aims.ts'
import { Intake } from './intake.ts'
import { RangeFeed } from './range-feed.ts'

const pieceLength = 256 * 1024
const repository = repositoryOf('docker.io', 'library/debian')
const signer = { id: 'self', sign: (payload: Uint8Array) => pieceDigest(payload) }

let clock: FakeClock
let source: FakeSource
beforeEach(() => {
  clock = new FakeClock()
  source = new FakeSource()
})

function feedOf(bytes: Uint8Array, due: Run[]) {
  const digest = source.add(bytes)
  const blob = new MemoryStore({ clock }).create({ digest, size: bytes.length, kind: 'blob' })
  const over: [number, boolean][] = []
  const reading: number[][] = []
  const told = { all: 0 }
  const stop = new AbortController()
  const intake = new Intake({ blob, signer, clock, host: { stored: () => {}, stated: () => {} } })
  const feed = new RangeFeed({
    ...{ source, location: { repository, kind: 'blob', digest }, blob, clock, intake },
    host: {
      next: () => due.shift(),
      reading: (pieces) => reading.push([...pieces]),
      over: (piece, stored) => over.push([piece, stored]),
      heard: () => {},
      sentAll: () => {
        due.length = 0
        told.all++
      },
    },
  })
  const ended = feed.run(stop.signal).then(
    () => 'stopped',
    (error) => Failure.from(error).code,
  )
  return { blob, digest, feed, over, reading, stop, due, ended, told }
}

/** Until nothing is on its way any more. */
async function rest(feed: RangeFeed): Promise<void> {
  for (let turns = 0; feed.busy && turns < 100; turns++) await settle()
}

test('each run is read by a request of its own that ends where the run does', async () => {
  const bytes = bytesOf(40 * pieceLength - 9)
  const { digest, over, reading, blob, feed } = feedOf(bytes, [
    [3, 5],
    [39, 40],
  ])
  await rest(feed)
  expect(source.calls).toEqual([
    `open ${digest} ${3 * pieceLength}-${5 * pieceLength}`,
    `open ${digest} ${39 * pieceLength}-${bytes.length}`,
  ])
  expect(reading).toEqual([[3, 4], [39]])
  expect(over.sort(([a], [b]) => a - b)).toEqual([
    [3, true],
    [4, true],
    [39, true],
  ])
  expect(source.sent).toBe(3 * pieceLength - 9)
  expect([...blob.have.indexes()]).toEqual([3, 4, 39])
  expect([feed.busy, feed.has(4), feed.has(5), feed.any]).toEqual([false, true, false, true])
})

test('no more than four are on their way, and the next begins when one is over', async () => {
  const open: (() => void)[] = []
  source.gate = () => new Promise((resolve) => open.push(resolve))
  const { feed, reading } = feedOf(
    bytesOf(40 * pieceLength),
    [0, 2, 4, 6, 8, 10].map((piece): Run => [piece, piece + 1]),
  )
  await settle()
  expect(reading).toHaveLength(4)
  source.gate = () => {}
  for (const go of open) go()
  await rest(feed)
  expect(reading).toHaveLength(6)
  expect(feed.busy).toBe(false)
})

test('it waits for what is needed later, and costs nothing until then', async () => {
  const { feed, due, over, stop, ended } = feedOf(bytesOf(10 * pieceLength), [])
  await settle()
  expect(source.calls).toEqual([])
  expect(clock.pending).toBe(0)
  due.push([7, 8])
  feed.look()
  await rest(feed)
  expect(over).toEqual([[7, true]])
  stop.abort()
  expect(await ended).toBe('stopped')
})

test('a source that cannot stop is not read on', async () => {
  const bytes = bytesOf(40 * pieceLength)
  source.answer = (_, start) => ({
    size: bytes.length,
    mediaType: 'application/octet-stream',
    body: (async function* () {
      for (let at = start; at < bytes.length; at += pieceLength) {
        source.sent += pieceLength
        yield bytes.subarray(at, at + pieceLength)
      }
    })(),
  })
  const { over, feed } = feedOf(bytes, [[10, 11]])
  await rest(feed)
  expect(over).toEqual([[10, true]])
  expect(source.sent).toBeLessThanOrEqual(2 * pieceLength)
})

test('of a source that sends all of it for each part nothing is read here', async () => {
  source.sendsAll = true
  const { over, feed, told } = feedOf(bytesOf(40 * pieceLength), [
    [10, 11],
    [20, 21],
    [30, 31],
  ])
  await rest(feed)
  expect(source.sent).toBe(0)
  expect(over.map(([, stored]) => stored)).toEqual([false, false, false])
  expect(told.all).toBe(3)
  expect([feed.busy, feed.has(10)]).toEqual([false, false])
})

test('what the source refuses is its end, and nothing stays marked as coming', async () => {
  source.failure = new Failure('denied', 'not for you')
  const { ended, over, feed } = feedOf(bytesOf(10 * pieceLength), [[1, 3]])
  expect(await ended).toBe('denied')
  expect(over).toEqual([
    [1, false],
    [2, false],
  ])
  expect([feed.isComing(1), feed.has(2)]).toEqual([false, false])
})

test('a piece that is not what was stated of it is not stored', async () => {
  const bytes = bytesOf(10 * pieceLength)
  const { blob, over, ended, due, feed } = feedOf(bytes, [])
  const digests = pieceDigest(bytesOf(pieceLength, 99))
  blob.learn({ first: 4, digests, signer: 'other', signature: new Uint8Array(64) })
  due.push([4, 5])
  feed.look()
  expect(await ended).toBe('corrupt')
  expect(over).toEqual([[4, false]])
  expect(blob.have.has(4)).toBe(false)
})
