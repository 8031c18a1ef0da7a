import { beforeEach, expect, test } from 'bun:test'
import type { NodeInfo } from '../cluster/node-info.ts'
import { LostNodes, lostRules } from './lost.ts'

const node = (id: string, url = `http://${id}:4881`): NodeInfo => {
  return { id, url, p2p: [], modes: ['seed'], version: '1', epoch: 'e1' }
}

let lost: LostNodes
beforeEach(() => {
  lost = new LostNodes()
})

test('who is lost is due again and again, less and less often, and in the end no more', () => {
  lost.add(node('a'), 0)
  const times: number[] = []
  for (let now = 0; now < 2 * lostRules.forget; now += 500) if (lost.due(now).length > 0) times.push(now)
  const apart = times.slice(1).map((at, i) => at - times[i]!)
  expect([times[0], apart[0], apart.at(-1)]).toEqual([lostRules.first, 7_500, lostRules.most])
  expect(times.at(-1)).toBeWithin(lostRules.forget - lostRules.most, lostRules.forget + 1)
  expect(lost.size).toBe(0)
})

test('of more than are kept, the oldest are given up', () => {
  for (let i = 0; i < 3 * lostRules.nodes; i++) lost.add(node(`n${i}`), i)
  lost.add(node(`n${2 * lostRules.nodes}`), 2_000)
  lost.add(node('another'), 3_000)
  const ids = lost.due(10_000).map(({ info }) => info.id)
  expect(ids.length).toBe(lostRules.nodes)
  expect([ids[0], ...ids.slice(-2)]).toEqual([`n${2 * lostRules.nodes + 2}`, `n${2 * lostRules.nodes}`, 'another'])
})

test('who is found is not lost, nor whoever lived at its address', () => {
  lost.add(node('a', 'http://host:1'), 0)
  lost.add(node('b', 'http://host:2'), 0)
  const [first] = lost.due(lostRules.first)
  expect(lost.has(first!)).toBe(true)
  lost.found(node('c', 'http://host:1'))
  lost.found(node('b', 'http://elsewhere:1'))
  expect([lost.has(first!), lost.size]).toEqual([false, 0])
})

test('of two that were lost at one address, the later one is looked for', () => {
  lost.add(node('a', 'http://host:1'), 0)
  lost.add(node('b', 'http://host:1'), 1)
  lost.found(node('a', 'http://elsewhere:1'))
  expect(lost.due(lostRules.first + 1).map(({ info }) => info.id)).toEqual(['b'])
})
