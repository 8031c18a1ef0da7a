import { expect, test } from 'bun:test'
import { FakeClock } from '../../../test/fakes/clock.ts'
import { seededRandom } from '../../clock.ts'
import { type Found, hear, Pacer, parseRecord, Querier } from './mdns.ts'

const id = '12D3KooWGRUVh9oUJ5vzbGpeyvoN7fXYZMmJXCxqYcbFTyyHDKVj'

test('a record names a node and where it is', () => {
  expect(parseRecord([`id=${id}`, 'at=/ip4/10.0.0.7/tcp/4882', 'other=1'])).toEqual({
    id,
    addresses: ['/ip4/10.0.0.7/tcp/4882'],
  })
})

test.each([[[]], [['at=/ip4/10.0.0.7/tcp/4882']], [[`id=${id}`]], [['id=<script>', 'at=/ip4/10.0.0.7/tcp/4882']]])(
  'the record %j names no node',
  (texts) => {
    expect(parseRecord(texts)).toBeUndefined()
  },
)

test('others are found, and whoever goes by this name is told of apart', () => {
  const record = (of: string, at: string, service: string) => {
    return { type: 'TXT' as const, name: `${of.slice(-16)}.${service}`, data: [`id=${of}`, `at=${at}`] }
  }
  const other = `${id.slice(0, -3)}abc`
  const found: Found[] = []
  const own: (readonly string[])[] = []
  const answers = [
    { type: 'PTR' as const, name: 'ours', data: 'x.ours' },
    record(id, '/ip4/10.0.0.7/tcp/4882', 'ours'),
    record(other, '/ip4/10.0.0.8/tcp/4882', 'ours'),
    record(other, '/ip4/10.0.0.9/tcp/4882', 'theirs'),
  ]
  hear(answers, 'ours', {
    self: { id, addresses: [] },
    found: (node) => void found.push(node),
    own: (at) => void own.push(at),
  })
  expect(found).toEqual([{ id: other, addresses: ['/ip4/10.0.0.8/tcp/4882'] }])
  expect(own).toEqual([['/ip4/10.0.0.7/tcp/4882']])
})

test('no more addresses are taken than a node has', () => {
  const many = Array.from({ length: 100 }, (_, i) => `at=/ip4/10.0.0.7/tcp/${i + 1}`)
  expect(parseRecord([`id=${id}`, ...many])?.addresses.length).toBe(8)
})

test('whoever is asked by a hundred nodes at once answers once, soon', () => {
  const clock = new FakeClock()
  const answers: number[] = []
  const pacer = new Pacer(
    clock,
    () => 0.5,
    () => answers.push(clock.now()),
  )
  for (let i = 0; i < 100; i++) pacer.asked()
  clock.advance(5_000)
  expect(answers).toEqual([70])
})

test('answers are a second apart, and none is owed for longer', () => {
  const clock = new FakeClock()
  const answers: number[] = []
  const pacer = new Pacer(
    clock,
    () => 0,
    () => answers.push(clock.now()),
  )
  for (let ms = 0; ms < 3_000; ms += 100) {
    pacer.asked()
    clock.advance(100)
  }
  clock.advance(5_000)
  expect(answers.length).toBeGreaterThanOrEqual(3)
  for (const [i, at] of answers.entries()) if (i > 0) expect(at - answers[i - 1]!).toBeGreaterThanOrEqual(1_000)
})

test('a closed one answers no more', () => {
  const clock = new FakeClock()
  let answers = 0
  const pacer = new Pacer(
    clock,
    () => 0,
    () => answers++,
  )
  pacer.asked()
  pacer.close()
  pacer.asked()
  clock.advance(10_000)
  expect(answers).toBe(0)
})

test('alone, a node asks at once, soon again, and then less and less often', () => {
  const clock = new FakeClock()
  const asked: number[] = []
  const querier = new Querier(
    clock,
    () => 0,
    () => asked.push(clock.now() / 1000),
  )
  querier.start()
  clock.advance(200_000)
  expect(asked).toEqual([0, 1, 3, 7, 15, 31, 63, 123, 183])
  querier.close()
  clock.advance(200_000)
  expect(asked.length).toBe(9)
})

test('a hundred nodes that start at once ask once each, and then one for all of them', () => {
  const clock = new FakeClock()
  const asked: number[] = []
  const queriers: Querier[] = Array.from(
    { length: 100 },
    (_, i) =>
      new Querier(clock, seededRandom(i), () => {
        asked.push(clock.now())
        // The others are some way off; and those that are not there yet hear nothing.
        clock.after(1, () => {
          for (const [j, other] of queriers.entries()) if (j !== i) other.heard()
        })
      }),
  )
  for (const querier of queriers) querier.start()
  clock.advance(600_000)
  expect(asked.slice(0, 100).every((at) => at === 0)).toBe(true)
  // Alone each would have asked fifteen times. A few ask in the same millisecond.
  expect(asked.length - 100).toBeWithin(10, 60)
  // And who starts later is told when it asks, as before.
  const late = asked.length
  clock.advance(180_000)
  expect(asked.length).toBeGreaterThan(late)
})
