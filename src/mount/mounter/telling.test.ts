import { beforeEach, describe, expect, test } from 'bun:test'
import { FakeClock, settle } from '../../../test/fakes/clock.ts'
import { told } from '../../../test/fakes/told.ts'
import type { Told } from '../../lazy/mounted.ts'
import { silentLog } from '../../telemetry/log.ts'
import { due, Telling } from './telling.ts'

const node = 'http://127.0.0.1:4880'
let clock: FakeClock
let reports: Map<string, Told>
let said: string[]
let answer: () => Promise<number>
let telling: Telling
beforeEach(() => {
  clock = new FakeClock()
  reports = new Map([[node, told({ mounts: 1 })]])
  said = []
  answer = async () => 204
  telling = new Telling({
    reports: () => reports,
    nothing: () => told({ mounts: 0, layers: 0 }),
    put: (to, text) => {
      said.push(`${to} ${(JSON.parse(text) as Told).totals.mounts}`)
      return answer()
    },
    clock,
    log: silentLog,
  })
})

/** What was said in the next seconds, one step of the clock after the other. */
async function within(seconds: number): Promise<number> {
  const before = said.length
  for (let second = 0; second < seconds; second++) {
    clock.advance(1000)
    await settle()
  }
  return said.length - before
}

test('what is due is what is new, and all of it now and then', () => {
  expect(due('a', undefined, 0)).toBe(true)
  expect(due('a', { text: 'a', at: 0 }, 29_999)).toBe(false)
  expect(due('a', { text: 'a', at: 0 }, 30_000)).toBe(true)
  expect(due('b', { text: 'a', at: 0 }, 1)).toBe(true)
})

describe('a node', () => {
  test('is told within two seconds of a change, and every half minute else', async () => {
    expect(await within(2)).toBe(1)
    expect(await within(27)).toBe(0)
    reports.set(node, told({ mounts: 2 }))
    expect(await within(2)).toBe(1)
    expect(await within(60)).toBe(2)
    expect(new Set(said)).toEqual(new Set([`${node} 1`, `${node} 2`]))
  })

  test('is told once that nothing is left', async () => {
    await within(2)
    reports.clear()
    expect(await within(60)).toBe(1)
    expect(said.at(-1)).toBe(`${node} 0`)
  })

  test('that is not there is asked again until it is, and one that does not take it is left alone', async () => {
    answer = () => Promise.reject(new Error('refused'))
    expect(await within(10)).toBe(5)
    answer = async () => 404
    expect(await within(20)).toBe(1)
  })

  test('that has gone meanwhile is told all of it when it is back', async () => {
    await within(2)
    answer = () => Promise.reject(new Error('refused'))
    await within(40)
    const before = said.length
    answer = async () => 204
    expect(await within(2)).toBe(1)
    expect(await within(10)).toBe(0)
    expect(said.length).toBe(before + 1)
  })

  test('that does not answer keeps nobody waiting for longer than some seconds', async () => {
    answer = () => new Promise(() => {})
    const round = telling.tell()
    await settle()
    expect(said).toHaveLength(1)
    answer = async () => 204
    clock.advance(5000)
    await round
    expect(await within(2)).toBe(1)
  })

  test('is told what is left at the end, and nothing after that', async () => {
    await within(2)
    reports.clear()
    await telling.close()
    expect(said).toEqual([`${node} 1`, `${node} 0`])
    reports.set(node, told({ mounts: 3 }))
    expect(await within(60)).toBe(0)
  })
})
