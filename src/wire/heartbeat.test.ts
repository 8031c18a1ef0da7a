import { expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { seededRandom } from '../clock.ts'
import { MemberTable } from '../cluster/member-table.ts'
import type { Mode, NodeId, NodeInfo } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { silentLog } from '../telemetry/log.ts'
import { Seldom } from '../telemetry/seldom.ts'
import { type AnnounceSource, Heartbeat } from './heartbeat.ts'
import { type Announce, type Holding, maxControlBytes } from './messages.ts'
import { Prober } from './prober.ts'

/** A cluster in memory on one clock: tables, heartbeats and probers are real, the calls between them are not. */
class Cluster {
  readonly clock = new FakeClock()
  readonly nodes = new Map<NodeId, Sim>()
  readonly random: () => number
  /** Calls from one to the other that get lost. */
  cut: (from: NodeId, to: NodeId) => boolean = () => false

  constructor(seed: number) {
    this.random = seededRandom(seed)
  }

  add(id: string, modes: Mode[], joins: string[] = [], source?: Partial<AnnounceSource>): Sim {
    const sim = new Sim(this, id, modes, source)
    this.nodes.set(id, sim)
    for (const other of joins) sim.meet(this.nodes.get(other)!)
    sim.start()
    return sim
  }

  /** A call that gets an answer, an error at once (nobody listens), or an error after the deadline (the host is gone). */
  async call<T>(from: NodeId, to: NodeId, deadline: number, answer: (sim: Sim) => T): Promise<T> {
    const target = this.nodes.get(to)
    if (target && !target.dark && !this.cut(from, to)) return answer(target)
    if (!target || target.dark) await new Promise<void>((resolve) => this.clock.after(deadline, resolve))
    throw new Failure('unavailable', 'no answer')
  }
}

class Sim {
  readonly table: MemberTable
  readonly heartbeat: Heartbeat
  readonly prober: Prober
  readonly announces: Announce[] = []
  dark = false
  /** It knows nothing of who announces. */
  forgot = false
  /** It takes announces, and is too busy to answer them in time. */
  late = false
  epoch: string
  /** How often it wants to hear announces. */
  every: number | undefined

  constructor(
    readonly cluster: Cluster,
    readonly id: string,
    modes: Mode[],
    source: Partial<AnnounceSource> = {},
  ) {
    const { clock, random } = cluster
    this.epoch = `${clock.now()}`
    const self: NodeInfo = { id, url: `http://${id}:1`, p2p: [], modes, version: '1', epoch: this.epoch }
    this.table = new MemberTable(self, () => clock.now())
    const full: AnnounceSource = {
      uploads: () => 0,
      uploadSlots: 4,
      changes: () => ({ holdings: [], gone: [] }),
      ...source,
    }
    this.heartbeat = new Heartbeat({
      table: this.table,
      source: () => full,
      announce: (target, announce) => cluster.call(id, target.id, 2_000, (sim) => sim.hear(announce)),
      linked: () => this.linked,
      clock,
      random,
      log: silentLog,
      seldom: new Seldom(clock),
    })
    this.prober = new Prober({
      table: this.table,
      ping: (node) => cluster.call(id, node.id, 1_500, () => 1),
      clock,
      log: silentLog,
    })
  }

  linked = false

  start(): void {
    this.heartbeat.start()
    this.prober.start()
  }

  hear(announce: Announce) {
    this.announces.push(announce)
    if (this.late) throw new Failure('unavailable', 'it did not answer in time')
    const { table, cluster } = this
    if (announce.leaving) table.leave(announce.node.id, cluster.clock.now())
    else table.heard(announce.node, cluster.clock.now())
    const members = [...table.withMode('scheduler'), ...table.withMode('seed')]
    return {
      epoch: this.epoch,
      members,
      ...(this.forgot ? { all: true } : {}),
      ...(this.every === undefined ? {} : { every: this.every }),
    }
  }

  /** What a hello does. */
  meet(other: Sim): void {
    const now = this.cluster.clock.now()
    this.table.heard(other.table.self, now)
    if (other.table.self.modes.includes('scheduler')) other.table.heard(this.table.self, now)
  }

  knows(id: string): boolean {
    return this.table.find(id) !== undefined
  }

  /** The host loses power: nothing comes from it any more, and nothing answers. */
  die(): void {
    this.dark = true
    this.prober.close()
    for (const info of this.table.withMode('scheduler')) this.table.drop(info.id, 0, 'dead')
  }
}

function dataCentre(seed: number): Cluster {
  const cluster = new Cluster(seed)
  for (const id of ['s1', 's2', 's3']) cluster.add(id, ['scheduler', 'seed'], id === 's1' ? [] : ['s1'])
  cluster.add('seed', ['seed'], ['s1'])
  for (const id of ['p1', 'p2', 'p3', 'p4']) cluster.add(id, ['peer'], ['s1'])
  return cluster
}

const backbone = ['s1', 's2', 's3', 'seed']
const everyone = [...backbone, 'p1', 'p2', 'p3', 'p4']

test('whoever joins one scheduler is known to all schedulers, and knows them and the seeds, within 15 s', async () => {
  const cluster = dataCentre(1)
  await cluster.clock.run(15_000)
  for (const id of everyone) {
    const sim = cluster.nodes.get(id)!
    expect(backbone.filter((other) => !sim.knows(other))).toEqual([])
    if (sim.table.self.modes.includes('scheduler')) expect(everyone.filter((other) => !sim.knows(other))).toEqual([])
    if (id.startsWith('p')) expect(['p1', 'p2', 'p3', 'p4'].filter((p) => p !== id && sim.knows(p))).toEqual([])
  }
})

test('nobody is lost while all are well', async () => {
  const cluster = dataCentre(2)
  await cluster.clock.run(10_000)
  const lost: string[] = []
  for (const sim of cluster.nodes.values()) sim.table.onLeave((info) => lost.push(`${sim.id} lost ${info.id}`))
  await cluster.clock.run(120_000)
  expect(lost).toEqual([])
})

for (const victim of ['s2', 'seed', 'p1']) {
  test(`when the host of ${victim} loses power, everybody knows within 15 s`, async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const cluster = dataCentre(seed)
      await cluster.clock.run(20_000 + seed * 173)
      cluster.nodes.get(victim)!.die()
      await cluster.clock.run(15_000)
      const wrong = everyone.filter((id) => id !== victim && cluster.nodes.get(id)!.knows(victim))
      expect({ seed, wrong }).toEqual({ seed, wrong: [] })
      await cluster.clock.run(30_000)
      const again = everyone.filter((id) => id !== victim && cluster.nodes.get(id)!.knows(victim))
      expect({ seed, again }).toEqual({ seed, again: [] })
    }
  })
}

test('the seeds are kept by those who know them when all schedulers are gone', async () => {
  const cluster = dataCentre(3)
  await cluster.clock.run(20_000)
  for (const id of ['s1', 's2', 's3']) cluster.nodes.get(id)!.die()
  await cluster.clock.run(60_000)
  const p1 = cluster.nodes.get('p1')!
  expect(p1.table.all().map((member) => member.info.id)).toEqual(['p1', 'seed'])
})

test('two halves of a cut cluster find each other again', async () => {
  const cluster = dataCentre(4)
  await cluster.clock.run(20_000)
  const half = new Set(['s1', 'p1', 'p2'])
  cluster.cut = (from, to) => half.has(from) !== half.has(to)
  await cluster.clock.run(60_000)
  expect(cluster.nodes.get('s1')!.knows('s2')).toBe(false)
  expect(cluster.nodes.get('p3')!.knows('s1')).toBe(false)
  cluster.cut = () => false
  await cluster.clock.run(90_000)
  for (const id of everyone) expect(backbone.filter((other) => !cluster.nodes.get(id)!.knows(other))).toEqual([])
})

test('a doubted node that answers stays, one that does not is dropped within seconds', async () => {
  const cluster = dataCentre(5)
  await cluster.clock.run(20_000)
  const p1 = cluster.nodes.get('p1')!
  p1.table.doubt('seed')
  await cluster.clock.run(4_000)
  expect(p1.knows('seed')).toBe(true)
  cluster.cut = (from, to) => from === 'p1' && to === 'seed'
  p1.table.doubt('seed')
  await cluster.clock.run(4_000)
  expect(p1.knows('seed')).toBe(false)
})

test('a node that ends is gone from its schedulers at once', async () => {
  const cluster = dataCentre(6)
  await cluster.clock.run(20_000)
  const p1 = cluster.nodes.get('p1')!
  p1.prober.close()
  await p1.heartbeat.close()
  expect(['s1', 's2', 's3'].filter((id) => cluster.nodes.get(id)!.knows('p1'))).toEqual([])
})

const holding = (n: number): Holding => ({
  digest: digestOf(Uint8Array.of(n, n >> 8)),
  size: 1,
  pieces: 1,
  complete: true,
})
const toldBy = (sim: Sim, id: string) => sim.announces.filter((announce) => announce.node.id === id)
/** How many announces of that node it hears in the next so many ms. */
async function toldWithin(ms: number, sim: Sim, id: string): Promise<number> {
  sim.announces.length = 0
  await sim.cluster.clock.run(ms)
  return toldBy(sim, id).length
}

test('the first announce is full, the next ones are not, and one after a restart of the scheduler is', async () => {
  const cluster = new Cluster(7)
  const scheduler = cluster.add('s', ['scheduler'])
  cluster.add('p', ['peer'], ['s'], { changes: (_, full) => ({ holdings: full ? [holding(1)] : [], gone: [] }) })
  await cluster.clock.run(10_000)
  expect(toldBy(scheduler, 'p').map((announce) => announce.full)).toEqual([
    true,
    ...toldBy(scheduler, 'p')
      .slice(1)
      .map(() => false),
  ])
  expect(toldBy(scheduler, 'p').length).toBeGreaterThan(2)
  scheduler.announces.length = 0
  scheduler.epoch = 'another'
  await cluster.clock.run(8_000)
  expect(toldBy(scheduler, 'p').filter((announce) => announce.full)).toHaveLength(1)
})

test('an announce that failed is followed by a full one', async () => {
  const cluster = new Cluster(8)
  const scheduler = cluster.add('s', ['scheduler'])
  cluster.add('p', ['peer'], ['s'])
  await cluster.clock.run(10_000)
  scheduler.announces.length = 0
  let lost = 0
  cluster.cut = (from) => from === 'p' && ++lost === 1
  await cluster.clock.run(8_000)
  expect(lost).toBeGreaterThan(1)
  expect(toldBy(scheduler, 'p')[0]!.full).toBe(true)
  expect(toldBy(scheduler, 'p')[1]!.full).toBe(false)
})

test('many changes in a short time make few announces, and the last change is among them', async () => {
  const cluster = new Cluster(9)
  const scheduler = cluster.add('s', ['scheduler'])
  let latest = 0
  const changes = () => ({ holdings: [holding(latest)], gone: [] as Digest[] })
  const p = cluster.add('p', ['peer'], ['s'], { changes })
  await cluster.clock.run(10_000)
  scheduler.announces.length = 0
  for (; latest < 500; ) {
    latest++
    p.heartbeat.changed('s')
    await cluster.clock.run(1)
  }
  await cluster.clock.run(200)
  const told = toldBy(scheduler, 'p')
  expect(told.length).toBeLessThanOrEqual(7)
  expect(told.length).toBeGreaterThan(3)
  expect(told.at(-1)!.holdings).toEqual([holding(500)])
})

test('who waits for a change to be told waits for the announce that has it, and for no scheduler that is gone', async () => {
  const cluster = new Cluster(9)
  const scheduler = cluster.add('s', ['scheduler'])
  let latest = 0
  const changes = () => ({ holdings: [holding(latest)], gone: [] as Digest[] })
  const p = cluster.add('p', ['peer'], ['s'], { changes })
  await cluster.clock.run(10_000)
  const told = () => toldBy(scheduler, 'p').at(-1)!.holdings
  for (latest = 1; latest <= 3; latest++) {
    let waits = true
    const heard = p.heartbeat.changed('s').then(() => {
      waits = false
    })
    await Bun.sleep(1)
    expect(waits).toBe(true)
    await cluster.clock.run(200)
    await heard
    expect(told()).toEqual([holding(latest)])
  }
  await p.heartbeat.changed('nobody')
  scheduler.dark = true
  let gone = 0
  void p.heartbeat.changed('s').then(() => gone++)
  await cluster.clock.run(1)
  expect(gone).toBe(0)
  await cluster.clock.run(10_000)
  expect(gone).toBe(1)
})

test('more holdings than fit one announce are sent in several, the first of them full', async () => {
  const cluster = new Cluster(10)
  const scheduler = cluster.add('s', ['scheduler'])
  const all = Array.from({ length: 5000 }, (_, n) => holding(n))
  cluster.add('p', ['peer'], ['s'], { changes: (_, full) => ({ holdings: full ? all : [], gone: [] }) })
  await cluster.clock.run(1_000)
  const told = toldBy(scheduler, 'p')
  expect(told.slice(0, 3).map((announce) => [announce.full, announce.holdings.length])).toEqual([
    [true, 2048],
    [false, 2048],
    [false, 904],
  ])
  expect(told.flatMap((announce) => announce.holdings)).toEqual(all)
})

test('an announce fits a request also when it is full of the longest digests', async () => {
  const cluster = new Cluster(11)
  const scheduler = cluster.add('s', ['scheduler'])
  const long = (n: number) => `sha512:${n.toString(16).padStart(128, '0')}` as Digest
  const digests = Array.from({ length: 5000 }, (_, n) => long(n))
  const holdings = digests.map((digest) => ({ digest, size: 2 ** 37, pieces: 65_536, complete: false }))
  cluster.add('p', ['peer'], ['s'], { changes: () => ({ holdings, gone: digests }) })
  await cluster.clock.run(1_000)
  const bytes = toldBy(scheduler, 'p').map((announce) => JSON.stringify(announce).length)
  expect(bytes.length).toBeGreaterThan(2)
  expect(Math.max(...bytes)).toBeLessThan(maxControlBytes)
})

test('a node announces as often as its scheduler asks, and does not doubt it in between', async () => {
  const cluster = new Cluster(12)
  const scheduler = cluster.add('s', ['scheduler', 'seed'])
  const p = cluster.add('p', ['peer'], ['s'])
  const doubted: NodeId[] = []
  const silent: NodeId[] = []
  p.table.onDoubt((id) => doubted.push(id))
  scheduler.every = 10_000
  await cluster.clock.run(20_000)
  scheduler.announces.length = 0
  for (let second = 0; second < 120; second++) {
    await cluster.clock.run(1_000)
    silent.push(...p.table.expire(cluster.clock.now()))
  }
  expect(toldBy(scheduler, 'p').length).toBeWithin(10, 15)
  expect([doubted, silent]).toEqual([[], []])
  scheduler.every = undefined
  await cluster.clock.run(12_000)
  expect(await toldWithin(30_000, scheduler, 'p')).toBeWithin(8, 14)
})

test('a node announces rarely to a scheduler that a session leads to', async () => {
  const cluster = new Cluster(13)
  const scheduler = cluster.add('s', ['scheduler', 'seed'])
  const p = cluster.add('p', ['seed'], ['s'])
  p.linked = true
  await cluster.clock.run(20_000)
  expect(await toldWithin(100_000, scheduler, 'p')).toBeWithin(8, 14)
})

test('and the more rarely the more of them there are', async () => {
  const cluster = new Cluster(13)
  const names = Array.from({ length: 40 }, (_, i) => `s${i}`)
  for (const name of names) cluster.add(name, ['scheduler'], name === 's0' ? [] : names.slice(0, 1)).linked = true
  await cluster.clock.run(30_000)
  const told = () => names.reduce((sum, name) => sum + toldBy(cluster.nodes.get(name)!, 's7').length, 0)
  const before = told()
  await cluster.clock.run(60_000)
  // Two a second.
  expect(told() - before).toBeWithin(90, 150)
})

test('a scheduler that lives and does not keep up with announces gets them less and less often, until it does', async () => {
  const cluster = new Cluster(13)
  const scheduler = cluster.add('s', ['scheduler', 'seed'])
  const p = cluster.add('p', ['seed'], ['s'])
  await cluster.clock.run(20_000)
  scheduler.late = true
  await cluster.clock.run(30_000)
  expect(await toldWithin(100_000, scheduler, 'p')).toBeWithin(8, 14)
  expect(p.knows('s')).toBe(true)
  scheduler.late = false
  await cluster.clock.run(12_000)
  expect(await toldWithin(30_000, scheduler, 'p')).toBeWithin(8, 14)
})

test('a scheduler that took a node for gone is told everything at once', async () => {
  const cluster = new Cluster(13)
  const scheduler = cluster.add('s', ['scheduler', 'seed'])
  cluster.add('p', ['seed'], ['s'])
  await cluster.clock.run(20_000)
  scheduler.announces.length = 0
  scheduler.forgot = true
  await cluster.clock.run(3_700)
  scheduler.forgot = false
  await cluster.clock.run(1_000)
  expect(toldBy(scheduler, 'p').map(({ full }) => full)).toEqual(expect.arrayContaining([false, true]))
})
