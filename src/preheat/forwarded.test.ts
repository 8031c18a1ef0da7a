import { beforeEach, describe, expect, test } from 'bun:test'
import { infoOf } from '../../test/fakes/members.ts'
import { FakePreheats } from '../../test/fakes/preheats.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import type { Call } from '../wire/calls.ts'
import { maxControlBytes } from '../wire/messages.ts'
import { progressOf } from './body.ts'
import { errandCall } from './errand.ts'
import { ForwardedPreheats } from './forwarded.ts'
import { answerFor, preheatsCall, type Told } from './preheats-call.ts'

const idOf = (name: string) => `12D3KooW${name.padEnd(44, 'x')}`
const request = { what: ['debian'], platforms: 'all', target: { scope: 'all' } } as const

/** By scheduler, what it runs, in a state of its own. */
let schedulers: Map<string, FakePreheats>
let silent: Set<string>
let doubted: string[]
let asked: string[]
/** Of an answer, on its way. */
let change: (told: Told) => unknown
beforeEach(() => {
  schedulers = new Map(['one', 'two', 'three'].map((name, i) => [idOf(name), new FakePreheats(1000 * (i + 1))]))
  silent = new Set()
  doubted = []
  asked = []
  change = (told) => told
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
      const said = JSON.stringify(await change(await answerFor(schedulers.get(node.id)!, heard)))
      if (Buffer.byteLength(said) > maxControlBytes) throw new Failure('unavailable', 'it answered with too much')
      return call.reply.parse(JSON.parse(said))
    },
  }
  return new ForwardedPreheats(membership, outbound)
}

test('what is asked is asked of schedulers, and answered as if it had been asked there', async () => {
  const preheats = forwarded()
  const job = await preheats.start(request)
  expect(job).toMatchObject({ state: 'running', request: { what: ['docker.io/library/debian:latest'] } })
  expect([await preheats.find(job.id), await preheats.find(job.id + 1)]).toEqual([job, undefined])
  const { nodes: _, ...listed } = job
  expect(await preheats.list(10)).toEqual([listed])
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

describe('in a cluster of thousands', () => {
  const nodes = (count: number) =>
    Array.from({ length: count }, (_, i) => ({
      node: idOf(String(i).replaceAll('0', 'z')),
      state: i % 2 ? ('done' as const) : ('running' as const),
      bytes: 1,
      total: 2,
    }))
  /** Jobs with so many nodes, at the one scheduler that there is. */
  async function begun(jobs: number, count: number, names = 1) {
    const one = new FakePreheats()
    schedulers = new Map([[idOf('one'), one]])
    for (let i = 0; i < jobs; i++) {
      const what = Array.from({ length: names }, (_, n) => `registry.corp/${'long/'.repeat(20)}${i}-${n}:v1`)
      const job = await one.start({ ...request, what })
      one.jobs[i] = { ...job, ...progressOf(nodes(count)), nodes: nodes(count) }
    }
    return one
  }

  test('a list has all jobs, with sums and without nodes', async () => {
    await begun(40, 300)
    const jobs = await forwarded().list(50)
    expect(jobs).toHaveLength(40)
    expect(jobs[0]).toMatchObject({ bytes: 300, total: 600, counts: { done: 150, running: 150 } })
    expect([JSON.stringify(jobs).includes('nodes'), doubted]).toEqual([false, []])
  })

  test('what does not fit into one answer comes with the next', async () => {
    const one = await begun(100, 2, 100)
    expect((await forwarded().list(1000)).map(({ id }) => id)).toEqual(one.jobs.map(({ id }) => id).reverse())
    expect(await forwarded().list(90)).toHaveLength(90)
    one.jobs[0] = { ...one.jobs[0]!, ...progressOf(nodes(12_000)), nodes: nodes(12_000) }
    expect(await forwarded().find(one.jobs[0].id)).toEqual(one.jobs[0])
    // Who asks for the same is told of the same.
    expect(await forwarded().start(one.jobs[0].request)).toEqual(one.jobs[0])
  })

  test('a job that ends while its nodes are told is not over before all of them are', async () => {
    const one = await begun(1, 6000)
    const { id } = one.jobs[0]!
    change = (told) => {
      Object.assign(one.jobs[0]!, { state: 'done', nodes: nodes(6000).map((node) => ({ ...node, state: 'done' })) })
      return told
    }
    const found = await forwarded().find(id)
    expect([found?.state, found?.nodes.at(0)?.state, found?.nodes.at(-2)?.state]).toEqual([
      'running',
      'running',
      'done',
    ])
  })

  test('a scheduler of an earlier release, which sends all nodes and no sums, is understood', async () => {
    await begun(1, 10)
    change = ({ jobs, ...told }) => ({
      ...told,
      jobs: jobs.map(({ progress: _, ...job }) => ({ ...job, nodes: nodes(10) })),
    })
    expect(await forwarded().list(10)).toMatchObject([{ bytes: 10, total: 20, counts: { done: 5, running: 5 } }])
  })

  test('one that says again and again that there is more, and tells none, is asked no further', async () => {
    const one = await begun(1, 10)
    change = ({ jobs }) => ({ jobs: jobs.map((job) => ({ ...job, nodes: [] })), more: true })
    expect((await forwarded().find(one.jobs[0]!.id))?.nodes).toEqual([])
    change = () => ({ jobs: [], more: true })
    await expect(forwarded().list(10)).resolves.toEqual([])
  })
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

test('why another node failed is a line without commands to a terminal, whoever said it', async () => {
  const odd = 'it is full\u001b[2J\nshoal is fine\u009b'
  const plain = 'it is full?[2J?shoal is fine?'
  expect(errandCall.reply.parse({ state: 'failed', bytes: 0, total: 1, message: odd })).toMatchObject({
    message: plain,
  })
  const preheats = forwarded()
  const { id } = await preheats.start(request)
  change = ({ jobs }) => ({
    jobs: jobs.map((job) => ({ ...job, reason: odd, nodes: job.nodes.map((node) => ({ ...node, reason: odd })) })),
  })
  const found = await preheats.find(id)
  expect([found?.reason, ...found!.nodes.map(({ reason }) => reason)]).toEqual([plain, plain, plain])
})
