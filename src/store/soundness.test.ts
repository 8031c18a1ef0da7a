import { expect, test } from 'bun:test'
import { Soundness } from './soundness.ts'

const counts = 10 * 60_000

test('a piece that was seen to be right counts for ten minutes, and one that was lost does not', () => {
  let now = 1000
  const soundness = new Soundness(2, () => now)
  expect([soundness.has(0), soundness.whole]).toEqual([false, false])
  soundness.saw(0)
  soundness.saw(1)
  expect([soundness.has(0), soundness.whole]).toEqual([true, true])
  soundness.lost(1)
  expect([soundness.has(0), soundness.has(1), soundness.whole]).toEqual([true, false, false])
  soundness.saw(1)
  now += counts - 1
  expect(soundness.whole).toBe(true)
  now += 1
  expect([soundness.has(0), soundness.whole]).toEqual([false, false])
})

test('a look that seems to lie far in the future does not count', () => {
  let now = 100 * counts
  const soundness = new Soundness(1, () => now)
  soundness.saw(0)
  now = 0
  expect(soundness.has(0)).toBe(false)
})

test('what was seen does not count once it is to be forgotten', () => {
  const soundness = new Soundness(2, () => 1000)
  soundness.saw(0)
  soundness.forget()
  expect(soundness.has(0)).toBe(false)
  soundness.saw(1)
  expect([soundness.has(0), soundness.has(1)]).toEqual([false, true])
})
