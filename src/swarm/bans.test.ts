import { expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { Bans } from './bans.ts'

const hour = 60 * 60 * 1000

function setUp() {
  const clock = new FakeClock()
  const store = new MemoryStore({ clock })
  const metrics = createMetrics()
  const start = () => new Bans({ store, clock, log: silentLog, metrics })
  const counted = async () => (await metrics.peersBanned.get()).values[0]?.value
  return { clock, start, counted }
}

test('a ban lasts an hour, whatever the banned node does meanwhile', () => {
  const { clock, start } = setUp()
  const bans = start()
  expect(bans.has('liar')).toBe(false)
  bans.add('liar', 'sent wrong bytes')
  clock.advance(hour / 2)
  bans.add('liar', 'sent wrong bytes again')
  clock.advance(hour / 2 - 1)
  expect(bans.has('liar')).toBe(true)
  expect(bans.has('other')).toBe(false)
  clock.advance(1)
  expect(bans.has('liar')).toBe(false)
})

test('a ban outlives a restart, and ends when it would have ended', () => {
  const { clock, start } = setUp()
  start().add('liar', 'sent wrong bytes')
  clock.advance(hour - 1)
  const bans = start()
  expect(bans.has('liar')).toBe(true)
  clock.advance(1)
  expect(bans.has('liar')).toBe(false)
  expect(start().has('liar')).toBe(false)
})

test('a ban that is lifted is over, and stays so after a restart', () => {
  const { clock, start } = setUp()
  const bans = start()
  bans.add('liar', 'sent wrong bytes')
  clock.advance(1000)
  bans.add('other', 'sent some as well')
  expect(bans.list().map(({ node, reason }) => [node, reason])).toEqual([
    ['other', 'sent some as well'],
    ['liar', 'sent wrong bytes'],
  ])
  expect([bans.lift('liar'), bans.lift('liar'), bans.lift('nobody')]).toEqual([true, false, false])
  expect(bans.has('liar')).toBe(false)
  expect(
    start()
      .list()
      .map(({ node }) => node),
  ).toEqual(['other'])
})

test('a node is counted once for each ban', async () => {
  const { clock, start, counted } = setUp()
  const bans = start()
  bans.add('liar', 'first')
  bans.add('liar', 'second')
  expect(await counted()).toBe(1)
  clock.advance(hour)
  bans.add('liar', 'third')
  expect(await counted()).toBe(2)
})
