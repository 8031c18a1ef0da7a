import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { settle } from '../../test/fakes/clock.ts'
import { LoneNode } from '../../test/fakes/lone-node.ts'
import { infoOf } from '../../test/fakes/members.ts'
import { FakePreheats } from '../../test/fakes/preheats.ts'
import {
  blobPageSchema,
  blobSchema,
  memberSchema,
  type NodeView,
  nodeSchema,
  swarmSchema,
  transfersSchema,
} from '../admin/view.ts'
import { seededRandom } from '../clock.ts'
import { Failure } from '../failure.ts'
import { Mounted } from '../lazy/mounted.ts'
import { Meter } from '../meter.ts'
import { digestOf } from '../oci/digest.ts'
import { repositoryOf } from '../oci/reference.ts'
import { Swarms } from '../scheduler/swarms.ts'
import { openSqlite } from '../state/sqlite.ts'
import type { State } from '../state/state.ts'
import { Recent } from '../telemetry/faults.ts'
import { History } from '../telemetry/history.ts'
import { LogLevels } from '../telemetry/log-level.ts'
import { createLog } from '../telemetry/pino.ts'
import { type NodeParts, viewOf } from './view.ts'

const repository = repositoryOf('docker.io', 'library/debian')
const layer = bytesOf(1_000_000)

let node: LoneNode
let swarms: Swarms
let notReady: string[]
let endpoints: ReturnType<NodeParts['endpoints']>
let view: NodeView
let stateTags: State['tags']
let known: ReturnType<NodeParts['lazy']['indexes']['facts']>
beforeEach(async () => {
  const { tags } = await openSqlite(':memory:')
  stateTags = tags
  node = new LoneNode()
  swarms = new Swarms(seededRandom(1))
  notReady = []
  known = { indexed: [], making: [], unindexed: [] }
  endpoints = []
  view = viewOf({
    ...parts(),
    swarms,
    preheats: new FakePreheats(),
    replication: undefined,
    policy: undefined,

    notReady: () => notReady,
  })
})
afterEach(() => node.close())

function parts() {
  const { membership, store, bans, swarm, seeder, clock, metrics } = node
  const meter = () => new Meter(clock.now())
  return {
    settings: { node: { dataDir: '/var/lib/shoal', zone: 'eu/a' }, cluster: { encrypt: false } },
    addresses: { registry: '127.0.0.1:4880', admin: '127.0.0.1:4883' },
    ring: undefined,
    levels: new LogLevels(createLog({ level: 'warn', format: 'json', color: false }, { write() {} }), clock),
    membership,
    store,
    bans,
    lazy: { indexes: { facts: () => known }, measure: () => {}, mounted: new Mounted(clock, metrics) },
    state: { where: '/var/lib/shoal/state.db', state: { trouble: undefined, tags: stateTags } },
    keeping: { owed: { waiting: 3, oldestAt: clock.wall() - 90_000 }, facts: () => Promise.reject() },
    mender: { due: 2, damaged: 1 },
    engine: { folders: () => [{ path: '/var/lib/containerd/blobs', trouble: 'EACCES' }] },
    swarm,
    seeder,
    clock,
    metrics,
    history: new History(),
    recent: new Recent(clock),
    cluster: { now: () => Promise.reject(), history: () => Promise.reject() },
    rates: { received: meter(), sent: meter(), source: meter() },
    endpoints: () => endpoints,
  }
}

test('endpoints are told where a registry has several, with the time since which one is out of use', () => {
  expect(view.node().sources).toBeUndefined()
  const down = { url: 'https://a/v2', state: 'down', reason: 'it is gone' } as const
  const up = { url: 'https://b/v2', state: 'up' } as const
  endpoints = [{ registry: 'r.io', endpoints: [{ ...down, since: node.clock.now() }, up] }]
  const at = new Date(node.clock.wall()).toISOString()
  expect(nodeSchema.parse(view.node()).sources).toEqual([{ registry: 'r.io', endpoints: [{ ...down, since: at }, up] }])
})

test('the log level is told and changed, with the end of its time as a date', () => {
  expect(view.logLevel()).toEqual({ level: 'warn', configured: 'warn' })
  const until = new Date(node.clock.wall() + 60_000).toISOString()
  expect(view.setLogLevel('debug', 60_000)).toEqual({ level: 'debug', configured: 'warn', until })
})

test('the metrics of a node say how it is before anything happened', async () => {
  view.beforeMetrics?.()
  const text = await node.metrics.registry.metrics()
  for (const line of ['shoal_ready 1', 'shoal_store_trouble 0', 'shoal_downloads_stalled 0', 'shoal_bans 0']) {
    expect(text.split('\n')).toContain(line)
  }
})

test('tells which layers have indexes and who made them, which are on their way, and which cannot have one and why', () => {
  const [index, diffId, other] = ['index', 'unpacked', 'other'].map((text) => digestOf(Buffer.from(text)))
  const at = Date.UTC(2026, 0, 2)
  const statement = { layer: digestOf(layer), index: index!, diffId: diffId!, size: 7, signer: 'seed' }
  known = {
    indexed: [{ statement: { ...statement, signature: new Uint8Array() }, at, checkedAt: at, here: true }],
    making: [[diffId!, { done: 1, total: 4 }]],
    unindexed: [{ layer: other!, reason: 'it is one zstd frame', at }],
  }
  node.store.seenIn(digestOf(layer), repository)
  expect(view.layers().layers).toEqual([
    { digest: diffId!, repositories: [], state: 'making', progress: { done: 1, total: 4 } },
    {
      digest: digestOf(layer),
      repositories: ['docker.io/library/debian'],
      state: 'indexed',
      index: { digest: index!, bytes: 7, here: true, diffId: diffId! },
      by: 'seed',
      checkedAt: '2026-01-02T00:00:00.000Z',
    },
    { digest: other!, repositories: [], state: 'cannot', reason: 'it is one zstd frame' },
  ])
})

test('says what is owed to backends and for how long, where anything ever is', () => {
  expect(view.node().owed).toEqual({ waiting: 3, oldestSeconds: 90 })
  const keeping = { owed: undefined, facts: () => Promise.reject() }
  const none = viewOf({
    ...parts(),
    keeping,
    swarms,
    preheats: new FakePreheats(),
    replication: undefined,
    policy: undefined,
    notReady: () => [],
  })
  expect(none.node().owed).toBeUndefined()
})

test('says where tags and jobs are kept, and why they cannot be asked for', () => {
  expect(view.node().state).toEqual({ where: '/var/lib/shoal/state.db' })
  const state = { where: 'postgres://shoal@db/images', state: { trouble: 'no route to host', tags: stateTags } }
  const told = viewOf({
    ...parts(),
    swarms,
    preheats: new FakePreheats(),
    replication: undefined,
    policy: undefined,

    state,
    notReady: () => [],
  }).node()
  expect(told.state).toEqual({ where: 'postgres://shoal@db/images', trouble: 'no route to host' })
  expect(told.notReady).toEqual([])
})

test('a pinned blob is not removed before it is unpinned', async () => {
  const { digest } = await node.store.put({ digest: digestOf(layer), kind: 'blob' }, layer)
  expect(await view.pin(digest, 3600_000)).toMatchObject({ name: digest, blobs: 1, missing: 0 })
  await expect(view.removeBlob(digest)).rejects.toMatchObject({ code: 'pinned', status: 409 })
  expect((await view.evict(0, false)).keep).toMatchObject([{ reason: expect.stringMatching(/^pinned until 20/) }])
  expect([view.unpin(digest), await view.removeBlob(digest), await view.removeBlob(digest)]).toEqual([
    true,
    true,
    false,
  ])
})

test.each([
  ['the state is away', new Failure('unavailable', 'no route to the state')],
  ['another node sweeps', new Failure('try-later', 'another node is about to')],
])('what is cached is evicted also where rules cannot be asked: %s', async (_, why) => {
  const policy = { plan: () => Promise.reject(why), sweep: () => Promise.reject(why) }
  const seed = viewOf({
    ...parts(),
    swarms,
    preheats: new FakePreheats(),
    replication: undefined,
    policy,
    notReady: () => [],
  })
  const { digest } = await node.store.put({ digest: digestOf(layer), kind: 'blob' }, layer)
  expect(await seed.evict(0, false)).toMatchObject({ done: false, remove: [{ digest }], trouble: why.message })
  expect(await seed.evict(0, true)).toMatchObject({ done: true, remove: [{ digest }], trouble: why.message })
  expect(node.store.find(digest)).toBeUndefined()
})

test('a node tells who and where it is, since when, and what keeps it from serving', () => {
  node.clock.advance(90_000)
  notReady = ['the node is shutting down']
  const facts = nodeSchema.parse(view.node())
  expect(facts).toMatchObject({
    id: 'self',
    uptimeSeconds: 90,
    zone: 'eu/a',
    modes: ['peer', 'seed', 'scheduler'],
    addresses: { registry: '127.0.0.1:4880', peer: 'http://self:4881' },
    cluster: { admission: 'open', encrypted: false },
    notReady: ['the node is shutting down'],
  })
  expect(Date.parse(facts.startedAt)).toBe(node.clock.wall() - 90_000)
})

test('members are this node and those it heard from, with how long ago that was', () => {
  node.membership.heard(infoOf('other', { zone: 'eu/b' }), node.clock.now())
  node.clock.advance(2500)
  const members = view.members().map((member) => memberSchema.parse(member))
  expect(members).toMatchObject([
    { id: 'self', self: true, secondsSinceHeard: 0 },
    { id: 'other', self: false, secondsSinceHeard: 2.5, zone: 'eu/b', url: 'http://other:4881' },
  ])
})

describe('a blob on its way', () => {
  test('is a download with its pieces, its reader and its source, and a blob when it has come', async () => {
    const digest = node.source.add(layer)
    node.source.chunk = 262_144
    let open = () => {}
    node.source.gate = () => (node.source.sent < 300_000 ? undefined : new Promise<void>((resolve) => (open = resolve)))
    node.store.seenIn(digest, repository)
    const opening = node.content.open(repository, digest)
    await node.clock.run(500)
    const reader = await opening
    const reading = reader.read({ start: 0, end: layer.length }, new AbortController().signal)[Symbol.asyncIterator]()
    await reading.next()
    const { downloads, uploads } = transfersSchema.parse(view.transfers())
    expect(uploads).toEqual([])
    expect(downloads).toMatchObject([
      {
        digest,
        size: 1_000_000,
        bytes: 524_288,
        pieces: { have: 2, total: 4 },
        readers: 1,
        parents: [{ id: 'source' }],
      },
    ])
    expect(blobSchema.parse(view.blob(digest))).toMatchObject({ complete: false, pieces: { have: 2, total: 4 } })
    node.source.gate = () => {}
    open()
    await settle()
    for await (const _ of { [Symbol.asyncIterator]: () => reading });
    reader.close()
    await settle()
    expect(view.transfers().downloads).toEqual([])
    expect(blobPageSchema.parse(view.blobs({ limit: 15, offset: 0 })).blobs).toMatchObject([
      { digest, complete: true, repositories: ['docker.io/library/debian'] },
    ])
    expect(await view.removeBlob(digest)).toBe(true)
    expect(view.blob(digest)).toBeUndefined()
  })
})

test('a swarm is shown with its members and why they were named, the latest decision first', () => {
  const digest = node.source.add(layer)
  const asked = { digest, pieces: 0, connected: [], failed: [], stalled: false }
  const peer = (id: string) => ({ id, seed: false, load: 0 })
  swarms.node(peer('holder'))
  swarms.holds('holder', digest, layer.length, 4, true, 0)
  swarms.decide(peer('a'), asked, 0)
  node.clock.advance(1000)
  swarms.decide(peer('b'), { ...asked, connected: ['holder'] }, 1000)
  const [facts] = view.swarms().map((swarm) => swarmSchema.parse(swarm))
  expect(facts).toMatchObject({ digest, size: layer.length })
  expect(facts!.members).toContainEqual({ node: 'holder', pieces: 4, complete: true })
  expect(facts!.decisions.map(({ node: asker }) => asker)).toEqual(['b', 'a'])
  expect(facts!.decisions[1]!.parents).toEqual([{ node: 'holder', reason: 'holds the whole blob' }])
  expect(facts!.decisions[0]!.parents).toEqual([{ node: 'a', reason: 'one of the holders' }])
  expect(Date.parse(facts!.decisions[0]!.at)).toBe(node.clock.wall())
})

test('a node that is no scheduler has no swarms to show', () => {
  expect(
    viewOf({
      ...parts(),
      swarms: undefined,
      preheats: new FakePreheats(),
      replication: undefined,
      policy: undefined,

      notReady: () => [],
    }).swarms(),
  ).toEqual([])
})

test('what the store holds is measured when metrics are asked for', async () => {
  const digest = node.source.add(layer)
  await node.store.put({ digest, kind: 'blob' }, layer)
  view.beforeMetrics?.()
  const text = await node.metrics.registry.metrics()
  expect(text).toContain('shoal_blobs{state="complete"} 1')
  expect(text).toContain('shoal_blobs{state="partial"} 0')
  expect(text).toContain(`shoal_store_bytes ${layer.length}`)
})
