import { afterAll, beforeAll, expect, test } from 'bun:test'
import { z } from 'zod'
import { eventually, startTestNode, type TestNode } from '../../test/fakes/network.ts'
import { Failure } from '../failure.ts'
import { type Call, Calls } from './calls.ts'

const double: Call<{ n: number }, { twice: number }> = {
  name: 'double',
  request: z.object({ n: z.number().max(100) }),
  reply: z.object({ twice: z.number() }),
}

let a: TestNode
let b: TestNode
beforeAll(async () => {
  a = await startTestNode()
  b = await startTestNode({ join: [a.p2p], homes: ['apps.corp/**'] })
  await eventually('they know each other', () => a.network.membership.find(b.network.membership.self.id) !== undefined)
})
afterAll(() => Promise.all([a?.network.close(), b?.network.close()]))

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no failure',
    (error) => Failure.from(error).code,
  )

test('a part of a node is asked by another node, and by its own without a socket', async () => {
  b.network.calls.on(double, async ({ n }) => {
    if (n === 13) throw new Failure('no-name', 'not that one')
    return { twice: 2 * n }
  })
  const { outbound } = a.network
  const { self } = b.network.membership
  expect(await outbound.call(self, double, { n: 4 })).toEqual({ twice: 8 })
  expect(await b.network.outbound.call(self, double, { n: 5 })).toEqual({ twice: 10 })
  expect(await codeOf(outbound.call(self, double, { n: 13 }))).toBe('no-name')
  expect(await codeOf(outbound.call(self, double, { n: 101 }))).toBe('bad-request')
})

test('a call that a node does not know is refused', async () => {
  expect(await codeOf(b.network.outbound.call(a.network.membership.self, double, { n: 1 }))).toBe('bad-request')
  expect(await codeOf(new Calls().answer('double', {}))).toBe('bad-request')
})

test('others hear what a node keeps for the cluster', () => {
  const heard = a.network.membership.find(b.network.membership.self.id)
  expect(heard?.homes).toEqual(['apps.corp/**'])
  expect(a.network.membership.self.homes).toBeUndefined()
})
