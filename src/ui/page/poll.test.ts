import { expect, test } from 'bun:test'
import { FakeClock, settle } from '../../../test/fakes/clock.ts'
import { Poll } from './poll.ts'

function polling(ask: () => Promise<void>, failed: (error: unknown) => void = () => {}) {
  const clock = new FakeClock()
  return { clock, poll: new Poll([{ ask, everyMs: 1000 }], clock, failed) }
}

test('asks at once, and again when its time has come', async () => {
  let asked = 0
  const { clock, poll } = polling(async () => void asked++)
  poll.start()
  await settle()
  expect(asked).toBe(1)
  await clock.run(2500)
  expect(asked).toBe(3)
})

test('does not ask again before the last question was answered', async () => {
  let asked = 0
  let answer = () => {}
  const { clock, poll } = polling(() => {
    asked++
    return new Promise<void>((resolve) => (answer = resolve))
  })
  poll.start()
  await clock.run(10_000)
  expect(asked).toBe(1)
  answer()
  await clock.run(1500)
  expect(asked).toBe(2)
})

test('goes on after a failure, and says which it was', async () => {
  const failures: unknown[] = []
  const { clock, poll } = polling(
    () => Promise.reject('no answer'),
    (error) => failures.push(error),
  )
  poll.start()
  await clock.run(1500)
  expect(failures).toEqual(['no answer', 'no answer'])
})

test('started twice it asks once each time, and stopped not at all, nor is a late answer a failure', async () => {
  let asked = 0
  let fail = () => {}
  const failures: unknown[] = []
  const { clock, poll } = polling(
    () => {
      asked++
      return new Promise<void>((_, reject) => (fail = () => reject('late')))
    },
    (error) => failures.push(error),
  )
  poll.start()
  const first = fail
  poll.start()
  first()
  await clock.run(5000)
  expect(asked).toBe(2)
  poll.stop()
  fail()
  await clock.run(5000)
  expect([asked, failures]).toEqual([2, []])
})
