import { expect, test } from 'bun:test'
import { FakeClock } from '../../../test/fakes/clock.ts'
import { endEach } from './ending.ts'

test('what fails or never ends keeps nothing behind it from ending, and is told', async () => {
  const clock = new FakeClock()
  const ended: string[] = []
  const told: string[] = []
  const ending = endEach(
    [
      () => Promise.reject(new Error('the disk is gone')),
      () => new Promise(() => {}),
      async () => void ended.push('the last one'),
    ],
    { clock, mostMs: 5000, failed: (error) => told.push((error as Error).message) },
  )
  await clock.run(4999)
  expect(ended).toEqual([])
  await clock.run(1)
  await ending
  expect(ended).toEqual(['the last one'])
  expect(told).toEqual(['the disk is gone', 'not all has ended after 5 s'])
  expect(clock.pending).toBe(0)
})
