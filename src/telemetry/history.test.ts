import { describe, expect, test } from 'bun:test'
import { History, readTotals, type Sample, spans } from './history.ts'
import { createMetrics } from './metrics.ts'

const sample = (at: number): Sample => ({ at, engines: at, source: 0, received: 0, sent: 0 })

describe('what a node moved', () => {
  test('is kept close together for half an hour and far apart for a day, with the present last', () => {
    const history = new History()
    const day = 24 * 3_600_000
    const every = spans['30m'].everyMs
    for (let at = 0; at <= 2 * day; at += every) history.add(sample(at))
    const present = sample(2 * day + 1000)
    const [near, far] = [history.read('30m', present), history.read('24h', present)]
    expect([near.length, near[0]!.at, near.at(-1)]).toEqual([362, 2 * day - 30 * 60_000, present])
    expect([far.length, far[0]!.at]).toEqual([290, 2 * day - day])
    for (const samples of [near, far])
      expect(samples.map(({ at }) => at)).toEqual(samples.map(({ at }) => at).sort((a, b) => a - b))
  })

  test('begins anew when the clock is set back', () => {
    const history = new History()
    for (const at of [1_000_000, 1_005_000, 2000, 7000]) history.add(sample(at))
    expect(history.read('30m', sample(8000)).map(({ at }) => at)).toEqual([2000, 7000, 8000])
  })

  test('does without readings that a late timer brought too close together', () => {
    const history = new History()
    for (const at of [0, 9000, 10_000, 14_000]) history.add(sample(at))
    expect(history.read('30m', sample(14_500)).map(({ at }) => at)).toEqual([0, 9000, 14_000, 14_500])
  })
})

test('totals are sums over the labels of counters', async () => {
  const metrics = createMetrics()
  metrics.registrySentBytes.inc({ from: 'swarm' }, 5)
  metrics.registrySentBytes.inc({ from: 'store' }, 6)
  metrics.sourceBytes.inc({ source: 'docker.io' }, 7)
  metrics.peerSentBytes.inc(8)
  expect(await readTotals(metrics)).toEqual({ engines: 11, source: 7, received: 0, sent: 8 })
})
