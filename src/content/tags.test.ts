import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { FakeClock, settle } from '../../test/fakes/clock.ts'
import { infoOf } from '../../test/fakes/members.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { MemberTable } from '../cluster/member-table.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { Failure, type FailureCode } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { parseTag, type Repository, repositoryOf } from '../oci/reference.ts'
import type { Vouched } from '../rights/rights.ts'
import type { Resolved } from '../source/source.ts'
import { openSqlite } from '../state/sqlite.ts'
import type { State } from '../state/state.ts'
import { silentLog } from '../telemetry/log.ts'
import { TagIndexing } from './tag-index.ts'
import { Tags } from './tags.ts'

const repository = repositoryOf('docker.io', 'library/debian')
const tag = parseTag('13')
const ttlMs = 60_000
const at = (text: string): Resolved => ({ digest: digestOf(Buffer.from(text)), mediaType: 'a/b', size: text.length })

/** A source that counts what it is asked, and answers when it is let. */
class FakeSource {
  asked = 0
  answer: Resolved | Failure = at('one')
  gate: Promise<void> | undefined

  async resolve(): Promise<Resolved> {
    this.asked++
    await this.gate
    if (this.answer instanceof Failure) throw this.answer
    return this.answer
  }
}

let clock: FakeClock
let source: FakeSource

/** Nodes with a store each, all of which ask the same source and know the same owners. */
class Node {
  readonly store = new MemoryStore({ clock })
  readonly table: MemberTable
  readonly doubted: string[] = []
  /** What this node knows of the repository's openness, and what it heard from others. */
  vouched: Vouched = {}
  readonly heard: Vouched[] = []
  /** Who lends this node a login, and whether it has one itself. */
  lender = 0
  login = false
  readonly tags: Tags

  constructor(info: NodeInfo, owners: () => Node[], own: Pick<FakeSource, 'resolve'> = source, state?: State) {
    this.table = new MemberTable(info, () => clock.now())
    this.table.onDoubt((id) => this.doubted.push(id))
    const none = () => Promise.reject(new Failure('internal', 'not asked for in these tests'))
    this.tags = new Tags({
      store: this.store,
      source: { resolve: () => own.resolve(), stat: none, open: none, pass: none },
      membership: this.table,
      outbound: {
        resolve: async (owner, request) => {
          const node = owners().find(({ id }) => id === owner.id)
          if (!node || down.has(owner.id)) throw new Failure('unavailable', `${owner.id} does not answer`)
          if (!('tag' in request)) throw new Failure('internal', 'tags are asked for in these tests')
          return node.tags.answer(request)
        },
      },
      clock,
      log: silentLog,
      ttlMs,
      rights: { vouch: async () => this.vouched, heard: (_, vouched) => this.heard.push(vouched) },
      door: { lender: () => this.lender, hasLogin: async () => this.login },
      owners: () => owners().map((node) => node.table.self),
      ...(state ? { index: indexOver(state, info.id) } : {}),
    })
  }
  get id(): string {
    return this.table.self.id
  }
  async resolve(): Promise<string> {
    try {
      return (await this.tags.resolve(repository, tag)).digest
    } catch (error) {
      return Failure.from(error).code
    }
  }
}

function indexOver(state: Pick<State, 'tags'>, self: string, owned: (of: Repository) => boolean = () => false) {
  return new TagIndexing({ state, self: () => self, owned, clock, log: silentLog })
}

const down = new Set<string>()
const one = at('one').digest
const two = at('two').digest

beforeEach(() => {
  clock = new FakeClock()
  source = new FakeSource()
  down.clear()
})

const alone = () => new Node(infoOf('alone'), () => [])

/** `count` ordinary nodes and the owners, the first of them first. */
function cluster(count: number, ownerCount = 1, own?: () => Pick<FakeSource, 'resolve'>) {
  const owners: Node[] = []
  for (let i = 0; i < ownerCount; i++) {
    owners.push(new Node(infoOf(`owner${i}`, { modes: ['scheduler'] }), () => owners))
  }
  const nodes = Array.from({ length: count }, (_, i) => new Node(infoOf(`n${i}`), () => owners, own?.()))
  for (const node of nodes) for (const owner of owners) node.table.heard(owner.table.self, 0)
  return { owners, nodes }
}

describe('a node alone', () => {
  test('asks the source once and believes it for the time to live', async () => {
    const node = alone()
    expect(await node.resolve()).toBe(one)
    source.answer = at('two')
    clock.advance(ttlMs - 1)
    expect(await node.resolve()).toBe(one)
    clock.advance(1)
    expect(await node.resolve()).toBe(two)
    expect(source.asked).toBe(2)
  })

  test('asks once for all that ask at the same time', async () => {
    const node = alone()
    const { promise, resolve } = Promise.withResolvers<void>()
    source.gate = promise
    const answers = Promise.all(Array.from({ length: 20 }, () => node.resolve()))
    await settle()
    resolve()
    expect(new Set(await answers)).toEqual(new Set([one]))
    expect(source.asked).toBe(1)
  })

  test.each<FailureCode>(['unavailable', 'too-many', 'corrupt'])(
    'serves the last known digest while the source is %s',
    async (code) => {
      const node = alone()
      await node.resolve()
      clock.advance(ttlMs)
      source.answer = new Failure(code, 'out of reach')
      expect(await node.resolve()).toBe(one)
      source.answer = at('two')
      clock.advance(5000)
      expect(await node.resolve()).toBe(two)
    },
  )

  test('does not wait for a source that was out of reach a moment ago when it knows an answer', async () => {
    const node = alone()
    await node.resolve()
    clock.advance(ttlMs)
    source.answer = new Failure('unavailable', 'down')
    for (let i = 0; i < 10; i++) expect(await node.resolve()).toBe(one)
    expect(source.asked).toBe(2)
  })

  test.each<FailureCode>(['no-manifest', 'no-name', 'denied', 'not-listed'])(
    'serves nothing known when the source says %s',
    async (code) => {
      const node = alone()
      await node.resolve()
      clock.advance(ttlMs)
      source.answer = new Failure(code, 'no')
      expect(await node.resolve()).toBe(code)
    },
  )

  test('has nothing to serve when it never knew the tag', async () => {
    source.answer = new Failure('unavailable', 'down')
    expect(await alone().resolve()).toBe('unavailable')
  })

  test('asks again at once after a failure that says nothing about the tag', async () => {
    const node = alone()
    source.answer = new Failure('unavailable', 'down')
    await node.resolve()
    source.answer = at('one')
    expect(await node.resolve()).toBe(one)
  })

  test('believes that a tag is missing for a moment only', async () => {
    const node = alone()
    source.answer = new Failure('no-manifest', 'no such tag')
    expect(await node.resolve()).toBe('no-manifest')
    source.answer = at('one')
    expect(await node.resolve()).toBe('no-manifest')
    expect(source.asked).toBe(1)
    clock.advance(5000)
    expect(await node.resolve()).toBe(one)
  })

  test('keeps what the source said in one name from nobody who may have it asked in another', async () => {
    const node = alone()
    source.answer = new Failure('no-manifest', 'not for you')
    expect(await node.resolve()).toBe('no-manifest')
    node.lender = 1
    expect(await node.resolve()).toBe('no-manifest')
    source.answer = at('one')
    // The first of them is as sure as before, and the second has not asked.
    expect(await node.resolve()).toBe('no-manifest')
    node.lender = 2
    expect(await node.resolve()).toBe(one)
    expect(source.asked).toBe(3)
  })

  test('lets nobody wait for a question in another name', async () => {
    const node = alone()
    const { promise, resolve } = Promise.withResolvers<void>()
    source.gate = promise
    source.answer = new Failure('no-manifest', 'not for you')
    const first = node.resolve()
    await settle()
    node.lender = 1
    const second = node.resolve()
    await settle()
    expect(source.asked).toBe(2)
    resolve()
    expect(await Promise.all([first, second])).toEqual(['no-manifest', 'no-manifest'])
  })

  test('does not believe a record from the future', async () => {
    const node = alone()
    node.store.setTag(repository, tag, { ...at('two'), resolvedAt: clock.wall() + 3_600_000 })
    expect(await node.resolve()).toBe(one)
  })
})

describe('a cluster', () => {
  test('asks the source once for a thousand nodes', async () => {
    const { nodes } = cluster(1000)
    const answers = await Promise.all(nodes.map((node) => node.resolve()))
    expect(new Set(answers)).toEqual(new Set([one]))
    for (const node of nodes) expect(await node.resolve()).toBe(one)
    expect(source.asked).toBe(1)
  })

  test('asks the source once for a tag that a thousand nodes want and nobody has', async () => {
    source.answer = new Failure('no-manifest', 'no such tag')
    const { nodes } = cluster(1000)
    const answers = await Promise.all(nodes.slice(0, 500).map((node) => node.resolve()))
    for (const node of nodes.slice(500)) answers.push(await node.resolve())
    expect(new Set(answers)).toEqual(new Set(['no-manifest']))
    expect(source.asked).toBe(1)
  })

  test('believes no answer for longer than the time to live, from the source to the last node', async () => {
    const { nodes } = cluster(2)
    await nodes[0]!.resolve()
    clock.advance(ttlMs / 2)
    await nodes[1]!.resolve()
    source.answer = at('two')
    clock.advance(ttlMs / 2)
    expect(await nodes[1]!.resolve()).toBe(two)
  })

  test('goes on with the next owner when one does not answer, and then without', async () => {
    const { nodes, owners } = cluster(1, 3)
    const [node] = nodes
    down.add('owner0')
    expect(await node!.resolve()).toBe(one)
    expect(node!.doubted).toEqual(['owner0'])
    expect(owners[1]!.store.tag(repository, tag)?.digest).toBe(one)
    down.add('owner1')
    clock.advance(ttlMs)
    source.answer = at('two')
    expect(await node!.resolve()).toBe(two)
    expect(owners[2]!.store.tag(repository, tag)).toBeUndefined()
    expect(source.asked).toBe(2)
  })

  test.each<FailureCode>(['denied', 'no-name', 'too-many'])(
    'lets a node ask by itself where its owner was told %s',
    async (code) => {
      const own = new FakeSource()
      const { nodes } = cluster(1, 2, () => own)
      source.answer = new Failure(code, 'no')
      expect(await nodes[0]!.resolve()).toBe(one)
      expect(nodes[0]!.doubted).toEqual([])
      expect([source.asked, own.asked]).toEqual([1, 1])
    },
  )

  test.each([
    ['what a client lent it', { lender: 1 }],
    ['a login of its own', { login: true }],
  ] as const)('lets a node that has %s ask by itself for what its owner did not find', async (_, means) => {
    const own = new FakeSource()
    const { nodes } = cluster(1, 2, () => own)
    source.answer = new Failure('no-manifest', 'not for you')
    expect(await nodes[0]!.resolve()).toBe('no-manifest')
    expect([source.asked, own.asked]).toEqual([1, 0])
    Object.assign(nodes[0]!, means)
    expect(await nodes[0]!.resolve()).toBe(one)
    expect([source.asked, own.asked]).toEqual([1, 1])
    expect(nodes[0]!.doubted).toEqual([])
  })

  test('serves what the owner knew last while the source is down', async () => {
    const { nodes } = cluster(2)
    await nodes[0]!.resolve()
    clock.advance(ttlMs)
    source.answer = new Failure('unavailable', 'down')
    expect(await nodes[1]!.resolve()).toBe(one)
    source.answer = at('two')
    clock.advance(5000)
    expect(await nodes[1]!.resolve()).toBe(two)
  })

  test('never goes back to an older answer because another node owns the tag now', async () => {
    const { nodes, owners } = cluster(1)
    owners[0]!.store.setTag(repository, tag, { ...at('one'), resolvedAt: clock.wall() - 5 * ttlMs })
    nodes[0]!.store.setTag(repository, tag, { ...at('two'), resolvedAt: clock.wall() - 2 * ttlMs })
    source.answer = new Failure('unavailable', 'down')
    expect(await nodes[0]!.resolve()).toBe(two)
    expect(nodes[0]!.store.tag(repository, tag)?.digest).toBe(two)
  })

  test('has the owner itself ask the source and nobody else', async () => {
    const { owners } = cluster(0, 2)
    expect(await owners[0]!.resolve()).toBe(one)
    expect(owners[1]!.store.tag(repository, tag)).toBeUndefined()
  })
})

describe('with an index that the cluster shares', () => {
  let state: State
  const written = () => state.tags.history(repository, tag, 10)
  const sharing = (id: string) => new Node(infoOf(id), () => [], source, state)
  /** What is written down is not waited for. */
  const writes = (lines: number) => eventually(async () => expect(await written()).toHaveLength(lines))

  beforeEach(async () => {
    state = await openSqlite(':memory:')
  })
  afterEach(() => state.close())

  test('what the source said is known to a node that never asked it, once the source is down', async () => {
    await sharing('first').resolve()
    await writes(1)
    expect(await written()).toMatchObject([{ digest: one, by: 'first', at: clock.wall() }])
    source.answer = new Failure('unavailable', 'down')
    clock.advance(10 * ttlMs)
    const second = sharing('second')
    expect(await second.resolve()).toBe(one)
    expect(second.store.tag(repository, tag)?.digest).toBe(one)
    source.answer = new Failure('no-manifest', 'gone')
    clock.advance(5000)
    expect(await second.resolve()).toBe('no-manifest')
  })

  test('a node that knows an older digest than the index serves that of the index', async () => {
    const node = sharing('first')
    await node.resolve()
    await writes(1)
    clock.advance(ttlMs)
    source.answer = at('two')
    await sharing('second').resolve()
    await writes(2)
    clock.advance(ttlMs)
    source.answer = new Failure('unavailable', 'down')
    expect(await node.resolve()).toBe(two)
  })

  test('a tag that moved while its source was asked is not moved back', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    source.gate = promise
    const asking = sharing('first').resolve()
    await settle()
    clock.advance(10)
    await state.tags.point(repository, tag, { ...at('two'), at: clock.wall(), by: 'ann' })
    resolve()
    await asking
    await writes(2)
    expect(await state.tags.get(repository, tag)).toMatchObject({ digest: two })
  })

  test('nobody but who pushes says what tags of the cluster’s own repositories point to', async () => {
    const index = indexOver(state, 'first', ({ name }) => name === repository.name)
    index.said(repository, tag, at('one'), clock.wall())
    const other = repositoryOf('docker.io', 'library/other')
    index.said(other, tag, at('one'), clock.wall())
    await eventually(async () => expect(await state.tags.get(other, tag)).toBeDefined())
    expect(await written()).toEqual([])
  })

  test('a pull does not wait for an index that does not answer, nor fail for one that is out of reach', async () => {
    source.answer = new Failure('unavailable', 'down')
    const never = new Promise<never>(() => {})
    const silent = indexOver({ tags: { ...state.tags, get: () => never } } as unknown as State, 'first')
    const last = silent.last(repository, tag)
    await clock.run(2000)
    expect(await last).toBeUndefined()
    await state.close()
    expect(await sharing('second').resolve()).toBe('unavailable')
    source.answer = at('one')
    expect(await sharing('third').resolve()).toBe(one)
    state = await openSqlite(':memory:')
  })
})

async function eventually(holds: () => Promise<void>): Promise<void> {
  for (let i = 0; ; i++) {
    try {
      return await holds()
    } catch (error) {
      if (i === 1000) throw error
      await Bun.sleep(5)
    }
  }
}
