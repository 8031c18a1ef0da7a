import { beforeEach, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { Deadlines } from './deadlines.ts'

let clock: FakeClock
let deadlines: Deadlines
let late: string[]
beforeEach(() => {
  clock = new FakeClock()
  deadlines = new Deadlines(clock, 800)
  late = []
})

test('a deadline is never early, and late by a step at most', () => {
  clock.advance(30)
  deadlines.start(() => late.push('a'))
  clock.advance(50)
  deadlines.start(() => late.push('b'))
  clock.advance(749)
  expect(late).toEqual([])
  clock.advance(100)
  expect(late).toEqual(['a'])
  clock.advance(1)
  expect(late).toEqual(['a', 'b'])
})

test('what is done in time is never late', () => {
  const done = deadlines.start(() => late.push('a'))
  deadlines.start(() => late.push('b'))
  clock.advance(500)
  done()
  clock.advance(5000)
  done()
  expect(late).toEqual(['b'])
})

test('all of them share one timer, and there is none when nothing waits', () => {
  const done = Array.from({ length: 5 }, () => deadlines.start(() => late.push('x')))
  expect(clock.pending).toBe(1)
  for (const stop of done) stop()
  clock.advance(100)
  expect(clock.pending).toBe(0)
})

test('one that is late may start another', () => {
  deadlines.start(() => {
    late.push('a')
    deadlines.start(() => late.push('b'))
  })
  clock.advance(900)
  expect(late).toEqual(['a'])
  clock.advance(900)
  expect(late).toEqual(['a', 'b'])
})

test('one that throws when it is late takes no other along, of those that wait and of those that come', () => {
  deadlines.start(() => {
    throw new Error('out of order')
  })
  deadlines.start(() => late.push('a'))
  expect(() => clock.advance(800)).toThrow('out of order')
  clock.advance(100)
  expect(late).toEqual(['a'])
  deadlines.start(() => late.push('b'))
  clock.advance(900)
  expect([late, clock.pending]).toEqual([['a', 'b'], 0])
})

test('one that is late may close them all', () => {
  deadlines.start(() => deadlines.close())
  deadlines.start(() => late.push('a'))
  clock.advance(5000)
  expect([late, clock.pending]).toEqual([[], 0])
})

test('after closing nothing is late', () => {
  deadlines.start(() => late.push('a'))
  deadlines.close()
  clock.advance(5000)
  expect([late, clock.pending]).toEqual([[], 0])
})
