import { beforeEach, expect, test } from 'bun:test'
import { infoOf } from '../../test/fakes/members.ts'
import { FakePreheats } from '../../test/fakes/preheats.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import type { Call } from '../wire/calls.ts'
import { answerFor, ForwardedPreheats, preheatsCall } from './forwarded.ts'

const idOf = (name: string) => `12D3KooW${name.padEnd(44, 'x')}`
const request = { what: ['debian'], platforms: 'all', target: { scope: 'all' } } as const

/** By scheduler, what it runs, in a state of its own. */
let schedulers: Map<string, FakePreheats>
let silent: Set<string>
let doubted: string[]
let asked: string[]
beforeEach(() => {
  schedulers = new Map(['one', 'two', 'three'].map((name, i) => [idOf(name), new FakePreheats(1000 * (i + 1))]))
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

test('what is asked is asked of schedulers, and answered as if it had been asked there', async () => {
  const preheats = forwarded()
  const job = await preheats.start(request)
  expect(job).toMatchObject({ state: 'running', request: { what: ['docker.io/library/debian:latest'] } })
  expect([await preheats.find(job.id), await preheats.find(job.id + 1)]).toEqual([job, undefined])
  expect(await preheats.list(10)).toEqual([job])
  expect([await preheats.cancel(job.id), await preheats.cancel(job.id)]).toEqual([true, false])
})

test('a new one is always for the same scheduler while that is there, whoever asks for it', async () => {
  for (let i = 0; i < 3; i++) await forwarded().start({ ...request, what: [`debian:${i}`] })
  expect(new Set(asked).size).toBe(1)
  silent.add(asked[0]!)
  const elsewhere = await forwarded().start(request)
  expect(doubted).toEqual([asked[0]!])
  silent.clear()
  expect(await forwarded().find(elsewhere.id)).toEqual(elsewhere)
})

test('a job whose scheduler is away is neither found nor cancelled as one of another scheduler', async () => {
  const preheats = forwarded()
  const job = await preheats.start(request)
  const [its] = asked
  for (const each of schedulers.values()) await each.start(request)
  const gone = schedulers.get(its!)!
  silent.add(its!)
  await expect(preheats.find(job.id)).rejects.toThrow('no route to host')
  await expect(preheats.cancel(job.id)).rejects.toThrow('no route to host')
  schedulers.delete(its!)
  expect([await preheats.find(job.id), await preheats.cancel(job.id)]).toEqual([undefined, false])
  for (const { jobs } of [gone, ...schedulers.values()]) expect(jobs.map(({ state }) => state)).toEqual(['running'])
})

test('a list is of what all schedulers have, the newest first and each once; of nothing only if all have nothing', async () => {
  const [one, two, three] = [...schedulers.values()] as [FakePreheats, FakePreheats, FakePreheats]
  silent.add(idOf('three'))
  await expect(forwarded().list(10)).rejects.toThrow('no route to host')
  const [old, young] = [await one.start(request), await two.start(request)]
  two.jobs[0] = { ...young, createdAt: young.createdAt + 1 }
  expect((await forwarded().list(10)).map(({ id }) => id)).toEqual([young.id, old.id])
  silent.clear()
  // It shares a state with the first, and runs what that one has from it.
  three.jobs.push({ ...old, state: 'done', updatedAt: old.updatedAt + 1 })
  const [last, first] = await forwarded().list(10)
  expect([last!.id, first!.id, first!.state]).toEqual([young.id, old.id, 'done'])
  expect((await forwarded().list(1)).map(({ id }) => id)).toEqual([young.id])
})

test('what a scheduler says no to is asked of no other', async () => {
  for (const each of schedulers.values()) each.find = () => Promise.reject(new Failure('bad-request', 'not like that'))
  await expect(forwarded().find(1)).rejects.toThrow('not like that')
  expect([asked.length, doubted]).toEqual([1, []])
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
