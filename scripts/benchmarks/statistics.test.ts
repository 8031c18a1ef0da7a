import { describe, expect, test } from 'bun:test'
import type { Figure } from './scenario.ts'
import { isMet, median, quantile, shareOfReach, summarize } from './statistics.ts'

describe('the median', () => {
  test.each([
    [[3], 3],
    [[9, 1, 5], 5],
    [[4, 1, 3, 2], 2.5],
    [[10, 9, 100], 10],
  ])('of %p is %p', (values, expected) => {
    expect(median(values)).toBe(expected)
  })

  test('of nothing is an error, and no number', () => {
    expect(() => median([])).toThrow('no values')
    expect(() => quantile([], 0.5)).toThrow('no values')
  })

  test('leaves the values in their order', () => {
    const values = [3, 1, 2]
    median(values)
    expect(values).toEqual([3, 1, 2])
  })
})

test('a quantile is one of the values: the first that so many do not exceed', () => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i)
  expect([0, 0.5, 0.99, 0.999, 1].map((p) => quantile(hundred, p))).toEqual([1, 50, 99, 100, 100])
})

describe('a summary', () => {
  const figure = (name: string, value: number): Figure => ({ name, value, unit: 's', samples: [value] })

  test('has the median and the spread of each figure, in the order of their first appearance', () => {
    const summaries = summarize([
      [figure('b', 3), figure('a', 1)],
      [figure('b', 1), figure('a', 1)],
      [figure('b', 9), figure('a', 4), figure('late', 7)],
    ])
    expect(summaries.map(({ name, median, min, max, values }) => [name, median, min, max, values])).toEqual([
      ['b', 3, 1, 9, [3, 1, 9]],
      ['a', 1, 1, 4, [1, 1, 4]],
      ['late', 7, 7, 7, [7]],
    ])
  })

  test('shows the samples of the run that is nearest to the median', () => {
    expect(summarize([[figure('a', 9)], [figure('a', 2)], [figure('a', 1)]])[0]?.samples).toEqual([2])
  })

  test('of no run is empty', () => {
    expect(summarize([])).toEqual([])
  })
})

test.each([
  { reach: { atMost: 1.1 }, value: 1.1, met: true, share: 1 },
  { reach: { atMost: 2 }, value: 4, met: false, share: 2 },
  { reach: { atLeast: 0.8 }, value: 0.8, met: true, share: 1 },
  { reach: { atLeast: 0.8 }, value: 0.4, met: false, share: 2 },
  { reach: { atLeast: 1, atMost: 2 }, value: 1.5, met: true, share: 0.75 },
])('$value for a reach of $reach is met: $met', ({ reach, value, met, share }) => {
  expect(isMet(reach, value)).toBe(met)
  expect(shareOfReach(reach, value)).toBeCloseTo(share, 9)
})
