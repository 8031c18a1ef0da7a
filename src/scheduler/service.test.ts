import { beforeEach, describe, expect, test } from 'bun:test'
import { FakeClock, settle } from '../../test/fakes/clock.ts'
import { infoOf } from '../../test/fakes/members.ts'
import { seededRandom } from '../clock.ts'
import { MemberTable } from '../cluster/member-table.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { repositoryOf } from '../oci/reference.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { type Announce, type FetchOrder, fetchOrderSchema, type Schedule } from '../wire/messages.ts'
import { orderOf } from '../wire/order.ts'
import { Scheduler } from './service.ts'
import { Swarms } from './swarms.ts'

const digest = digestOf(Buffer.from('a layer'))
const location = { repository: repositoryOf('docker.io', 'library/debian'), kind: 'blob', digest } as const

let clock: FakeClock
let table: MemberTable
let swarms: Swarms
let scheduler: Scheduler
let ordered: string[]
let refuse: Error | undefined
let doubted: string[]
const metrics = createMetrics()

function start(self: NodeInfo, ...known: NodeInfo[]): void {
  clock = new FakeClock()
  table = new MemberTable(self, () => clock.now())
  join(...known)
  doubted = []
  table.onDoubt((id) => doubted.push(id))
  swarms = new Swarms(seededRandom(1))
  ordered = []
  refuse = undefined
  const order = (id: string, { location: at }: FetchOrder) => {
    ordered.push(`${id} ${at.digest === digest ? 'fetches' : 'is told nonsense'}`)
    if (refuse) throw refuse
  }
  scheduler = new Scheduler({
    swarms,
    membership: table,
    outbound: { order: async (node, given) => order(node.id, given) },
    clock,
    log: silentLog,
    metrics,
    orderSelf: (given) => order('self', given),
  })
}

beforeEach(() => start(infoOf('scheduler', { modes: ['scheduler'] })))

const join = (...infos: NodeInfo[]) => {
  for (const info of infos) table.heard(info, clock.now())
}
const announce = (node: NodeInfo, rest: Partial<Announce> = {}) =>
  scheduler.announce({
    node,
    uploads: 0,
    uploadSlots: 8,
    full: false,
    holdings: [],
    gone: [],
    leaving: false,
    ...rest,
  })
const ask = (node: NodeInfo, rest: Partial<Schedule> = {}) =>
  scheduler.schedule({ node, location, pieces: 0, connected: [], failed: [], stalled: false, ...rest })
const holding = { digest, size: 5_000_000, pieces: 20, complete: true }

const seed = infoOf('seed', { modes: ['seed'] })
const peer = infoOf('peer', { zone: 'eu/a' })
const asker = infoOf('asker')

test('a scheduler that is a seed too orders itself', () => {
  start(infoOf('scheduler', { modes: ['scheduler', 'seed'] }))
  join(asker)
  expect(ask(asker).fetcher).toBe('scheduler')
  expect(ordered).toEqual(['self fetches'])
})

test('a seed that was there before the scheduler began is known to it', () => {
  start(infoOf('scheduler', { modes: ['scheduler'] }), seed)
  join(asker)
  expect(ask(asker).fetcher).toBe('seed')
})

describe('a request for parents', () => {
  test('tells one seed to fetch the blob, once, and names it', () => {
    join(seed, asker, peer)
    const reply = ask(asker)
    expect(reply.fetcher).toBe('seed')
    expect(reply.parents).toEqual([{ node: { id: 'seed', url: seed.url }, pieces: 0, complete: false }])
    ask(peer)
    expect(ordered).toEqual(['seed fetches'])
  })

  test('names who announced the blob, with its address and zone, and says its size', () => {
    join(asker, peer)
    announce(peer, { holdings: [holding] })
    const reply = ask(asker)
    expect(reply).toMatchObject({ size: 5_000_000 })
    expect(reply.parents).toEqual([{ node: { id: 'peer', url: peer.url, zone: 'eu/a' }, pieces: 20, complete: true }])
    expect(reply.fetcher).toBeUndefined()
  })

  test('makes those that failed the asking node be looked at', () => {
    join(asker, peer)
    ask(asker, { failed: [{ node: 'peer', reason: 'reset' }] })
    expect(doubted).toEqual(['peer'])
  })

  test('of a node that said goodbye leaves nothing behind', () => {
    join(asker)
    table.leave('asker', clock.now())
    expect(table.heard(asker, clock.now())).toBe('ignored')
    ask(asker)
    expect(swarms.size).toBe(0)
  })
})

test('an order carries the size that the asking node was told', () => {
  expect(orderOf({ location, size: 5 })).toEqual({ location, size: 5 })
  expect(orderOf({ location, part: true })).toEqual({ location, part: true })
  expect(fetchOrderSchema.parse(orderOf({ location, size: 5, part: true }))).toEqual({ location, size: 5, part: true })
  expect(fetchOrderSchema.parse(orderOf({ location }))).toEqual({ location })
})

describe('a seed that does not take its order', () => {
  test('is doubted, and another one is told when somebody asks next', async () => {
    const second = infoOf('second', { modes: ['seed'] })
    join(seed, second, asker)
    refuse = new Failure('unavailable', 'no answer')
    const first = ask(asker).fetcher!
    await settle()
    expect(doubted).toEqual([first])
    refuse = undefined
    expect(ask(asker).fetcher).toBe(first === 'seed' ? 'second' : 'seed')
    expect(ordered).toHaveLength(2)
  })

  test('does not fail the request when it is this node itself', async () => {
    start(infoOf('scheduler', { modes: ['scheduler', 'seed'] }))
    join(asker)
    refuse = new Failure('no-space', 'the disk is full')
    expect(ask(asker).fetcher).toBe('scheduler')
    await settle()
    expect(ask(asker).fetcher).toBe('asker')
  })
})

describe('an announce', () => {
  test('adds, changes and takes away holdings', () => {
    join(asker, peer)
    announce(peer, { holdings: [{ ...holding, pieces: 3, complete: false }] })
    expect(ask(asker).parents).toMatchObject([{ pieces: 3 }])
    announce(peer, { holdings: [holding] })
    expect(ask(asker).parents).toMatchObject([{ pieces: 20 }])
    announce(peer, { gone: [digest] })
    expect(ask(asker).parents).toEqual([])
  })

  test('that is full replaces what was announced before', () => {
    join(asker, peer)
    announce(peer, { holdings: [holding] })
    announce(peer, { full: true })
    expect(ask(asker).parents).toEqual([])
  })

  test('says how busy a node is: who has a free slot is named before who has none', () => {
    const busy = infoOf('busy')
    join(asker, peer, busy)
    for (const node of [busy, peer]) announce(node, { holdings: [holding], uploads: node === busy ? 99 : 0 })
    for (let i = 0; i < 20; i++) expect(ask(asker).parents.map(({ node }) => node.id)).toEqual(['peer', 'busy'])
    announce(peer, { uploadSlots: 0 })
    announce(busy, { uploads: 4 })
    for (let i = 0; i < 20; i++) expect(ask(asker).parents.map(({ node }) => node.id)).toEqual(['busy', 'peer'])
  })

  test('that says goodbye ends what was known, and a late one does not bring it back', () => {
    join(asker, peer)
    announce(peer, { holdings: [holding] })
    table.leave('peer', clock.now())
    announce(peer, { leaving: true })
    announce(peer, { holdings: [holding] })
    expect(swarms.size).toBe(0)
    expect(ask(asker).parents).toEqual([])
  })
})

test('a node that is gone is in no swarm', () => {
  join(asker, peer)
  announce(peer, { holdings: [holding] })
  table.drop('peer', clock.now(), 'silent')
  expect(ask(asker).parents).toEqual([])
})

test('a fetcher that restarts is told again', () => {
  join(seed, asker)
  ask(asker)
  join({ ...seed, epoch: '2' })
  expect(ask(asker).fetcher).toBe('seed')
  expect(ordered).toEqual(['seed fetches', 'seed fetches'])
})

test('every request is counted', async () => {
  const count = async () => (await metrics.schedulerDecisions.get()).values[0]?.value ?? 0
  const before = await count()
  join(asker)
  ask(asker)
  ask(asker)
  expect(await count()).toBe(before + 2)
})

test('a node that was taken for gone is asked to say once more what it holds', () => {
  const peer = infoOf('peer', { modes: ['peer'] })
  join(peer)
  expect(announce(peer, { full: true, holdings: [{ digest, size: 5, pieces: 1, complete: true }] })).toBe(true)
  expect(announce(peer)).toBe(true)
  table.drop(peer.id, clock.now(), 'it does not answer')
  join(peer)
  expect(announce(peer)).toBe(false)
  expect(announce(peer, { full: true })).toBe(true)
  expect(announce(peer)).toBe(true)
})
