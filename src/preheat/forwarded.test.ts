import { beforeEach, expect, test } from 'bun:test'
import { infoOf } from '../../test/fakes/members.ts'
import { FakePreheats } from '../../test/fakes/preheats.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import type { Call } from '../wire/calls.ts'
import { answerFor, ForwardedPreheats, preheatsCall } from './forwarded.ts'

const idOf = (name: string) => `12D3KooW${name.padEnd(44, 'x')}`
const request = { what: ['debian'], platforms: 'all', target: { scope: 'all' } } as const

/** By scheduler, what it runs. */
let schedulers: Map<string, FakePreheats>
let silent: Set<string>
let doubted: string[]
let asked: string[]
beforeEach(() => {
  schedulers = new Map(['one', 'two', 'three'].map((name) => [idOf(name), new FakePreheats()]))
  silent = new Set()
  doubted = []
  asked = []
})

function forwarded(): ForwardedPreheats {
  const membership = {
    withMode: () => [...schedulers.keys()].map((id) => infoOf(id, { modes: ['scheduler'] })),
    doubt: (id: string) => void doubted.push(id),
  }
  const outbound = {
    call: async <Q extends object, A extends object>(node: NodeInfo, call: Call<Q, A>, question: Q): Promise<A> => {
      asked.push(node.id)
      if (silent.has(node.id)) throw new Failure('unavailable', 'no route to host')
      const heard = preheatsCall.request.parse(JSON.parse(JSON.stringify(question)))
      return call.reply.parse(JSON.parse(JSON.stringify(await answerFor(schedulers.get(node.id)!, heard))))
    },
  }
  return new ForwardedPreheats(membership, outbound)
}

test('whatever is asked is asked of one scheduler, and answered as if it had been asked there', async () => {
  const preheats = forwarded()
  const job = await preheats.start(request)
  expect(job).toMatchObject({ id: 1, state: 'running', request: { what: ['docker.io/library/debian:latest'] } })
  expect([await preheats.find(1), await preheats.find(2)]).toEqual([job, undefined])
  expect(await preheats.list(10)).toEqual([job])
  expect([await preheats.cancel(1), await preheats.cancel(1)]).toEqual([true, false])
  expect(new Set(asked).size).toBe(1)
  // Another node asks the same one.
  await forwarded().list(10)
  expect(new Set(asked).size).toBe(1)
})

test('a scheduler that does not answer is passed over, and one that says no is not', async () => {
  const preheats = forwarded()
  await preheats.list(1)
  const [first] = asked
  silent.add(first!)
  expect((await preheats.start(request)).id).toBe(1)
  expect(doubted).toEqual([first!])
  for (const each of schedulers.values()) each.list = () => Promise.reject(new Failure('bad-request', 'not like that'))
  const before = asked.length
  await expect(preheats.list(1)).rejects.toThrow('not like that')
  expect(asked.length - before).toBe(2)
})

test('where no scheduler is known, or none answers, that is what is said', async () => {
  silent = new Set(schedulers.keys())
  await expect(forwarded().list(1)).rejects.toThrow('no route to host')
  schedulers.clear()
  await expect(forwarded().start(request)).rejects.toThrow('preheats are run by schedulers, and none is known here')
})

test('logins are not passed on, and what is no name is refused here', async () => {
  const authorizations = { 'docker.io': 'Bearer secret' }
  await expect(forwarded().start({ ...request, authorizations })).rejects.toThrow('ask a scheduler')
  await expect(forwarded().start({ ...request, what: ['Debian'] })).rejects.toThrow('Debian')
  expect(asked).toEqual([])
})
