import { expect, test } from 'bun:test'
import { FakeClock } from '../test/fakes/clock.ts'
import { TokenBucket } from './rate.ts'

async function finish(clock: FakeClock, takes: Promise<void>[]): Promise<number[]> {
  const at: number[] = []
  for (const take of takes) void take.then(() => at.push(clock.now()))
  await clock.run(60_000)
  return at.map((ms) => Math.round(ms))
}

test('what the burst covers goes at once, the rest at the rate, in order', async () => {
  const clock = new FakeClock()
  const bucket = new TokenBucket(clock, 1000, 500)
  const at = await finish(
    clock,
    [500, 1000, 1000].map((bytes) => bucket.take(bytes)),
  )
  expect(at).toEqual([0, 1000, 2000])
})

test('more than the burst can be taken in one go', async () => {
  const clock = new FakeClock()
  expect(await finish(clock, [new TokenBucket(clock, 1000, 10).take(5010)])).toEqual([5000])
})

test('what is given back shortens the wait of the next', async () => {
  const clock = new FakeClock()
  const bucket = new TokenBucket(clock, 1000, 1000)
  await bucket.take(1000)
  await bucket.take(-500)
  expect(await finish(clock, [bucket.take(500), bucket.take(100)])).toEqual([0, 100])
})

test('quiet time saves up no more than the burst', async () => {
  const clock = new FakeClock()
  const bucket = new TokenBucket(clock, 1000, 200)
  clock.advance(100_000)
  const before = clock.now()
  expect((await finish(clock, [bucket.take(1200)])).map((at) => at - before)).toEqual([1000])
})
