import { describe, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { faultCounts, Recent } from './faults.ts'
import { createMetrics } from './metrics.ts'

describe('what a node said of late', () => {
  test('is its warnings and errors, newest first, with what is short of their fields', () => {
    const clock = new FakeClock()
    const recent = new Recent(clock)
    recent.add('info', 'node started')
    recent.add('warn', 'node banned for an hour', { node: '12D3', tries: 3, deep: { no: 1 } })
    clock.advance(1000)
    recent.add('error', 'admin request failed', { error: new Error('disk on fire') })
    expect(recent.list()).toEqual([
      { at: clock.wall(), level: 'error', message: 'admin request failed', details: 'error disk on fire' },
      { at: clock.wall() - 1000, level: 'warn', message: 'node banned for an hour', details: 'node 12D3, tries 3' },
    ])
  })

  test('holds no secret, no more than a line of each, and no more lines than somebody reads', () => {
    const recent = new Recent(new FakeClock())
    for (let i = 0; i < 200; i++)
      recent.add('warn', `line ${i}`, { token: 'hush', authorization: 'hush', text: 'x'.repeat(1000) })
    const lines = recent.list()
    expect([lines.length, lines[0]!.message]).toEqual([50, 'line 199'])
    expect(Math.max(...lines.map(({ details }) => details.length))).toBe(300)
    expect(JSON.stringify(lines)).not.toContain('hush')
  })
})

test('faults are counted in words, and what is usual, or did not happen, is left out', async () => {
  const metrics = createMetrics()
  expect(await faultCounts(metrics)).toEqual([])
  for (const status of ['200', '307', '401', '404']) metrics.sourceRequests.inc({ source: 'docker.io', status }, 9)
  metrics.sourceRequests.inc({ source: 'docker.io', status: '429' }, 2)
  metrics.sourceRequests.inc({ source: 'ghcr.io', status: 'timeout' })
  metrics.piecesRejected.inc({ reason: 'digest' }, 3)
  expect(await faultCounts(metrics)).toEqual([
    { what: 'Pieces of other nodes that were wrong (digest)', count: 3 },
    { what: 'Answers of docker.io: 429', count: 2 },
    { what: 'Answers of ghcr.io: timeout', count: 1 },
  ])
})
