import { expect, test } from 'bun:test'
import { binarySplits } from './chart.tsx'
import { rates, savings } from './series.ts'
import { savingInWords, trafficInWords } from './traffic.tsx'

const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 12, 0, second)).toISOString()
const samples = [
  { at: at(0), engines: 1000, source: 500, received: 0, sent: 100 },
  { at: at(5), engines: 1000, source: 1000, received: 10_000, sent: 100 },
  { at: at(7), engines: 9000, source: 1000, received: 10_400, sent: 100 },
]

test('rates are what counters grew by, a second', () => {
  const start = Date.parse(at(0)) / 1000
  expect(rates({ samples })).toEqual([
    [start + 5, start + 7],
    [2000, 200],
    [100, 0],
    [0, 0],
  ])
})

test('what was saved is counted from where the chart begins', () => {
  expect(savings({ samples, silent: 0, unasked: 0 }).slice(1)).toEqual([
    [0, 0, 8000],
    [0, 500, 500],
  ])
})

test('charts say in words what they show, also when that is nothing', () => {
  expect(trafficInWords({ samples }, 'the last day')).toBe(
    'Traffic of the last day: 10.1 KiB from peers, 500 B from sources, 0 B to peers.',
  )
  expect(savingInWords({ samples, silent: 0, unasked: 0 }, 'the last day')).toBe(
    'Saved at the source: of 7.8 KiB that engines got in the last day, 7.3 KiB, 93%.',
  )
  expect(trafficInWords({ samples: [] }, 'the last day')).toContain('nothing is known yet')
  expect(savingInWords({ samples: [], silent: 0, unasked: 0 }, 'the last day')).toContain('got nothing')
})

test('the lines of a scale are few and round, whatever it goes up to', () => {
  for (let most = 1; most < 1024 ** 5; most *= 1.7) {
    const splits = binarySplits(most)
    expect(splits.length).toBeWithin(2, 6)
    expect(splits.at(-1)).toBeLessThanOrEqual(most)
  }
  expect(binarySplits(1600 * 1024)).toEqual([0, 0.5, 1, 1.5].map((mebi) => mebi * 1024 ** 2))
})
