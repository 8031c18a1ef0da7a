import { beforeEach, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { infoOf } from '../../test/fakes/members.ts'
import { Acquaintance, acquaintedAfter } from './acquaintance.ts'
import { MemberTable, memberTimes } from './member-table.ts'

let clock: FakeClock
let table: MemberTable
let acquaintance: Acquaintance
beforeEach(() => {
  clock = new FakeClock()
  table = new MemberTable(infoOf('self'), () => clock.now())
  acquaintance = new Acquaintance(table, clock)
})
const meet = (id: string) => table.heard(infoOf(id), clock.now())

test('who stays alone has to be there for as long as it takes others to say that they are, too', () => {
  clock.advance(memberTimes.goneAfter + memberTimes.period - 1)
  expect(acquaintance.complete).toBe(false)
  clock.advance(1)
  expect(acquaintance.complete).toBe(true)
})

test('it begins with the first that is met, and not again with each that joins', () => {
  clock.advance(60_000)
  meet('a')
  expect(acquaintance.complete).toBe(false)
  for (const id of ['b', 'c', 'd']) {
    clock.advance(acquaintedAfter(2) / 3)
    meet(id)
  }
  expect(acquaintance.complete).toBe(true)
})

test('nodes of a large cluster announce themselves more rarely, so that it takes longer', () => {
  expect([acquaintedAfter(2), acquaintedAfter(15_000), acquaintedAfter(1_000_000)]).toEqual([16_000, 23_000, 43_000])
  for (let i = 1; i < 15_000; i++) meet(`n${i}`)
  clock.advance(22_999)
  expect(acquaintance.complete).toBe(false)
  clock.advance(1)
  expect(acquaintance.complete).toBe(true)
})
