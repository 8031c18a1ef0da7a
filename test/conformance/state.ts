/** What every implementation of State has to do, whatever database it keeps things in. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { fileAt } from '../../src/oci/file.ts'
import { formatRepository, parseTag, type Repository, repositoryOf } from '../../src/oci/reference.ts'
import type { Content, State, TagEntry } from '../../src/state/state.ts'

/** A database of its own for one test. */
export interface StateDatabase {
  /** As another node would, or this one after a restart; where only one can have it open, after `close` of the one before. */
  open(): Promise<State>
  drop(): Promise<void>
}

const app = repositoryOf('docker.io', 'corp/app')
const other = repositoryOf('ghcr.io', 'corp/other')
const file = fileAt('http://files.corp:8000/a/disk.img?b=1')
/** What a database may hold that was changed by hand. */
const unreadable = ['A', 'b', 'e', 'z'].map((name) => ({ registry: `no ${name}`, name }))
const v1 = parseTag('v1')
const [a, b, c] = ['a', 'b', 'c'].map((text) => digestOf(new TextEncoder().encode(text))) as [Digest, Digest, Digest]

function entry(digest: Digest | undefined, at: number, by = 'n1'): TagEntry {
  return { ...(digest ? { digest } : {}), mediaType: 'application/m', size: 10, at, by }
}

/** `shared`: several nodes can have the database open at once. */
export function describeState(name: string, make: () => Promise<StateDatabase>, { shared }: { shared: boolean }): void {
  describe(`${name} as the state of a cluster`, () => {
    let database: StateDatabase
    let state: State
    const opened: State[] = []
    const open = async () => {
      const made = await database.open()
      opened.push(made)
      return made
    }
    beforeEach(async () => {
      database = await make()
      state = await open()
    })
    afterEach(async () => {
      for (const each of opened.splice(0)) await each.close()
      await database.drop()
    })
    /** Two nodes: over one database where that can be, else two that ask the same node. */
    const two = async () => [state, shared ? await open() : state] as const
    const told = async (limit = 100) =>
      (await state.tags.history(app, v1, limit)).map(({ digest, at }) => [digest, at] as const)

    describe('tags', () => {
      test('a tag points to what was said last', async () => {
        expect(await state.tags.get(app, v1)).toBeUndefined()
        await state.tags.set(app, v1, entry(a, 1_700_000_000_000))
        expect(await state.tags.get(app, v1)).toEqual({ ...entry(a, 1_700_000_000_000), seenAt: 1_700_000_000_000 })
        await state.tags.set(app, v1, entry(b, 1_700_000_000_500))
        expect(await state.tags.get(app, v1)).toMatchObject({ digest: b, at: 1_700_000_000_500 })
        expect(await state.tags.get(other, v1)).toBeUndefined()
      })

      test('a tag that was taken away is none, and its history says so', async () => {
        await state.tags.set(app, v1, entry(a, 10))
        await state.tags.set(app, v1, entry(undefined, 20))
        expect(await state.tags.get(app, v1)).toEqual({ ...entry(undefined, 20), seenAt: 20 })
        expect(await told()).toEqual([
          [undefined, 20],
          [a, 10],
        ])
        expect(await state.tags.list(app, { limit: 10 })).toEqual([])
      })

      test('what a tag says already is no line of its own, but it has been seen', async () => {
        await state.tags.set(app, v1, entry(a, 10))
        await state.tags.set(app, v1, entry(a, 30))
        await state.tags.set(app, v1, entry(a, 20))
        expect(await told()).toEqual([[a, 10]])
        expect(await state.tags.get(app, v1)).toMatchObject({ at: 10, seenAt: 30 })
      })

      test('a line that comes late goes where it belongs, and the tag stays', async () => {
        await state.tags.set(app, v1, entry(a, 10))
        await state.tags.set(app, v1, entry(c, 30))
        await state.tags.set(app, v1, entry(b, 20))
        expect(await state.tags.get(app, v1)).toMatchObject({ digest: c })
        expect(await told()).toEqual([
          [c, 30],
          [b, 20],
          [a, 10],
        ])
      })

      test('a late line within a time in which the tag was seen unchanged cuts that in two', async () => {
        await state.tags.set(app, v1, entry(a, 10))
        await state.tags.set(app, v1, entry(a, 30))
        await state.tags.set(app, v1, entry(b, 20, 'n2'))
        expect(await state.tags.get(app, v1)).toMatchObject({ digest: a })
        expect(await told()).toEqual([
          [a, 30],
          [b, 20],
          [a, 10],
        ])
      })

      test('the same digest said earlier moves the beginning', async () => {
        await state.tags.set(app, v1, entry(a, 30))
        await state.tags.set(app, v1, entry(a, 10))
        expect(await told()).toEqual([[a, 10]])
        expect(await state.tags.get(app, v1)).toMatchObject({ digest: a, seenAt: 30 })
      })

      test('of two who spoke at the same time the greater name counts', async () => {
        await state.tags.set(app, v1, entry(b, 10, 'n2'))
        await state.tags.set(app, v1, entry(a, 10, 'n1'))
        expect(await state.tags.get(app, v1)).toMatchObject({ digest: b, by: 'n2' })
      })

      test('in whatever order the same statements are heard, the tag points to the same in the end', async () => {
        const statement = fc.record({
          digest: fc.constantFrom(a, b, undefined),
          at: fc.integer({ min: 1, max: 12 }),
          by: fc.constantFrom('n1', 'n2'),
        })
        const runs = fc.asyncProperty(
          fc.array(statement, { minLength: 1, maxLength: 8 }),
          fc.infiniteStream(fc.nat()),
          async (said, dice) => {
            const order = said.map((each) => ({ each, at: dice.next().value })).sort((x, y) => x.at - y.at)
            const tag = parseTag(`t${crypto.randomUUID()}`)
            for (const { each } of order) await state.tags.set(app, tag, entry(each.digest, each.at, each.by))
            const key = (s: { at: number; by: string; digest?: Digest | undefined }) =>
              [s.at, s.by, s.digest ?? ''] as const
            const sorted = [...said].sort((x, y) => compare(key(x), key(y)))
            expect((await state.tags.get(app, tag))?.digest).toEqual(sorted.at(-1)!.digest)
            const lines = await state.tags.history(app, tag, 100)
            expect(lines.every((line, i) => i === 0 || line.digest !== lines[i - 1]!.digest)).toBe(true)
          },
        )
        await fc.assert(runs, { numRuns: 20 })
      })

      test('tells what a tag pointed to at a time', async () => {
        await state.tags.set(app, v1, entry(a, 10))
        await state.tags.set(app, v1, entry(b, 20))
        expect(await state.tags.at(app, v1, 9)).toBeUndefined()
        expect(await state.tags.at(app, v1, 10)).toMatchObject({ digest: a })
        expect(await state.tags.at(app, v1, 19)).toMatchObject({ digest: a })
        expect(await state.tags.at(app, v1, 1000)).toMatchObject({ digest: b })
      })

      test('what is pointed to now counts, also where a clock ahead has spoken before', async () => {
        await state.tags.set(app, v1, entry(a, 1000))
        expect(await state.tags.point(app, v1, entry(b, 500))).toMatchObject({ digest: b, at: 1001 })
        expect(await state.tags.get(app, v1)).toMatchObject({ digest: b })
        expect(await state.tags.point(app, v1, entry(undefined, 600))).toMatchObject({ at: 1002 })
        expect((await state.tags.get(app, v1))?.digest).toBeUndefined()
        expect(await state.tags.point(other, v1, entry(b, 5))).toMatchObject({ digest: b, at: 5 })
      })

      test('history gives the newest, as many as asked for', async () => {
        for (let at = 1; at <= 5; at++) await state.tags.set(app, v1, entry(at % 2 ? a : b, at))
        expect(await told(2)).toEqual([
          [a, 5],
          [b, 4],
        ])
      })

      test('lists tags by page, in the order of code units', async () => {
        const names = ['b', 'a', 'B', '1.10', '1.9', 'a-b', 'a.b', '_x']
        for (const name of names) await state.tags.set(app, parseTag(name), entry(a, 1))
        await state.tags.set(other, parseTag('zz'), entry(a, 1))
        const sorted = [...names].sort() as string[]
        expect((await state.tags.list(app, { limit: 3 })) as string[]).toEqual(sorted.slice(0, 3))
        expect((await state.tags.list(app, { after: sorted[2]!, limit: 100 })) as string[]).toEqual(sorted.slice(3))
      })

      test('lists repositories with tags or content by page', async () => {
        await state.tags.set(other, v1, entry(a, 1))
        await state.contents.add(app, content(a))
        await state.contents.add(app, content(b))
        const gone = repositoryOf('ghcr.io', 'corp/gone')
        await state.tags.set(gone, v1, entry(a, 1))
        await state.tags.set(gone, v1, entry(undefined, 2))
        expect(await state.tags.repositories({ limit: 10 })).toEqual([app, other])
        expect(await state.tags.repositories({ limit: 1 })).toEqual([app])
        expect(await state.tags.repositories({ after: formatRepository(app), limit: 10 })).toEqual([other])
      })

      test('of a file at a URL it is known what it was last, and a copy hears of it; it is in no list', async () => {
        await state.tags.set(app, v1, entry(a, 1))
        await state.tags.set(file, v1, entry(b, 2))
        await state.tags.set(other, v1, entry(a, 3))
        expect(await state.tags.get(file, v1)).toMatchObject({ digest: b })
        expect((await state.tags.changes(0, 10)).map(({ repository }) => repository)).toEqual([app, file, other])
        expect(await state.tags.repositories({ limit: 1 })).toEqual([app])
        expect(await state.tags.repositories({ after: formatRepository(app), limit: 1 })).toEqual([other])
        const asked: string[] = []
        await state.tags.forget(10, (repository) => {
          asked.push(formatRepository(repository))
          return 'tags'
        })
        expect(asked.sort()).toEqual([app, other, file].map(formatRepository).sort())
      })

      test('a row that names no repository stops none of the others', async () => {
        const written = [unreadable[0]!, app, unreadable[1]!, unreadable[2]!, other, unreadable[3]!]
        for (const repository of written) await state.tags.set(repository, v1, entry(a, 1))
        expect((await state.tags.changes(0, 10)).map(({ repository }) => repository)).toEqual([app, other])
        // A page that is not full is the last one to whoever asks.
        const [first] = await state.tags.changes(0, 1)
        expect(first?.repository).toEqual(app)
        expect((await state.tags.changes(first!.number, 1)).map(({ repository }) => repository)).toEqual([other])
        expect(await state.tags.repositories({ limit: 2 })).toEqual([app, other])
        expect(await state.tags.repositories({ after: formatRepository(app), limit: 1 })).toEqual([other])
        await state.tags.forget(10, () => 'tags')
        expect(await state.tags.list(app, { limit: 10 })).toEqual([v1])
      })

      test('changes are numbered upward, and give a copy that says the same', async () => {
        await state.tags.set(app, v1, entry(a, 10))
        await state.tags.set(other, v1, entry(b, 5))
        await state.tags.set(app, v1, entry(a, 20))
        await state.tags.set(app, v1, entry(b, 15, 'n2'))
        const all = await state.tags.changes(0, 100)
        const numbers = all.map(({ number }) => number)
        expect(numbers).toEqual([...numbers].sort((x, y) => x - y))
        expect(all.map(({ repository, digest, at }) => [repository, digest, at])).toContainEqual([app, b, 15])
        expect(await state.tags.changes(numbers[1]!, 1)).toEqual([all[2]!])
        expect(await state.tags.changes(numbers.at(-1)!, 100)).toEqual([])
        expect(await state.tags.lastChange()).toBe(numbers.at(-1)!)
        const copy = await make()
        try {
          const second = await copy.open()
          opened.push(second)
          for (const { repository, tag, number: _, ...line } of all) await second.tags.set(repository, tag, line)
          for (const each of [app, other]) {
            expect(await second.tags.history(each, v1, 100)).toEqual(await state.tags.history(each, v1, 100))
          }
          await second.close()
        } finally {
          await copy.drop()
        }
      })

      test('copies hear once a day that a tag is still seen', async () => {
        const day = 86_400_000
        const last = async () => (await state.tags.changes(0, 100)).at(-1)
        await state.tags.set(app, v1, entry(a, day + 1))
        const { number } = (await last())!
        await state.tags.set(app, v1, entry(a, day + 2))
        expect((await last())!.number).toBe(number)
        await state.tags.set(app, v1, entry(a, 2 * day))
        expect(await last()).toMatchObject({ digest: a, at: day + 1, seenAt: 2 * day })
        expect((await last())!.number).toBeGreaterThan(number)
        expect(await told()).toEqual([[a, day + 1]])
      })

      test('copies hear each time that a tag is set again', async () => {
        await state.tags.point(app, v1, entry(a, 10))
        const { number } = (await state.tags.changes(0, 100)).at(-1)!
        await state.tags.point(app, v1, entry(a, 20))
        expect(await state.tags.changes(number, 100)).toMatchObject([{ digest: a, at: 10, seenAt: 20 }])
      })

      test('forgets what ended long ago, and tags that nobody has seen since, but not those to be kept', async () => {
        await state.tags.set(app, v1, entry(a, 10))
        await state.tags.set(app, v1, entry(b, 20))
        await state.tags.set(app, v1, entry(c, 30))
        const dead = parseTag('dead')
        await state.tags.set(app, dead, entry(a, 10))
        await state.tags.set(app, dead, entry(undefined, 11))
        await state.tags.set(other, v1, entry(a, 10))
        const fresh = parseTag('fresh')
        await state.tags.set(other, fresh, entry(a, 10))
        await state.tags.set(other, fresh, entry(a, 40))
        const lasting = ({ registry }: Repository) => (registry === app.registry ? 'tags' : 'nothing')
        await state.tags.forget(25, lasting)
        expect(await told()).toEqual([
          [c, 30],
          [b, 20],
        ])
        await state.tags.forget(35, lasting)
        expect(await told()).toEqual([[c, 30]])
        expect(await state.tags.history(app, dead, 10)).toEqual([])
        expect(await state.tags.get(other, v1)).toBeUndefined()
        expect(await state.tags.get(other, fresh)).toMatchObject({ digest: a })
      })

      test('forgets no deletion that lasts', async () => {
        await state.tags.set(app, v1, entry(a, 10))
        await state.tags.set(app, v1, entry(undefined, 11))
        await state.tags.forget(100, () => 'all')
        const last = await state.tags.get(app, v1)
        expect([last?.at, last?.digest]).toEqual([11, undefined])
        await state.tags.forget(100, () => 'tags')
        expect(await state.tags.get(app, v1)).toBeUndefined()
      })

      test('two nodes that change a tag at once lose nothing of it', async () => {
        const nodes = await two()
        await Promise.all(
          Array.from({ length: 20 }, (_, i) => nodes[i % 2]!.tags.point(app, v1, entry(i % 2 ? a : b, 1000, `n${i}`))),
        )
        const newest = await state.tags.get(app, v1)
        const lines = await state.tags.history(app, v1, 100)
        expect(lines[0]).toEqual(newest!)
        expect(lines.every((line, i) => i === 0 || line.digest !== lines[i - 1]!.digest)).toBe(true)
        const numbers = (await state.tags.changes(0, 100)).map(({ number }) => number)
        expect(new Set(numbers).size).toBe(lines.length)
      })
    })

    describe('contents', () => {
      test('has what was added, as it was added last', async () => {
        expect(await state.contents.find(app, a)).toBeUndefined()
        const full: Content = {
          ...content(a),
          kind: 'manifest',
          subject: b,
          artifactType: 'application/sbom',
          annotations: { 'org.example': 'x "quoted" ü' },
          parts: [b, c],
        }
        await state.contents.add(app, content(a))
        await state.contents.add(app, full)
        expect(await state.contents.find(app, a)).toEqual(full)
        expect(await state.contents.find(other, a)).toBeUndefined()
        expect(await state.contents.remove(app, a)).toBe(true)
        expect(await state.contents.remove(app, a)).toBe(false)
        expect(await state.contents.find(app, a)).toBeUndefined()
      })

      test('what somebody relies on meanwhile is not taken away by who decided it before', async () => {
        await state.contents.add(app, { ...content(a), at: 100 })
        expect(await state.contents.touch(app, a, 60_000)).toBe(true)
        expect(await state.contents.remove(app, a, { at: 100 })).toBe(false)
        expect(await state.contents.find(app, a)).toEqual({ ...content(a), at: 60_000 })
        // Young enough.
        for (const at of [10, 60_001, 89_000]) expect(await state.contents.touch(app, a, at)).toBe(true)
        expect((await state.contents.find(app, a))?.at).toBe(60_000)
        expect(await state.contents.remove(app, a, { at: 60_000 })).toBe(true)
        expect(await state.contents.touch(app, a, 200_000)).toBe(false)
        expect(await state.contents.find(app, a)).toBeUndefined()
      })

      test('who asks often for what came a moment ago has nothing written', async () => {
        const last = async () => (await state.contents.changes(0, 9)).at(-1)!.number
        await state.contents.add(app, { ...content(a), at: 100 })
        const before = await last()
        for (let times = 0; times < 5; times++) await state.contents.touch(app, a, 101)
        await state.contents.add(app, { ...content(b), at: 102 })
        expect(await last()).toBe(before + 1)
      })

      test('lists by digest and page, all or of a kind', async () => {
        const digests = [a, b, c].sort()
        for (const digest of digests) {
          await state.contents.add(app, { ...content(digest), kind: digest === digests[1] ? 'manifest' : 'blob' })
        }
        const listed = async (...args: [{ after?: Digest; limit: number }, ('manifest' | 'blob')?]) =>
          (await state.contents.list(app, ...args)).map(({ digest }) => digest)
        expect(await listed({ limit: 2 })).toEqual(digests.slice(0, 2))
        expect(await listed({ after: digests[1]!, limit: 2 })).toEqual(digests.slice(2))
        expect(await listed({ limit: 9 }, 'manifest')).toEqual([digests[1]!])
        expect(await listed({ after: digests[0]!, limit: 9 }, 'blob')).toEqual([digests[2]!])
      })

      test('changes give a copy that has the same, whichever of two heard what first', async () => {
        const copy = await make()
        try {
          const second = await copy.open()
          opened.push(second)
          const follow = async (from: State, to: State) => {
            for (const { number: _, ...change } of await from.contents.changes(0, 100)) await to.contents.learn(change)
          }
          const has = async (of: State) => (await of.contents.list(app, { limit: 9 })).map(({ digest }) => digest)
          await state.contents.add(app, { ...content(a), at: 10 })
          await state.contents.add(app, { ...content(b), at: 11 })
          await follow(state, second)
          expect(await has(second)).toEqual([a, b].sort())
          await second.contents.remove(app, a)
          await state.contents.add(app, { ...content(b), size: 77, at: 20 })
          await follow(state, second)
          await follow(second, state)
          expect([await has(state), await has(second)]).toEqual([[b], [b]])
          expect(await second.contents.find(app, b)).toMatchObject({ size: 77 })
          // A clock that is behind does not undo what somebody does now.
          await state.contents.add(app, { ...content(a), at: 1 })
          await follow(state, second)
          expect(await has(second)).toEqual([a, b].sort())
        } finally {
          await copy.drop()
        }
      })

      test('changes come in the order of their numbers, of each content the last, until it is forgotten', async () => {
        expect(await state.contents.lastChange()).toBe(0)
        await state.contents.add(app, { ...content(a), at: 10 })
        await state.contents.add(app, { ...content(b), at: 10 })
        await state.contents.add(app, { ...content(a), at: 12 })
        expect(await state.contents.lastChange()).toBe((await state.contents.changes(0, 9)).at(-1)!.number)
        const [first, last] = await state.contents.changes(0, 9)
        expect([first?.digest, last?.digest]).toEqual([b, a])
        expect(last!.number).toBeGreaterThan(first!.number)
        expect(await state.contents.changes(first!.number, 9)).toEqual([last!])
        await state.contents.remove(app, b)
        const [removed] = await state.contents.changes(last!.number, 9)
        expect([removed?.digest, removed?.content]).toEqual([b, undefined])
        expect(await state.contents.repositoriesOf(b)).toEqual([])
        const those = async () => (await state.contents.changes(0, 9)).map(({ digest }) => digest)
        await state.contents.forget(removed!.saidAt, () => 'tags')
        await state.contents.forget(removed!.saidAt + 1, () => 'all')
        expect(await those()).toEqual([a, b])
        expect([await state.contents.removed(app, a), await state.contents.removed(app, b)]).toEqual([false, true])
        await state.contents.forget(removed!.saidAt + 1, () => 'tags')
        expect(await those()).toEqual([a])
        expect(await state.contents.removed(app, b)).toBe(false)
      })

      test('a row that names no repository stops none of the others', async () => {
        for (const repository of [unreadable[0]!, app, unreadable[1]!, other]) {
          await state.contents.add(repository, content(a))
        }
        expect((await state.contents.changes(0, 10)).map(({ repository }) => repository)).toEqual([app, other])
        const [first] = await state.contents.changes(0, 1)
        expect((await state.contents.changes(first!.number, 1)).map(({ repository }) => repository)).toEqual([other])
        expect(await state.contents.repositoriesOf(a)).toEqual([app, other])
        expect(await state.tags.repositories({ limit: 10 })).toEqual([app, other])
      })

      test('knows referrers of a subject, and repositories of a digest', async () => {
        await state.contents.add(app, { ...content(a), kind: 'manifest', subject: c })
        await state.contents.add(other, { ...content(b), kind: 'manifest', subject: c })
        await state.contents.add(other, content(a))
        expect((await state.contents.referrers(app, c)).map(({ digest }) => digest)).toEqual([a])
        expect(await state.contents.referrers(app, b)).toEqual([])
        expect(await state.contents.repositoriesOf(a)).toEqual([app, other])
      })
    })

    describe('jobs', () => {
      const job = (key = 'k', at = 1) => ({ kind: 'preheat', key, body: { key }, at })

      test('what is asked for already gives the job there is, until it is over', async () => {
        const first = await state.jobs.add(job())
        expect(first).toMatchObject({ created: true, job: { state: 'pending', body: { key: 'k' }, createdAt: 1 } })
        // Somewhere among them, so that two databases have none in common.
        expect(String(first.job.id)).toMatch(/^[1-9]\d{5}000$/)
        expect(await state.jobs.add(job())).toEqual({ created: false, job: first.job })
        expect((await state.jobs.add({ ...job(), kind: 'other' })).created).toBe(true)
        await state.jobs.cancel(first.job.id, 2)
        const second = await state.jobs.add(job())
        expect(second.created).toBe(true)
        expect(second.job.id).toBeGreaterThan(first.job.id)
        expect((await state.jobs.list('preheat', 10)).map(({ id }) => id)).toEqual([second.job.id, first.job.id])
        expect(await state.jobs.find(first.job.id)).toMatchObject({ state: 'cancelled', updatedAt: 2 })
        expect(await state.jobs.find(999_999)).toBeUndefined()
      })

      test('asked for ten times at once, it is one job', async () => {
        const nodes = await two()
        const added = await Promise.all(Array.from({ length: 10 }, (_, i) => nodes[i % 2]!.jobs.add(job())))
        expect(added.filter(({ created }) => created)).toHaveLength(1)
        expect(new Set(added.map(({ job }) => job.id)).size).toBe(1)
      })

      test('one node at a time holds a job, until its lease ends', async () => {
        const held = { owner: 'n1', until: 150 }
        const { job: mine } = await state.jobs.add({ ...job(), kind: 'held', held })
        expect(mine).toMatchObject({ owner: 'n1', leasedUntil: 150 })
        expect(await state.jobs.claim('held', 'n2', 149, 50)).toBeUndefined()
        expect(await state.jobs.claim('held', 'n2', 150, 50)).toMatchObject({ id: mine.id, owner: 'n2' })
        const { job: made } = await state.jobs.add(job())
        expect(await state.jobs.claim('other', 'n1', 100, 50)).toBeUndefined()
        expect(await state.jobs.claim('preheat', 'n1', 100, 50)).toMatchObject({
          id: made.id,
          owner: 'n1',
          leasedUntil: 150,
        })
        expect(await state.jobs.claim('preheat', 'n2', 149, 50)).toBeUndefined()
        const change = { updatedAt: 120, state: 'running', body: { step: 1 }, leasedUntil: 200 } as const
        expect(await state.jobs.update(made.id, 'n1', change)).toBe(true)
        expect(await state.jobs.claim('preheat', 'n2', 199, 50)).toBeUndefined()
        expect(await state.jobs.claim('preheat', 'n2', 200, 50)).toMatchObject({ state: 'running', body: { step: 1 } })
        expect(await state.jobs.update(made.id, 'n1', { updatedAt: 210, state: 'done' })).toBe(false)
        expect(await state.jobs.find(made.id)).toMatchObject({ state: 'running', owner: 'n2', updatedAt: 120 })
      })

      test('a job that is over is not claimed, changed or cancelled any more', async () => {
        const { job: made } = await state.jobs.add(job())
        await state.jobs.claim('preheat', 'n1', 1, 50)
        const over = { state: 'failed', reason: 'no room', updatedAt: 9 } as const
        expect(await state.jobs.update(made.id, 'n1', over)).toBe(true)
        expect(await state.jobs.find(made.id)).toMatchObject({ state: 'failed', reason: 'no room' })
        expect(await state.jobs.claim('preheat', 'n2', 1000, 50)).toBeUndefined()
        expect(await state.jobs.update(made.id, 'n1', { updatedAt: 10, state: 'done' })).toBe(false)
        expect(await state.jobs.cancel(made.id, 10)).toBe(false)
        expect(await state.jobs.cancel(999_999, 10)).toBe(false)
      })

      test('of many who claim at once, each job has one owner', async () => {
        const nodes = await two()
        for (let i = 0; i < 6; i++) await state.jobs.add(job(`k${i}`))
        const claims = Array.from({ length: 12 }, (_, i) => nodes[i % 2]!.jobs.claim('preheat', `n${i}`, 1, 50))
        const claimed = (await Promise.all(claims)).flatMap((each) => (each ? [each.id] : []))
        // Who finds the one row being taken by somebody else may go without: then the next time.
        for (let more = await state.jobs.claim('preheat', 'last', 1, 50); more; ) {
          claimed.push(more.id)
          more = await state.jobs.claim('preheat', 'last', 1, 50)
        }
        expect(claimed).toHaveLength(6)
        expect(new Set(claimed).size).toBe(6)
      })

      test('forgets jobs that were over before a time', async () => {
        const { job: old } = await state.jobs.add(job('old'))
        const { job: young } = await state.jobs.add(job('young'))
        const { job: running } = await state.jobs.add(job('running'))
        await state.jobs.cancel(old.id, 10)
        await state.jobs.cancel(young.id, 20)
        await state.jobs.forget(20)
        expect((await state.jobs.list('preheat', 10)).map(({ id }) => id)).toEqual([running.id, young.id])
      })
    })

    describe('work', () => {
      const owed = (key: string, at = 1, body: unknown = key) => ({ kind: 'put', key, body, at })

      test('gives what is due longest, and hides it until the lease ends', async () => {
        await state.work.add({ ...owed('later', 1), dueAt: 50 })
        await state.work.add(owed('first', 10))
        await state.work.add(owed('second', 20))
        expect(await state.work.claim('put', 5, 100)).toBeUndefined()
        const first = await state.work.claim('put', 30, 100)
        expect(first).toMatchObject({ key: 'first', body: 'first', addedAt: 10, dueAt: 10, tries: 0 })
        expect(await state.work.claim('put', 30, 100)).toMatchObject({ key: 'second' })
        expect(await state.work.claim('put', 30, 100)).toBeUndefined()
        expect(await state.work.claim('put', 60, 100)).toMatchObject({ key: 'later' })
        expect(await state.work.extend(first!, 500)).toBe(true)
        expect(await state.work.done(first!)).toBe(true)
        expect(await state.work.extend(first!, 500)).toBe(false)
        expect(await state.work.claim('put', 130, 100)).toMatchObject({ key: 'second' })
        expect((await state.work.list('put', 10)).map(({ key }) => key)).toEqual(['later', 'second'])
      })

      test('work that waits is replaced by newer work of its key; work under way is not', async () => {
        await state.work.add(owed('k', 1, 'one'))
        await state.work.add(owed('k', 2, 'two'))
        expect(await state.work.count('put')).toEqual({ waiting: 1, oldestAt: 2 })
        const two = await state.work.claim('put', 10, 100)
        expect(two).toMatchObject({ body: 'two' })
        await state.work.add(owed('k', 3, 'three'))
        await state.work.add(owed('k', 4, 'four'))
        expect((await state.work.list('put', 10)).map(({ body }) => body)).toEqual(['two', 'four'])
        expect([await state.work.keys('put'), await state.work.keys('other')]).toEqual([['k'], []])
        // One after the other: the newer must not be overtaken by what is still being done.
        expect(await state.work.claim('put', 10, 100)).toBeUndefined()
        await state.work.done(two!)
        expect(await state.work.claim('put', 10, 100)).toMatchObject({ body: 'four' })
      })

      test('what failed is tried again when it is due, and says why', async () => {
        await state.work.add(owed('k'))
        const first = await state.work.claim('put', 1, 100)
        expect(await state.work.retry(first!, 50, 'connection refused')).toBe(true)
        expect(await state.work.claim('put', 49, 100)).toBeUndefined()
        const second = await state.work.claim('put', 50, 100)
        expect(second).toMatchObject({ tries: 1, lastError: 'connection refused' })
        await state.work.add(owed('k', 3, 'newer'))
        await state.work.retry(second!, 60, 'again')
        expect(await state.work.list('put', 10)).toMatchObject([{ body: 'newer', tries: 0 }])
      })

      test('what was put off, or held, by a clock that has been set back since is given at once', async () => {
        const day = 86_400_000
        const { job: mine } = await state.jobs.add({
          kind: 'held',
          key: 'k',
          body: {},
          at: 1,
          held: { owner: 'n1', until: day },
        })
        expect(await state.jobs.claim('held', 'n2', day - 60_000, 50)).toBeUndefined()
        expect(await state.jobs.claim('held', 'n2', day / 2, 50)).toMatchObject({ id: mine.id, owner: 'n2' })
        await state.work.add(owed('k'))
        const first = await state.work.claim('put', day, 100)
        await state.work.retry(first!, day + 1000, 'connection refused')
        expect(await state.work.claim('put', day, 100)).toBeUndefined()
        const second = await state.work.claim('put', day / 2, 100)
        expect(second).toMatchObject({ key: 'k', tries: 1 })
        expect(await state.work.claim('put', 2, 100)).toMatchObject({ key: 'k' })
      })

      test('work whose worker died is given again, and once only', async () => {
        await state.work.add(owed('k'))
        const [one, another] = await two()
        expect(await one.work.claim('put', 1, 100)).toBeDefined()
        const again = await Promise.all([one.work.claim('put', 101, 100), another.work.claim('put', 101, 100)])
        expect(again.filter((each) => each !== undefined)).toHaveLength(1)
      })

      test('who lost it to another has no say in it any more, whether that one is at it, put it off, or is done', async () => {
        await state.work.add(owed('k'))
        const [one, another] = await two()
        const lost = await one.work.claim('put', 1, 100)
        const held = await another.work.claim('put', 101, 100)
        expect(held!.id).toBe(lost!.id)
        const tell = async () => [
          await one.work.extend(lost!, 900),
          await one.work.retry(lost!, 900, 'late'),
          await one.work.done(lost!),
        ]
        expect(await tell()).toEqual([false, false, false])
        expect(await state.work.list('put', 10)).toEqual([held!])
        // Newer work does not take the place of what another is at, only because the first one gave up.
        await state.work.add(owed('k', 2, 'newer'))
        expect(await tell()).toEqual([false, false, false])
        expect((await state.work.list('put', 10)).map(({ body }) => body)).toEqual(['k', 'newer'])
        expect(await another.work.extend(held!, 300)).toBe(true)
        expect(await another.work.done(held!)).toBe(true)
        expect(await another.work.done(held!)).toBe(false)
        const next = await another.work.claim('put', 300, 100)
        expect(await another.work.retry(next!, 400, 'refused')).toBe(true)
        expect(await another.work.done(next!)).toBe(false)
        expect(await state.work.list('put', 10)).toMatchObject([{ body: 'newer', tries: 1, lastError: 'refused' }])
      })

      test('of many who claim at once, each piece of work is given once', async () => {
        const nodes = await two()
        for (let i = 0; i < 8; i++) await state.work.add(owed(`k${i}`))
        const claimed = (
          await Promise.all(Array.from({ length: 16 }, (_, i) => nodes[i % 2]!.work.claim('put', 1, 50)))
        ).flatMap((each) => (each ? [each.id] : []))
        for (let more = await state.work.claim('put', 1, 50); more; ) {
          claimed.push(more.id)
          more = await state.work.claim('put', 1, 50)
        }
        expect(claimed).toHaveLength(8)
        expect(new Set(claimed).size).toBe(8)
      })

      test('counts what waits of a kind, and how long', async () => {
        expect(await state.work.count('put')).toEqual({ waiting: 0 })
        await state.work.add(owed('k1', 7))
        await state.work.add(owed('k2', 5))
        await state.work.add({ ...owed('k3', 1), kind: 'other' })
        expect(await state.work.count('put')).toEqual({ waiting: 2, oldestAt: 5 })
      })
    })

    describe('bans', () => {
      test('are seen until they end, replaced and lifted', async () => {
        await state.bans.put({ node: 'n1', reason: 'lied', until: 100 })
        await state.bans.put({ node: 'n2', reason: 'lied', until: 50 })
        await state.bans.put({ node: 'n1', reason: 'lied again', until: 200 })
        expect(await state.bans.list(50)).toEqual([{ node: 'n1', reason: 'lied again', until: 200 }])
        expect(await state.bans.remove('n1')).toBe(true)
        expect(await state.bans.remove('n1')).toBe(false)
        expect(await state.bans.list(0)).toEqual([{ node: 'n2', reason: 'lied', until: 50 }])
      })
    })

    test('after a restart all of it is there, under the same name', async () => {
      const id = await state.id()
      await state.tags.set(app, v1, entry(a, 10))
      await state.contents.add(app, content(a))
      const { job } = await state.jobs.add({ kind: 'preheat', key: 'k', body: [1, { two: 2 }], at: 3 })
      await state.work.add({ kind: 'put', key: 'k', body: null, at: 4 })
      await state.bans.put({ node: 'n1', reason: 'lied', until: 100 })
      await state.close()
      opened.length = 0
      state = await open()
      expect(await state.id()).toBe(id)
      expect(await state.tags.get(app, v1)).toMatchObject({ digest: a })
      expect(await state.contents.find(app, a)).toEqual(content(a))
      expect(await state.jobs.find(job.id)).toEqual(job)
      expect(await state.work.list('put', 10)).toMatchObject([{ key: 'k', body: null }])
      expect(await state.bans.list(0)).toHaveLength(1)
      expect(state.trouble).toBeUndefined()
    })

    test('numbers of what is gone are not given again', async () => {
      const { job: first } = await state.jobs.add({ kind: 'preheat', key: 'k', body: 1, at: 1 })
      await state.jobs.cancel(first.id, 1)
      await state.jobs.forget(100)
      expect((await state.jobs.add({ kind: 'preheat', key: 'k', body: 1, at: 1 })).job.id).toBeGreaterThan(first.id)
    })

    test('once closed it is unavailable, and says so', async () => {
      await state.close()
      expect(await state.tags.get(app, v1).catch((error) => error.code)).toBe('unavailable')
    })

    test('a reason with a character that no database takes is kept without it', async () => {
      await state.work.add({ kind: 'put', key: 'k', body: { text: 'a\0b' }, at: 1 })
      const work = await state.work.claim('put', 1, 10)
      expect(work!.body).toEqual({ text: 'a\0b' })
      await state.work.retry(work!, 5, 'broken \0 pipe')
      expect((await state.work.list('put', 1))[0]!.lastError).toBe('broken  pipe')
    })
  })
}

function compare(x: readonly (string | number)[], y: readonly (string | number)[]): number {
  for (const [i, value] of x.entries()) if (value !== y[i]) return value < y[i]! ? -1 : 1
  return 0
}

function content(digest: Digest): Content {
  return { digest, kind: 'blob', mediaType: 'application/octet-stream', size: 5_000_000_000, at: 1 }
}
