import { expect, test } from 'bun:test'
import { FakeClock, settle } from '../../test/fakes/clock.ts'
import { Courtesy } from './courtesy.ts'

const chunk = 64 * 1024

/** Passes chunks one after the other, as a body that is read does, and counts those that got through. */
function reading(courtesy: Courtesy, background: boolean, pace: () => Promise<void>) {
  const read = { chunks: 0, stop: false }
  const run = async () => {
    while (!read.stop) {
      await pace()
      await courtesy.pass(chunk, background)
      read.chunks++
    }
  }
  void run()
  return read
}

test('while somebody waits for what arrives, the background takes a sixteenth', async () => {
  const clock = new FakeClock()
  const courtesy = new Courtesy(clock)
  const every = (ms: number) => () => new Promise<void>((resolve) => clock.after(ms, resolve))
  const [wanted, unread] = [reading(courtesy, false, every(10)), reading(courtesy, true, every(10))]
  await clock.run(32_000)
  expect(wanted.chunks).toBeGreaterThan(3000)
  expect(unread.chunks / wanted.chunks).toBeGreaterThan(1 / 20)
  expect(unread.chunks / wanted.chunks).toBeLessThan(1 / 12)
  // Then it has the way for itself, at once.
  wanted.stop = true
  const before = unread.chunks
  await clock.run(10_000)
  expect(unread.chunks - before).toBeGreaterThan(900)
  unread.stop = true
  await clock.run(1000)
})

test('what somebody waits for never waits', async () => {
  const clock = new FakeClock()
  const courtesy = new Courtesy(clock)
  let passed = 0
  for (let i = 0; i < 100; i++) {
    void courtesy.pass(chunk, true)
    void courtesy.pass(chunk, false).then(() => passed++)
  }
  await settle()
  expect(passed).toBe(100)
  await clock.run(1000)
})
