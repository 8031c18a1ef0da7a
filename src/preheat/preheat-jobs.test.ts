import { afterEach, beforeEach, describe, expect, spyOn, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { infoOf } from '../../test/fakes/members.ts'
import { RecordedLog } from '../../test/fakes/registry-source.ts'
import { Acquaintance } from '../cluster/acquaintance.ts'
import { MemberTable } from '../cluster/member-table.ts'
import type { Mode, NodeId, NodeInfo } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { manifestTypes } from '../oci/media.ts'
import { formatReference, formatRepository, type Repository } from '../oci/reference.ts'
import type { Credential } from '../source/docker-config.ts'
import { openSqlite } from '../state/sqlite.ts'
import type { State } from '../state/state.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import type { Call } from '../wire/calls.ts'
import { type Errand, type ErrandReply, errandCall } from './errand.ts'
import { ForwardedPreheats } from './forwarded.ts'
import type { Reading } from './parts.ts'
import { PreheatJobs } from './preheat-jobs.ts'
import type { PreheatJob, PreheatRequest, Target } from './preheats.ts'
import { answerFor } from './preheats-call.ts'

const idOf = (name: string): NodeId => `12D3KooW${name.padEnd(44, 'x')}`
const bytes = (text: string) => new TextEncoder().encode(text)

/** Images that their registry has: a manifest with a layer, or an index of such. */
class Registry implements Reading {
  readonly manifests = new Map<string, Uint8Array>()
  readonly files = new Map<string, { digest: Digest; size: number }>()
  readonly asked: string[] = []
  failure: Failure | undefined

  image(name: string, layer: string): Digest {
    const blob = { mediaType: 'application/layer', digest: digestOf(bytes(layer)), size: layer.length }
    return this.#put(name, { mediaType: manifestTypes.ociManifest, layers: [blob] })
  }
  index(name: string, images: Record<string, Digest>): Digest {
    const manifests = Object.entries(images).map(([platform, digest]) => {
      const [os, architecture] = platform.split('/')
      return { mediaType: manifestTypes.ociManifest, digest, size: 100, platform: { os, architecture } }
    })
    return this.#put(name, { mediaType: manifestTypes.ociIndex, manifests })
  }
  #put(name: string, manifest: object): Digest {
    const text = bytes(JSON.stringify(manifest))
    const digest = digestOf(text)
    const [repository] = name.split(':')
    this.manifests.set(name, text).set(`${repository}@${digest}`, text)
    return digest
  }

  async manifest(repository: Repository, reference: string) {
    const name = `${formatRepository(repository)}${reference.startsWith('sha256:') ? '@' : ':'}${reference}`
    this.asked.push(name)
    if (this.failure) throw this.failure
    const found = this.manifests.get(name)
    if (!found) throw new Failure('no-manifest', `there is no ${name}`)
    return { digest: digestOf(found), bytes: found }
  }
  async latest(repository: Repository) {
    const file = this.files.get(formatRepository(repository))
    if (!file) throw new Failure('reading', 'it is read for its digest')
    return file
  }
}

/** A node as an errand sees it. */
class Place {
  readonly errands: Errand[] = []
  answer: (errand: Errand) => ErrandReply | Failure = (errand) =>
    errand.over ? reply('cancelled') : this.told ? reply('done') : reply('unknown')
  constructor(readonly info: NodeInfo) {}

  /** What it was sent for, by digest. */
  get told(): Digest[] | undefined {
    return this.errands
      .findLast(({ content }) => content)
      ?.content?.flatMap(({ parts }) => parts.map(({ digest }) => digest))
  }
}

const reply = (state: ErrandReply['state'], more: Partial<ErrandReply> = {}): ErrandReply => ({
  state,
  bytes: 10,
  total: 10,
  ...more,
})

const clock = () => new FakeClock()
let time: FakeClock
let registry: Registry
let state: State
let places: Place[]
const running: PreheatJobs[] = []
const lent: string[] = []
let log: RecordedLog

beforeEach(async () => {
  time = clock()
  registry = new Registry()
  registry.image('docker.io/library/app:v1', 'a layer')
  state = await openSqlite(':memory:')
  places = [place('one', ['scheduler', 'seed', 'peer'], 'eu/fra'), place('two', ['seed']), place('three', ['peer'])]
  lent.length = 0
  log = new RecordedLog()
})
afterEach(async () => {
  await Promise.all(running.splice(0).map((jobs) => jobs.close()))
  await state.close()
})

function place(name: string, modes: Mode[], zone?: string): Place {
  return new Place(infoOf(idOf(name), { modes, ...(zone ? { zone } : {}) }))
}

/** A scheduler that has known all places for long. */
function scheduler(name = 'one'): PreheatJobs {
  const membership = tableOf(name)
  for (const { info } of places) if (info.id !== membership.self.id) membership.heard(info, time.now())
  return schedulerWith(membership, { complete: true })
}

function tableOf(name: string): MemberTable {
  const self = infoOf(idOf(name), { modes: ['scheduler'] })
  return new MemberTable(places.find(({ info }) => info.id === self.id)?.info ?? self, () => time.now())
}

function schedulerWith(membership: MemberTable, acquaintance: Pick<Acquaintance, 'complete'>): PreheatJobs {
  const jobs = new PreheatJobs({
    jobs: state.jobs,
    membership,
    acquaintance,
    outbound: {
      call: async <Q extends object, A extends object>(node: NodeInfo, call: Call<Q, A>, request: Q): Promise<A> => {
        expect(call.name).toBe(errandCall.name)
        const errand = errandCall.request.parse(request)
        const found = places.find(({ info }) => info.id === node.id)!
        found.errands.push(errand)
        const answer = found.answer(errand)
        if (answer instanceof Failure) throw answer
        return call.reply.parse(answer)
      },
    },
    content: registry,
    door: {
      takesLogins: (registry) => registry === 'docker.io',
      lend: (repository: Repository, credential: Credential) =>
        void lent.push(`${formatReference(repository)} ${credential.kind}`),
    },
    clock: time,
    log,
    metrics: createMetrics(),
  })
  running.push(jobs)
  return jobs
}

/** Time passes, and what does I/O meanwhile gets done. */
async function pass(ms: number): Promise<void> {
  for (let gone = 0; gone < ms; gone += 100) {
    await time.run(100)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

const asked = (more: Partial<PreheatRequest> = {}, target: Target = { scope: 'all' }): PreheatRequest => ({
  what: ['app:v1'],
  platforms: 'all',
  target,
  ...more,
})
const stateOf = async (jobs: PreheatJobs, { id }: PreheatJob) => (await jobs.find(id))?.state
const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => 'taken',
    (error: Error) => error.message,
  )

test('every node is told what the image consists of, and the job is done when all have it', async () => {
  const jobs = scheduler()
  const job = await jobs.start(asked())
  expect(job).toMatchObject({ state: 'running', request: { what: ['docker.io/library/app:v1'] } })
  await pass(3000)
  const done = (await jobs.find(job.id))!
  expect(done.state).toBe('done')
  expect(done.nodes.map(({ state, bytes }) => [state, bytes])).toEqual(places.map(() => ['done', 10]))
  for (const { told } of places) expect(told).toEqual([registryRoot(), digestOf(bytes('a layer'))])
  expect((await jobs.list(10)).map(({ id }) => id)).toEqual([job.id])
})

const registryRoot = () => digestOf(registry.manifests.get('docker.io/library/app:v1')!)

test('asking for the same while it is under way gives the same job, and afterwards another', async () => {
  for (const each of places) each.answer = () => reply('running')
  const jobs = scheduler()
  const first = await jobs.start(asked({ what: ['app:v1', 'docker.io/library/app:v1'] }))
  expect((await jobs.start(asked({ what: ['library/app:v1'] }))).id).toBe(first.id)
  expect((await jobs.start(asked({}, { scope: 'seeds' }))).id).not.toBe(first.id)
  for (const each of places) each.answer = () => reply('done')
  await pass(3000)
  expect((await jobs.start(asked())).id).toBeGreaterThan(first.id)
})

test('seeds alone, or a zone, where that is asked', async () => {
  const jobs = scheduler()
  await jobs.start(asked({}, { scope: 'seeds' }))
  await pass(2000)
  expect(places.map(({ told }) => told !== undefined)).toEqual([true, true, false])
  const nowhere = await jobs.start(asked({}, { scope: 'all', zone: 'us' }))
  await pass(15_000)
  expect(await jobs.find(nowhere.id)).toMatchObject({ state: 'failed', reason: expect.stringContaining('zone us') })
})

describe('of an index', () => {
  beforeEach(() => {
    const [amd, arm] = ['amd64', 'arm64'].map((name) => registry.image(`docker.io/library/multi:${name}`, name))
    registry.index('docker.io/library/multi:v1', { 'linux/amd64': amd!, 'linux/arm64': arm! })
  })

  test.each([
    [['linux/arm64'], ['arm64']],
    [
      ['linux/arm64', 'linux/amd64'],
      ['amd64', 'arm64'],
    ],
    ['all' as const, ['amd64', 'arm64']],
  ])('%p is what is brought', async (platforms, layers) => {
    const jobs = scheduler()
    await jobs.start(asked({ what: ['multi:v1'], platforms }))
    await pass(2000)
    const told = places[0]!.told!
    expect(told).toHaveLength(1 + 2 * layers.length)
    for (const layer of layers) expect(told).toContain(digestOf(bytes(layer)))
  })

  test('a platform that it does not have is a failure that names those it has', async () => {
    const jobs = scheduler()
    const job = await jobs.start(asked({ what: ['multi:v1'], platforms: ['linux/s390x'] }))
    await pass(2000)
    expect((await jobs.find(job.id))?.reason).toContain('linux/amd64, linux/arm64')
  })
})

test('a file takes as long as it takes to find out its digest', async () => {
  const jobs = scheduler()
  const job = await jobs.start(asked({ what: ['https://files.corp/disk.img'] }))
  await pass(60_000)
  expect(await stateOf(jobs, job)).toBe('running')
  const digest = digestOf(bytes('disk'))
  registry.files.set('https://files.corp/disk.img', { digest, size: 4 })
  await pass(5000)
  expect([await stateOf(jobs, job), places[0]!.told]).toEqual(['done', [digest]])
})

test('a node that does not answer, or was started again, is asked until it has all', async () => {
  const [one, two] = places as [Place, Place]
  let lost = true
  one.answer = () => (lost ? new Failure('unavailable', 'no route to host') : reply('done'))
  let restarts = 1
  two.answer = () => (restarts-- > 0 ? reply('unknown') : reply('done'))
  const jobs = scheduler('other')
  const job = await jobs.start(asked())
  await pass(20_000)
  expect(await jobs.find(job.id)).toMatchObject({ state: 'running', nodes: [{ reason: 'no route to host' }, {}, {}] })
  lost = false
  await pass(15_000)
  expect(await stateOf(jobs, job)).toBe('done')
  expect(two.errands.filter(({ content }) => content)).toHaveLength(2)
})

test('a node that has no room is asked until it has, and nobody doubts that it is there', async () => {
  const doubted = spyOn(MemberTable.prototype, 'doubt')
  const [one] = places as [Place]
  const usual = one.answer
  one.answer = () => new Failure('too-many', 'this node is on 256 errands')
  const jobs = scheduler('other')
  const job = await jobs.start(asked())
  await pass(150_000)
  expect(await jobs.find(job.id)).toMatchObject({
    state: 'running',
    nodes: [{ reason: 'this node is on 256 errands' }, {}, {}],
  })
  one.answer = usual
  await pass(15_000)
  expect([await stateOf(jobs, job), one.told?.length]).toEqual(['done', 2])
  expect(doubted).not.toHaveBeenCalled()
  doubted.mockRestore()
})

test('a node that cannot have it fails alone, and the job says why', async () => {
  places[2]!.answer = () => reply('failed', { code: 'denied', message: 'the registry wants a login' })
  const jobs = scheduler()
  const job = await jobs.start(asked())
  await pass(3000)
  const { state, reason, nodes } = (await jobs.find(job.id))!
  expect([state, nodes.map((node) => node.state)]).toEqual(['failed', ['done', 'done', 'failed']])
  expect(reason).toBe(`1 of 3 nodes failed, the first of them ${places[2]!.info.id}: the registry wants a login`)
})

test('a source that has no such image is said at once, one that is down is asked for a while', async () => {
  const jobs = scheduler()
  const missing = await jobs.start(asked({ what: ['nothing:v1'] }))
  await pass(500)
  expect(await jobs.find(missing.id)).toMatchObject({ state: 'failed', reason: expect.stringContaining('nothing:v1') })
  registry.failure = new Failure('unavailable', 'the registry is down')
  const down = await jobs.start(asked())
  await pass(10_000)
  expect(await stateOf(jobs, down)).toBe('running')
  registry.failure = undefined
  await pass(30_000)
  expect(await stateOf(jobs, down)).toBe('done')
})

test('pins last from the request on, and are named so that no two jobs share them', async () => {
  const jobs = scheduler()
  const until = time.wall() + 86_400_000
  const { id } = await jobs.start(asked({ pinMs: 86_400_000 }))
  await pass(2000)
  expect(places[0]!.errands[0]).toMatchObject({
    until,
    job: `preheat ${id} of ${new Date(until - 86_400_000).toISOString()}`,
  })
})

test('cancelling tells every node that it is over, also one that cannot be reached for a while', async () => {
  for (const each of places) each.answer = ({ over }) => reply(over ? 'cancelled' : 'running')
  const jobs = scheduler()
  const job = await jobs.start(asked())
  await pass(2000)
  places[1]!.answer = () => new Failure('unavailable', 'no route to host')
  expect(await jobs.cancel(job.id)).toBe(true)
  await pass(5000)
  expect([await stateOf(jobs, job), await jobs.cancel(job.id)]).toEqual(['cancelled', false])
  const told = () => places.map(({ errands }) => errands.at(-1)?.over)
  expect(told()).toEqual([true, true, true])
  const before = places[1]!.errands.length
  places[1]!.answer = () => reply('cancelled')
  await pass(5000)
  expect(places[1]!.errands.slice(before).map(({ over }) => over)).toEqual([true])
  expect(await jobs.cancel(99)).toBe(false)
})

test('one that is over lets go of what it pinned', async () => {
  const jobs = scheduler()
  const [pinned, plain] = [await jobs.start(asked({ pinMs: 86_400_000 })), await jobs.start(asked())]
  await pass(3000)
  expect([await jobs.cancel(plain.id), await jobs.cancel(pinned.id)]).toEqual([false, true])
  await pass(100)
  expect(places.map(({ errands }) => errands.at(-1))).toEqual(
    places.map(() => ({ job: `preheat ${pinned.id} of ${new Date(pinned.createdAt).toISOString()}`, over: true })),
  )
  expect(await stateOf(jobs, pinned)).toBe('done')
})

test('one that is over is forgotten after a month, and none before', async () => {
  const first = scheduler()
  const job = await first.start(asked())
  await pass(3000)
  expect(await stateOf(first, job)).toBe('done')
  await first.close()
  // A scheduler that looks at it again when a month is nearly over: each hour.
  time = new FakeClock(time.wall() + 30 * 86_400_000 - 2 * 3_600_000)
  const later = scheduler()
  await time.run(3_600_000)
  await pass(1000)
  expect(await stateOf(later, job)).toBe('done')
  await time.run(2 * 3_600_000)
  await pass(1000)
  expect(await later.find(job.id)).toBeUndefined()
  expect(await later.list(10)).toEqual([])
})

test('a state that is down for long is told of in a few lines, not at each look', async () => {
  for (const each of places) each.answer = () => reply('running')
  const jobs = scheduler()
  for (const scope of ['all', 'seeds'] as const) await jobs.start(asked({}, { scope }))
  await pass(1000)
  const down = () => Promise.reject(new Failure('unavailable', 'the database is down'))
  Object.assign(state.jobs, { claim: down, update: down })
  const before = log.lines.length
  await pass(600_000)
  const told = log.lines.slice(before)
  const about = (words: string) => told.filter((line) => line.includes(words)).length
  expect(about('cannot be looked for')).toBeWithin(2, 6)
  expect(about('cannot be recorded')).toBeWithin(2, 6)
  expect(told.length).toBeLessThan(12)
})

test('a job of another version, in each list anew, is told of once in a while', async () => {
  const { job } = await state.jobs.add({ kind: 'preheat', key: 'k', body: { from: 'the future' }, at: 1 })
  await state.jobs.cancel(job.id, 2)
  const jobs = scheduler()
  for (let i = 0; i < 100; i++) {
    expect(await jobs.list(5)).toEqual([])
    time.advance(2000)
  }
  expect(log.lines.filter((line) => line.includes('cannot be read')).length).toBeWithin(2, 6)
})

describe('when the scheduler that runs it ends', () => {
  beforeEach(() => {
    for (const each of places) each.answer = () => reply('running')
  })

  test('it goes on after its next start, with the content that the name meant at first', async () => {
    const first = scheduler()
    const job = await first.start(asked())
    await pass(2000)
    await first.close()
    registry.image('docker.io/library/app:v1', 'another layer')
    places[0]!.answer = () => reply('done')
    const second = scheduler()
    await pass(5000)
    expect(await stateOf(second, job)).toBe('running')
    for (const each of places) each.answer = () => reply('done')
    await pass(5000)
    expect(await stateOf(second, job)).toBe('done')
    for (const { told } of places) expect(told).toContain(digestOf(bytes('a layer')))
  })

  test('another one that shares its state goes on with it when the lease is over', async () => {
    const first = scheduler()
    const other = scheduler('other')
    const job = await first.start(asked())
    await pass(6000)
    // It does not end well: nobody lets go of the lease.
    const asking = () => places[1]!.errands.length
    state.jobs.update = (
      (update) => (id, owner, change) =>
        owner === places[0]!.info.id ? Promise.reject(new Failure('unavailable', 'cut off')) : update(id, owner, change)
    )(state.jobs.update.bind(state.jobs))
    await first.close()
    const before = asking()
    await pass(10_000)
    expect(asking()).toBe(before)
    for (const each of places) each.answer = () => reply('done')
    await pass(15_000)
    expect(asking()).toBeGreaterThan(before)
    expect(await stateOf(other, job)).toBe('done')
  })

  test('one that is cancelled meanwhile at another scheduler is over everywhere', async () => {
    const first = scheduler()
    const other = scheduler('other')
    const job = await first.start(asked())
    await pass(6000)
    expect(await other.cancel(job.id)).toBe(true)
    await pass(10_000)
    for (const { errands } of places) expect(errands.at(-1)?.over).toBe(true)
  })
})

describe('on a scheduler that has just started', () => {
  /** It knows itself alone. */
  const started = () => {
    const table = tableOf('one')
    return { table, jobs: schedulerWith(table, new Acquaintance(table, time)) }
  }
  /** The others announce themselves. */
  const meet = (table: MemberTable) => {
    for (const { info } of places.slice(1)) table.heard(info, time.now())
  }

  test('it is not done before all nodes had the time to announce themselves, and they are sent too', async () => {
    const { table, jobs } = started()
    const job = await jobs.start(asked())
    const nowhere = await jobs.start(asked({}, { scope: 'all', zone: 'us' }))
    await pass(4000)
    expect([places[0]!.told?.length, await stateOf(jobs, job)]).toEqual([2, 'running'])
    meet(table)
    await pass(15_000)
    expect([await stateOf(jobs, job), await stateOf(jobs, nowhere)]).toEqual(['running', 'running'])
    await pass(2000)
    const { state, nodes } = (await jobs.find(job.id))!
    expect([state, nodes.length, await stateOf(jobs, nowhere)]).toEqual(['done', places.length, 'failed'])
  })

  test('a share is chosen when all are known: it is the same share as later', async () => {
    // Of two that the scheduler has yet to meet.
    for (const tag of ['v2', 'v3']) registry.image(`docker.io/library/app:${tag}`, tag)
    const [share, of] = [{ scope: 'all', share: 0.3 } as const, (tag: string) => ({ what: [`app:${tag}`] })]
    const { table, jobs } = started()
    const begun = await Promise.all(['v2', 'v3'].map((tag) => jobs.start(asked(of(tag), share))))
    await pass(4000)
    meet(table)
    await pass(20_000)
    const later = await Promise.all(['v2', 'v3'].map((tag) => jobs.start(asked(of(tag), share))))
    await pass(2000)
    const ended = (all: PreheatJob[]) =>
      Promise.all(all.map(async ({ id }) => (await jobs.find(id))!.nodes.map(({ node, state }) => [node, state])))
    expect(await ended(begun)).toEqual([[[idOf('three'), 'done']], [[idOf('two'), 'done']]])
    expect(await ended(later)).toEqual(await ended(begun))
  })

  test('a job that it had begun before it was stopped is still for those that it knew then', async () => {
    for (const each of places) each.answer = () => reply('running')
    const first = scheduler()
    const job = await first.start(asked())
    await pass(1000)
    await first.close()
    const { jobs } = started()
    await pass(1000)
    expect((await jobs.find(job.id))!.nodes.map(({ node }) => node)).toEqual(places.map(({ info }) => info.id))
  })
})

test('a peer takes no job of one scheduler for that of another with a state of its own', async () => {
  const [first, own] = [scheduler('one'), state]
  state = await openSqlite(':memory:')
  const second = scheduler('two')
  const jobs = new Map([
    [idOf('one'), first],
    [idOf('two'), second],
  ])
  for (const each of places) each.answer = () => reply('running')
  const [mine, other] = [await first.start(asked()), await second.start(asked())]
  const peer = new ForwardedPreheats(
    { withMode: () => [...jobs.keys()].map((id) => infoOf(id, { modes: ['scheduler'] })), doubt() {} },
    { call: async ({ id }, call, request) => call.reply.parse(await answerFor(jobs.get(id)!, request as never)) },
  )
  expect([(await peer.find(mine.id))?.createdAt, (await peer.list(5)).length]).toEqual([mine.createdAt, 2])
  await first.close()
  await own.close()
  jobs.delete(idOf('one'))
  expect([await peer.find(mine.id), await peer.cancel(mine.id)]).toEqual([undefined, false])
  expect(await peer.find(other.id)).toMatchObject({ id: other.id, state: 'running' })
})

describe('logins that come with a request', () => {
  const basic = `Basic ${Buffer.from('ann:open-sesame').toString('base64')}`

  test('are lent again and again while the job runs, to what it names, and are kept nowhere', async () => {
    for (const each of places) each.answer = () => reply('running')
    const jobs = scheduler()
    const job = await jobs.start(asked({ authorizations: { 'docker.io': basic } }, { scope: 'seeds' }))
    await pass(61_000)
    expect(lent).toEqual(['docker.io/library/app basic', 'docker.io/library/app basic'])
    expect(JSON.stringify([await state.jobs.find(job.id), await jobs.find(job.id)])).not.toContain('sesame')
    expect(JSON.stringify(places.map(({ errands }) => errands))).not.toContain('sesame')
  })

  test('stay on this node, which therefore reads for the others, and pins nothing for that', async () => {
    const jobs = scheduler()
    places = places.map((each) => (each.info.id === idOf('one') ? place('one', ['scheduler']) : each))
    const alone = scheduler()
    await jobs.close()
    await alone.start(asked({ pinMs: 60_000, authorizations: { 'docker.io': basic } }))
    await pass(3000)
    const self = places.find(({ info }) => info.id === idOf('one'))!
    expect([self.told?.length, self.errands[0]?.until]).toEqual([2, undefined])
    expect(places.find((each) => each !== self)?.errands[0]?.until).toBeNumber()
  })

  test('of a second request help a job that is under way', async () => {
    for (const each of places) each.answer = () => reply('running')
    const jobs = scheduler()
    const job = await jobs.start(asked())
    expect((await jobs.start(asked({ authorizations: { 'docker.io': basic } }))).id).toBe(job.id)
    expect(lent).toEqual(['docker.io/library/app basic'])
  })

  test('are with the node that was asked, which therefore runs it, however soon others look for jobs', async () => {
    const jobs = scheduler()
    const other = scheduler('other')
    const add = state.jobs.add.bind(state.jobs)
    state.jobs.add = async (job) => {
      const added = await add(job)
      expect(await state.jobs.claim('preheat', idOf('other'), time.wall(), 15_000)).toBeUndefined()
      return added
    }
    const job = await jobs.start(asked({ authorizations: { 'docker.io': basic } }))
    await pass(3000)
    expect([await stateOf(other, job), lent]).toEqual(['done', ['docker.io/library/app basic']])
  })

  test('are used by this node first: others are sent when it has all of it, and are not given up meanwhile', async () => {
    const self = places.find(({ info }) => info.id === idOf('one'))!
    const usual = self.answer
    self.answer = () => reply('running')
    const jobs = scheduler()
    const job = await jobs.start(asked({ authorizations: { 'docker.io': basic } }))
    await pass(130_000)
    expect(places.map(({ errands }) => errands.length > 0)).toEqual([true, false, false])
    self.answer = usual
    await pass(5000)
    expect(places.map(({ told }) => told?.length)).toEqual([2, 2, 2])
    expect((await jobs.find(job.id))?.state).toBe('done')
  })

  test('are refused where they are none, or would go to a registry that nobody listed', async () => {
    const jobs = scheduler()
    const start = (authorizations: Record<string, string>) => refusal(jobs.start(asked({ authorizations })))
    expect(await start({ 'docker.io': 'open-sesame' })).toContain('neither "Basic ..." nor')
    expect(await start({ 'evil.example': basic })).toContain('--upstream evil.example=')
    expect(await jobs.list(10)).toEqual([])
  })
})

test.each([
  ['no name at all', { what: [] }, 'what'],
  ['what is no name', { what: ['UPPER'] }, 'UPPER'],
  ['a URL that is none of the web', { what: ['ftp://files.corp/x'] }, 'http'],
  ['half a platform', { platforms: ['amd64'] }, 'linux/amd64'],
  ['a share of nothing', { target: { scope: 'all' as const, share: 0 } }, 'share'],
  ['a pin of no time', { pinMs: 5 }, 'pinMs'],
])('%s is refused with what is wrong', async (_, wrong, says) => {
  expect(await refusal(scheduler().start({ ...asked(), ...wrong }))).toContain(says)
})
