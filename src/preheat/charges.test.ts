import { expect, test } from 'bun:test'
import {
  askEvery,
  busy,
  type Charge,
  chargeTimes,
  heard,
  isOver,
  newCharge,
  outcome,
  resumed,
  silent,
} from './charges.ts'
import type { ErrandReply } from './errand.ts'

const reply = (state: ErrandReply['state'], more: Partial<ErrandReply> = {}): ErrandReply => ({
  state,
  bytes: 5,
  total: 10,
  ...more,
})
const one = newCharge('a', 0)

test('a node is told once, asked every second, and over when it has all', () => {
  expect([one.tell, one.state]).toEqual([true, 'pending'])
  const running = heard(one, reply('running'), 10, 1000)
  expect(running).toMatchObject({ state: 'running', bytes: 5, total: 10, tell: false, dueAt: 1010 })
  const done = heard(running, reply('done', { bytes: 10 }), 1010, 1000)
  expect([done.state, isOver(done), outcome([done])]).toEqual(['done', true, { state: 'done' }])
})

test('one that was started again since is told anew at once', () => {
  const running = heard(one, reply('running'), 10, 1000)
  expect(heard(running, reply('unknown', { bytes: 0, total: 0 }), 1010, 1000)).toMatchObject({
    tell: true,
    dueAt: 1010,
    state: 'running',
    bytes: 5,
  })
})

test('a failure that may pass is tried again twice, one that lasts not at all', () => {
  const again = heard(one, reply('failed', { code: 'unavailable', message: 'no answer' }), 0, 1000)
  expect(again).toMatchObject({ state: 'running', tell: true, dueAt: chargeTimes.againAfter, reason: 'no answer' })
  const third = [1, 2].reduce((charge) => heard(charge, reply('failed', { message: 'no answer' }), 0, 1000), again)
  expect(third.state).toBe('failed')
  expect(heard(one, reply('failed', { code: 'denied', message: 'log in' }), 0, 1000)).toMatchObject({
    state: 'failed',
    reason: 'log in',
  })
  expect(heard(again, reply('running'), 0, 1000).reason).toBeUndefined()
})

test('a node that does not answer is asked less and less often, and given up with the reason', () => {
  let charge: Charge = one
  let asked = 0
  for (let now = 0; !isOver(charge) && asked < 1000; now = charge.dueAt) {
    charge = silent(charge, 'no route to host', now)
    asked++
  }
  expect(charge).toMatchObject({ state: 'failed', reason: 'no route to host' })
  expect(asked).toBeLessThan(25)
  // Who answered meanwhile has as long again.
  const back = heard(silent(one, 'gone', 100_000), reply('running'), 100_000, 1000)
  expect(silent(back, 'gone', 200_000).state).toBe('pending')
})

test('a node that is busy is asked until it is not, and told then', () => {
  let charge: Charge = one
  for (let now = 0; now < 10 * chargeTimes.giveUpAfter; now = charge.dueAt) charge = busy(charge, 'on 256 errands', now)
  expect(charge).toMatchObject({ state: 'pending', tell: true, reason: 'on 256 errands' })
  expect(silent(charge, 'no route to host', charge.dueAt).state).toBe('pending')
  const running = heard(charge, reply('running'), charge.dueAt, 1000)
  expect(running.reason).toBeUndefined()
  expect(busy(running, 'many requests', running.dueAt)).toMatchObject({ state: 'running', tell: false, bytes: 5 })
})

test('the job is over with its last node, and says how many failed and why the first did', () => {
  const done = heard(one, reply('done'), 0, 1000)
  const failed = heard(newCharge('b', 0), reply('failed', { code: 'no-blob', message: 'it is not there' }), 0, 1000)
  expect(outcome([done, one])).toBeUndefined()
  expect(outcome([done, failed])).toEqual({
    state: 'failed',
    reason: '1 of 2 nodes failed, the first of them b: it is not there',
  })
})

test('whoever goes on with a job asks those that were under way, and not those that were done', () => {
  const known = { node: 'a', bytes: 7, total: 10 }
  expect(resumed({ ...known, state: 'running' }, 50)).toMatchObject({
    state: 'running',
    bytes: 7,
    tell: true,
    dueAt: 50,
  })
  expect(isOver(resumed({ ...known, state: 'done' }, 50))).toBe(true)
})

test('many nodes are asked less often each', () => {
  expect([askEvery(4), askEvery(15_000)]).toEqual([1000, 30_000])
})
