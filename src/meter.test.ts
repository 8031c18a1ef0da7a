import { expect, test } from 'bun:test'
import { Meter } from './meter.ts'

test('a steady flow is measured as what it is, in steps of any length', () => {
  for (const step of [1, 10, 100]) {
    const meter = new Meter(0)
    for (let now = step; now <= 10_000; now += step) meter.add(1000 * step, now)
    expect(meter.perSecond(10_000)).toBeGreaterThan(950_000)
    expect(meter.perSecond(10_000)).toBeLessThan(1_100_000)
  }
})

test('what has stopped fades, and the total stays', () => {
  const meter = new Meter(0)
  meter.add(1_000_000, 0)
  const rates = [0, 500, 1000, 5000, 20_000].map((now) => meter.perSecond(now))
  expect(rates).toEqual([...rates].sort((a, b) => b - a))
  expect(rates[0]).toBe(1_000_000)
  expect(rates.at(-1)).toBe(0)
  expect(meter.total).toBe(1_000_000)
})

test('nothing is nothing per second', () => {
  expect(new Meter(5).perSecond(1000)).toBe(0)
})
