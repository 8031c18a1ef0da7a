import { afterEach, beforeEach, describe, expect, setDefaultTimeout, spyOn, test } from 'bun:test'
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeClock, settle } from '../../test/fakes/clock.ts'
import { infoOf } from '../../test/fakes/members.ts'
import { seededRandom } from '../clock.ts'
import { MemberTable } from '../cluster/member-table.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { fileAt } from '../oci/file.ts'
import { parseTag, repositoryOf } from '../oci/reference.ts'
import { openState } from '../state/open-state.ts'
import { openSqlite } from '../state/sqlite.ts'
import type { Content, ContentChange, State, TagChange } from '../state/state.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { type Call, Calls } from '../wire/calls.ts'
import { fitting } from './copy-calls.ts'
import { StateCopies } from './state-copies.ts'

// Each takes its time on a busy machine.
setDefaultTimeout(60_000)

const app = repositoryOf('docker.io', 'corp/app')
const [a, b] = ['a', 'b'].map((text) => digestOf(Buffer.from(text))) as [
  ReturnType<typeof digestOf>,
  ReturnType<typeof digestOf>,
]
const tagOf = (name: string) => parseTag(name)
const content: Content = { digest: a, kind: 'manifest', mediaType: 'm', size: 5, at: 1, parts: [b] }

let clock: FakeClock
const seeds = new Map<string, Seed>()
const down = new Set<string>()

class Seed {
  readonly calls = new Calls()
  readonly table: MemberTable
  readonly copies: StateCopies
  asked = 0

  constructor(
    readonly info: NodeInfo,
    readonly state: State,
  ) {
    this.table = new MemberTable(info, () => clock.now())
    this.copies = new StateCopies({
      state,
      membership: this.table,
      outbound: {
        // As the wire does it: text in between.
        call: async <Q extends object, A extends object>(to: NodeInfo, { name, reply }: Call<Q, A>, request: Q) => {
          this.asked++
          const seed = seeds.get(to.id)
          if (!seed || down.has(to.id)) throw new Failure('unavailable', `${to.id} does not answer`)
          const text = JSON.stringify(await seed.calls.answer(name, JSON.parse(JSON.stringify(request))))
          expect(text.length).toBeLessThan(1024 * 1024)
          return reply.parse(JSON.parse(text))
        },
      },
      clock,
      random: seededRandom(seeds.size),
      log: silentLog,
    })
    this.copies.answerOn(this.calls)
    seeds.set(info.id, this)
  }
  knows(other: Seed) {
    this.table.heard(other.info, clock.now())
  }
  async tag(name = 'v1') {
    return (await this.state.tags.get(app, tagOf(name)))?.digest
  }
}

const opened: State[] = []
async function database(): Promise<State> {
  const state = await openSqlite(':memory:')
  opened.push(state)
  return state
}

const id = (letter: string) => letter.repeat(44)
async function pair(shared = false, first?: State, second?: State): Promise<[Seed, Seed]> {
  const state = first ?? (await database())
  const one = new Seed(infoOf(id('a'), { modes: ['seed'] }), state)
  const two = new Seed(infoOf(id('b'), { modes: ['seed'] }), shared ? state : (second ?? (await database())))
  one.copies.start()
  two.copies.start()
  one.knows(two)
  two.knows(one)
  await settle()
  return [one, two]
}

beforeEach(() => {
  clock = new FakeClock()
  seeds.clear()
  down.clear()
})
afterEach(async () => {
  for (const seed of seeds.values()) seed.copies.close()
  for (const state of opened.splice(0)) await state.close()
})

/** Time passes, and what it set off is over. */
async function pass(ms: number): Promise<void> {
  await clock.run(ms)
  for (let i = 0; i < 200; i++) await settle()
}
const entry = (digest: typeof a | undefined, at = clock.wall()) => ({
  ...(digest ? { digest } : {}),
  mediaType: 'm',
  size: 5,
  at,
  by: 'ann',
})

describe('seeds with a database each', () => {
  test('have what was pushed to one of them at the other when the push is answered', async () => {
    const [one, two] = await pair()
    await one.state.contents.add(app, content)
    await one.state.tags.point(app, tagOf('v1'), entry(a))
    await one.copies.spread()
    expect(await two.tag()).toBe(a)
    expect(await two.state.contents.find(app, a)).toEqual(content)
  })

  test('hear of the rest within seconds, of both sides, and end with the same', async () => {
    const [one, two] = await pair()
    await one.state.tags.point(app, tagOf('v1'), entry(a))
    await two.state.tags.point(app, tagOf('v1'), entry(b, clock.wall() + 1))
    await two.state.tags.point(app, tagOf('v2'), entry(b))
    await one.state.contents.add(app, content)
    await pass(11_000)
    expect([await one.tag(), await two.tag(), await one.tag('v2')]).toEqual([b, b, b])
    expect(await one.state.tags.history(app, tagOf('v1'), 9)).toEqual(await two.state.tags.history(app, tagOf('v1'), 9))
    await two.state.contents.remove(app, a)
    await two.state.tags.point(app, tagOf('v1'), entry(undefined))
    await pass(11_000)
    expect([await one.tag(), await one.state.contents.find(app, a)]).toEqual([undefined, undefined])
  })

  test('give a seed that lost its disk everything back', async () => {
    const [one, two] = await pair()
    for (let i = 0; i < 600; i++) await one.state.tags.set(app, tagOf(`t${i}`), entry(a))
    await one.copies.spread()
    expect(await two.state.tags.list(app, { limit: 2000 })).toHaveLength(600)
    const again = new Seed({ ...one.info, epoch: '2' }, await database())
    again.copies.start()
    again.knows(two)
    two.knows(again)
    const count = async () => (await again.state.tags.list(app, { limit: 2000 })).length
    for (let i = 0; i < 100 && (await count()) < 600; i++) await pass(1000)
    expect(await count()).toBe(600)
    // What it says from now on has numbers of its own.
    await again.state.tags.point(app, tagOf('new'), entry(b))
    await again.copies.spread()
    expect(await two.tag('new')).toBe(b)
  })

  test.each([
    ['under a node that runs, as a server of databases does', '1'],
    ['while the node was away', '2'],
  ])('hear of what is new in one that was restored from a backup, %s', async (_, epoch) => {
    const dir = await mkdtemp(join(tmpdir(), 'shoal-copies-'))
    try {
      const [file, backup] = [join(dir, 'state.db'), join(dir, 'backup.db')]
      const before = await openSqlite(file)
      await before.tags.point(app, tagOf('old'), entry(a))
      await before.close()
      await copyFile(file, backup)
      const [one, two] = await pair(false, await openSqlite(file))
      for (let i = 0; i < 20; i++) await one.state.tags.point(app, tagOf(`t${i}`), entry(i % 2 ? a : b))
      await one.state.contents.add(app, { ...content, digest: b })
      await one.copies.spread()
      expect(await two.tag('t19')).toBe(a)
      one.copies.close()
      const restored = await openSqlite(backup)
      opened.push(restored)
      expect(await restored.id()).toBe(await one.state.id())
      const again = new Seed({ ...one.info, epoch }, restored)
      again.copies.start()
      again.knows(two)
      two.knows(again)
      await restored.contents.add(app, content)
      await restored.tags.point(app, tagOf('v1'), entry(a))
      await again.copies.spread()
      expect(await two.tag('v1')).toBe(a)
      expect(await two.state.contents.find(app, a)).toEqual(content)
      // Then they are asked for what is new alone.
      await restored.tags.point(app, tagOf('v2'), entry(a))
      const changes = spyOn(restored.tags, 'changes')
      await again.copies.spread()
      expect(await two.tag('v2')).toBe(a)
      expect(changes.mock.calls.every(([after]) => after > 0)).toBe(true)
    } finally {
      await rm(dir, { recursive: true })
    }
  })

  test('copy from each other also where both hosts were cloned from one, with what was in its file', async () => {
    const dirs = await Promise.all(['one', 'two'].map((name) => mkdtemp(join(tmpdir(), `shoal-cloned-${name}-`))))
    const [first, second] = dirs as [string, string]
    const open = (dataDir: string, node: string) =>
      openState({ dataDir, node, clock, log: silentLog, metrics: createMetrics() })
    try {
      const before = await open(first, id('a'))
      await before.tags.point(app, tagOf('old'), entry(a))
      await before.close()
      await copyFile(join(first, 'state.db'), join(second, 'state.db'))
      const states = [await open(first, id('a')), await open(second, id('b'))] as const
      opened.push(...states)
      const [one, two] = await pair(false, ...states)
      await pass(6000)
      await one.state.tags.point(app, tagOf('v1'), entry(b))
      await one.copies.spread()
      expect([await two.tag('old'), await two.tag('v1')]).toEqual([a, b])
    } finally {
      await Promise.all(dirs.map((dir) => rm(dir, { recursive: true })))
    }
  })

  test('answer a push also when no other seed can be reached, after a moment', async () => {
    const [one, two] = await pair()
    down.add(two.info.id)
    await one.state.tags.point(app, tagOf('v1'), entry(a))
    await one.copies.spread()
    expect(await two.tag()).toBeUndefined()
    down.clear()
    await pass(6000)
    expect(await two.tag()).toBe(a)
  })

  test('do not believe what is from a time that is yet to come', async () => {
    const [one, two] = await pair()
    await one.state.tags.point(app, tagOf('v1'), entry(a, clock.wall() + 7_200_000))
    await one.state.tags.point(app, tagOf('v2'), entry(a))
    await one.copies.spread()
    expect([await two.tag('v1'), await two.tag('v2')]).toEqual([undefined, a])
  })

  test('hear of it once that time has come', async () => {
    const [one, two] = await pair()
    const at = clock.wall() + 7_200_000
    await one.state.contents.learn({ repository: app, digest: a, content, saidAt: at })
    await one.state.tags.point(app, tagOf('v1'), entry(a, at))
    await one.copies.spread()
    const has = async () => [await two.tag('v1'), (await two.state.contents.find(app, a))?.digest]
    expect(await has()).toEqual([undefined, undefined])
    clock.advance(7_200_000)
    for (let i = 0; i < 10 && !(await two.tag('v1')); i++) await pass(1_000)
    expect(await has()).toEqual([a, a])
  })

  test('hear of files at URLs too, and what is pushed after one gets to the other', async () => {
    const [one, two] = await pair()
    const file = fileAt('http://files.corp:8000/disk.img')
    await one.state.tags.set(file, tagOf('latest'), entry(b))
    await one.state.tags.point(app, tagOf('v1'), entry(a))
    await one.copies.spread()
    expect([await two.tag(), (await two.state.tags.get(file, tagOf('latest')))?.digest]).toEqual([a, b])
  })

  test('listen to seeds alone', async () => {
    const [one] = await pair()
    const stranger = one.calls.answer('news', { node: id('c') })
    expect(await stranger.catch((error) => error.code)).toBe('no-name')
  })
})

test('forty seeds ask few of the others each time, and what one of them knows gets around to all', async () => {
  const all: Seed[] = []
  for (let i = 0; i < 40; i++) {
    const name = String.fromCharCode(65 + i)
    all.push(new Seed(infoOf(id(name), { modes: ['seed'] }), await database()))
  }
  for (const seed of all) seed.copies.start()
  for (const seed of all) for (const other of all) if (other !== seed) seed.knows(other)
  await pass(0)
  await all[7]!.state.tags.point(app, tagOf('v1'), entry(a))
  const know = async () => (await Promise.all(all.map((seed) => seed.tag()))).filter((digest) => digest === a).length
  let rounds = 0
  // Told on by whoever knows it, a handful is enough; some more, for databases that answer late.
  while ((await know()) < all.length && rounds < 20) {
    await pass(5_000)
    rounds++
  }
  expect(await know()).toBe(all.length)
  // When they joined, and each time since.
  expect(all.reduce((sum, { asked }) => sum + asked, 0)).toBeLessThanOrEqual((1 + rounds) * 3 * 40)
})

test('seeds that share a database leave each other alone once they know', async () => {
  const [one, two] = await pair(true)
  await pass(6000)
  const before = one.asked + two.asked
  await pass(60_000)
  await one.copies.spread()
  expect(one.asked + two.asked).toBe(before)
})

describe('what fits into an answer', () => {
  const tags = Array.from({ length: 3 }, (_, number) => ({ number })) as unknown as TagChange[]
  const contents = (count: number, bytes: number) =>
    Array.from({ length: count }, (_, number) => ({
      number,
      saidAt: 1,
      pad: 'x'.repeat(bytes),
    })) as unknown as ContentChange[]

  test('is everything, where there is little', () => {
    expect(fitting(contents(2, 10), tags)).toMatchObject({ all: true, tags })
  })
  test('is contents first, and no tags before all of these', () => {
    const told = fitting(contents(10, 100_000), tags)
    expect([told.contents.length, told.tags.length, told.all]).toEqual([5, 0, false])
  })
  test('is an index of twenty thousand images without what is in it', () => {
    const parts = Array.from({ length: 20_000 }, () => a)
    const change: ContentChange = { repository: app, digest: a, content: { ...content, parts }, saidAt: 1, number: 1 }
    const told = fitting([change], tags)
    expect(told.all).toBe(true)
    expect(told.contents[0]?.content).toEqual({ digest: a, kind: 'manifest', mediaType: 'm', size: 5, at: 1 })
  })
})
