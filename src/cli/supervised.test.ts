import { expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import type { StartedNode } from './context.ts'
import { supervised } from './supervised.ts'

function started(watchdogMs?: number) {
  const clock = new FakeClock()
  const told: string[] = []
  const inner: StartedNode = { summary: () => ['shoal 1.2.3, node x', 'more'], close: async () => {} }
  return { clock, told, node: supervised(inner, { tell: (message) => void told.push(message), watchdogMs }, clock) }
}

test('the manager is told when it is ready and when it ends', async () => {
  const { node, told } = started()
  expect(told).toEqual(['READY=1\nSTATUS=shoal 1.2.3, node x'])
  await node.close('SIGTERM')
  expect(told.slice(1)).toEqual(['STOPPING=1\nSTATUS=SIGTERM: what is under way may finish'])
})

test('a watchdog hears three beats in its time, and none when the node has ended', async () => {
  const { node, told, clock } = started(60_000)
  const beats = () => told.filter((message) => message === 'WATCHDOG=1').length
  clock.advance(60_000)
  expect(beats()).toBe(3)
  await node.close('SIGTERM')
  clock.advance(60_000)
  expect(beats()).toBe(3)
})

test('without a watchdog there are no beats', () => {
  const { told, clock } = started()
  clock.advance(3_600_000)
  expect(told).toHaveLength(1)
})
