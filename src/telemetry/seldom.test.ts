import { beforeEach, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { type Others, Seldom, seldomTimes } from './seldom.ts'

let clock: FakeClock
let seldom: Seldom
let lines: [number, Others][]
beforeEach(() => {
  clock = new FakeClock()
  seldom = new Seldom(clock)
  lines = []
})
const happens = (what = 'it', whom?: string) => seldom.tell(what, (others) => lines.push([clock.now(), others]), whom)
const happensEvery = (ms: number, times: number) => {
  for (let i = 0; i < times; i++) {
    happens()
    clock.advance(ms)
  }
}

test('what happens every second of a day is told a few dozen times, with how often it happened between', () => {
  happensEvery(1_000, 86_400)
  expect(lines.slice(0, 4)).toEqual([
    [0, {}],
    [10_000, { others: 9 }],
    [50_000, { others: 39 }],
    [210_000, { others: 159 }],
  ])
  expect(lines.length).toBeLessThan(40)
  const counted = lines.reduce((sum, [, { others = 0 }]) => sum + others + 1, 0)
  expect(86_400 - counted).toBeLessThan(seldomTimes.most / 1_000)
})

test('what happens again after a long rest is told at once, and as often as the first time', () => {
  happensEvery(1_000, 120)
  clock.advance(2 * seldomTimes.most)
  lines = []
  const at = clock.now()
  happensEvery(1_000, 12)
  expect(lines.map(([time]) => time - at)).toEqual([0, 10_000])
})

test('two things are told each by itself', () => {
  happens('one')
  happens('two')
  happens('one')
  expect(lines).toHaveLength(2)
})

test('who makes up a new thing every time fills neither the log nor the memory', () => {
  for (let i = 0; i < 10_000; i++) happens('a clash', `node ${i}`)
  expect(lines).toHaveLength(64)
  clock.advance(seldomTimes.first + 1)
  happens('a clash', 'another')
  expect(lines).toHaveLength(65)
})

test('and keeps nobody from reading what happens to nobody in particular', () => {
  for (let i = 0; i < 10_000; i++) happens('a clash', `node ${i}`)
  happens('full')
  expect(lines).toHaveLength(65)
})
