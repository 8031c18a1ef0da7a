import { afterEach, beforeEach, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { openSqlite } from '../state/sqlite.ts'
import type { State } from '../state/state.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { Bans } from './bans.ts'
import { SharedBans } from './shared-bans.ts'

let clock: FakeClock
let state: State
const sharing: SharedBans[] = []

beforeEach(async () => {
  clock = new FakeClock()
  state = await openSqlite(':memory:')
})
afterEach(async () => {
  for (const each of sharing.splice(0)) each.close()
  await state.close()
})

function node(store = new MemoryStore({ clock })): Bans {
  return started(store).bans
}

function started(store: MemoryStore): { bans: Bans; stop: () => void } {
  const bans = new Bans({ store, clock, log: silentLog, metrics: createMetrics() })
  const shared = new SharedBans({ bans, shared: state.bans, clock, log: silentLog })
  shared.start()
  sharing.push(shared)
  return { bans, stop: () => shared.close() }
}

/** The database lets others have a turn now and then: so time passes in steps that it can follow. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 10_000) {
    await clock.run(Math.min(left, 10_000))
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve))
  }
}

test('what one node bans, all of them leave alone, and it ends for all', async () => {
  const [a, b] = [node(), node()]
  a.add('liar', 'sent wrong bytes')
  await pass(20_000)
  expect(b.has('liar')).toBe(true)
  expect(b.list()).toEqual(a.list())
  await pass(3_600_000)
  expect([a.has('liar'), b.has('liar')]).toEqual([false, false])
})

test('what is lifted at one node is lifted at all, also at the one that banned it', async () => {
  const [a, b, c] = [node(), node(), node()]
  a.add('liar', 'sent wrong bytes')
  await pass(20_000)
  expect(b.lift('liar')).toBe(true)
  expect(b.lift('liar')).toBe(false)
  await pass(20_000)
  expect([a.has('liar'), b.has('liar'), c.has('liar')]).toEqual([false, false, false])
})

test('what is lifted stays so when the node that banned it has started anew since, or was away meanwhile', async () => {
  const other = node()
  const store = new MemoryStore({ clock })
  const first = started(store)
  for (const liar of ['liar', 'cheat']) first.bans.add(liar, 'sent wrong bytes')
  await pass(20_000)
  first.stop()
  expect(other.lift('cheat')).toBe(true)
  await pass(20_000)
  const again = node(store)
  await pass(20_000)
  expect([again.has('liar'), again.has('cheat')]).toEqual([true, false])
  expect(other.lift('liar')).toBe(true)
  await pass(30_000)
  for (const bans of [other, again]) expect([bans.has('liar'), bans.has('cheat')]).toEqual([false, false])
})

test('a node that banned on its own what another had banned takes a lift for its own, and an end for none', async () => {
  const [a, c] = [node(), node()]
  a.add('liar', 'sent wrong bytes')
  a.add('cheat', 'sent wrong bytes')
  await pass(20_000)
  // It has not heard of it yet.
  const b = new Bans({ store: new MemoryStore({ clock }), clock, log: silentLog, metrics: createMetrics() })
  const sharingOfB = new SharedBans({ bans: b, shared: state.bans, clock, log: silentLog })
  sharing.push(sharingOfB)
  for (const liar of ['liar', 'cheat']) b.add(liar, 'sent wrong bytes')
  sharingOfB.start()
  await pass(20_000)
  expect(c.lift('liar')).toBe(true)
  await pass(30_000)
  for (const bans of [a, b, c]) expect(bans.has('liar')).toBe(false)
  // What others were told is over by now, and its own is not.
  await pass(3_542_000)
  expect(b.has('cheat')).toBe(true)
})

test('a ban from while the database was out of reach is shared when it is back', async () => {
  const store = state.bans
  let down = true
  const shared = new Proxy(store, {
    get: (target, name: keyof typeof store) =>
      down ? () => Promise.reject(new Error('down')) : target[name].bind(target),
  })
  const bans = new Bans({ store: new MemoryStore({ clock }), clock, log: silentLog, metrics: createMetrics() })
  const one = new SharedBans({ bans, shared, clock, log: silentLog })
  one.start()
  sharing.push(one)
  const other = node()
  bans.add('liar', 'sent wrong bytes')
  await pass(20_000)
  expect([bans.has('liar'), other.has('liar')]).toEqual([true, false])
  down = false
  await pass(30_000)
  expect([bans.has('liar'), other.has('liar')]).toEqual([true, true])
})
