import { beforeEach, describe, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { infoOf } from '../../test/fakes/members.ts'
import { MemberTable } from '../cluster/member-table.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { parseTag, type Repository, repositoryOf } from '../oci/reference.ts'
import { openSqlite } from '../state/sqlite.ts'
import type { State } from '../state/state.ts'
import { Calls } from '../wire/calls.ts'
import { askContent, askList, askTag } from './calls.ts'
import { HomeSource } from './home-source.ts'
import { Homes } from './homes.ts'
import { Keepers, rememberedMs } from './keepers.ts'
import { OwnHome } from './own-home.ts'

const repository = repositoryOf('apps.corp', 'team/app')
const world = repositoryOf('docker.io', 'library/debian')
const tag = parseTag('v1')
const digest = digestOf(Buffer.from('manifest'))
const absent = digestOf(Buffer.from('absent'))
const homes = new Homes([{ pattern: 'apps.corp/**' }])

/** Seeds, each with a state of its own. */
class Seed {
  readonly info: NodeInfo
  readonly calls = new Calls()
  readonly own: OwnHome
  readonly state: State

  constructor(id: string, state: State) {
    this.info = infoOf(id, { modes: ['seed'], homes: homes.patterns })
    this.state = state
    this.own = new OwnHome({ homes, state })
    this.calls.on(askTag, ({ repository, tag }) => this.own.resolve(repository, tag))
    this.calls.on(askContent, (location) => this.own.stat(location))
    this.calls.on(askList, ({ repository, path, search }) => this.own.list(repository, path, search))
  }

  async push(of: Repository = repository): Promise<void> {
    const entry = { digest, mediaType: 'a/b', size: 8, at: 1, by: 'ann' }
    await this.state.contents.add(of, { digest, kind: 'manifest', mediaType: 'a/b', size: 8, at: 1 })
    await this.state.tags.set(of, tag, entry)
  }
}

let clock: FakeClock
let seeds: Seed[]
let down: Set<string>
let doubted: string[]

beforeEach(async () => {
  clock = new FakeClock()
  down = new Set()
  doubted = []
  seeds = [new Seed('seed1', await openSqlite(':memory:')), new Seed('seed2', await openSqlite(':memory:'))]
})

function nodeThat({ own, knows = seeds, told = [] }: { own?: OwnHome; knows?: Seed[]; told?: string[] } = {}) {
  const table = new MemberTable(infoOf('self'), () => clock.now())
  table.onDoubt((id) => doubted.push(id))
  for (const { info } of knows) table.heard(info, 0)
  const keepers = new Keepers(
    () => table,
    told,
    () => clock.now(),
  )
  keepers.watch(table)
  const source = new HomeSource({
    keepers,
    own,
    membership: () => table,
    outbound: () => ({
      call: async (node, call, request) => {
        if (down.has(node.id)) throw new Failure('unavailable', `${node.id} does not answer`)
        const seed = seeds.find(({ info }) => info.id === node.id)!
        return call.reply.parse(await seed.calls.answer(call.name, request))
      },
    }),
  })
  return { source, table }
}
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'none',
    (error) => Failure.from(error).code,
  )
const location = (of: Digest, kind: 'manifest' | 'blob' = 'manifest') => ({ repository, kind, digest: of })

describe('a repository of the cluster’s own', () => {
  test('is what a seed says that it keeps, or this node was told, and nothing else', () => {
    expect(nodeThat().source.has(repository)).toBe(true)
    expect(nodeThat().source.has(world)).toBe(false)
    expect(nodeThat({ knows: [] }).source.has(repository)).toBe(false)
    expect(nodeThat({ knows: [], told: ['apps.corp/**'] }).source.has(repository)).toBe(true)
  })

  test('stays one for a while when its seeds have left, also if nobody asked for it before: they may be back soon', () => {
    const { source, table } = nodeThat()
    clock.advance(2 * rememberedMs)
    for (const { info } of seeds) table.leave(info.id, clock.now())
    clock.advance(rememberedMs - 1)
    expect(source.has(repository)).toBe(true)
    clock.advance(1)
    expect(source.has(repository)).toBe(false)
  })

  test('stays one on a node that was told so itself, however long its seeds are gone', () => {
    const { source, table } = nodeThat({ told: ['apps.corp/**'] })
    for (const { info } of seeds) table.leave(info.id, clock.now())
    clock.advance(100 * rememberedMs)
    expect(source.has(repository)).toBe(true)
  })

  test('is none any more as soon as the seed that said so by mistake is back with another pattern', () => {
    const { source, table } = nodeThat()
    const mistaken = infoOf('mistaken', { modes: ['seed'], homes: ['docker.io/**'], epoch: 'before' })
    table.heard(mistaken, 0)
    expect(source.has(world)).toBe(true)
    table.heard({ ...mistaken, homes: ['apps.corp/**'], epoch: 'after' }, 1)
    expect(source.has(world)).toBe(false)
  })

  test('is none that only a member says it keeps that is no seed', () => {
    const { source, table } = nodeThat({ knows: [] })
    table.heard(infoOf('peer', { modes: ['peer'], homes: ['docker.io/**'] }), 0)
    table.leave('peer', 1)
    expect(source.has(world)).toBe(false)
  })

  test.each(['**', '*/**', 'docker.*/**', 'library/**', 'apps.corp/+(a|b)', `apps.corp/${'*a'.repeat(20)}`])(
    'is not made of the images of all by a node that says it keeps %s',
    (pattern) => {
      const { source, table } = nodeThat({ knows: [] })
      table.heard(infoOf('rogue', { modes: ['seed'], homes: [pattern] }), 0)
      expect([source.has(world), source.has(repository)]).toEqual([false, false])
    },
  )
})

describe('what it has', () => {
  test('is asked of the seeds, whichever of them knows', async () => {
    for (const seed of seeds) {
      await seed.push()
      const { source } = nodeThat()
      expect(await source.resolve(repository, tag)).toEqual({ digest, mediaType: 'a/b', size: 8 })
      expect(await source.stat(location(digest))).toEqual({ mediaType: 'a/b', size: 8 })
      const { body, headers } = await source.pass(repository, 'tags/list', '')
      expect([JSON.parse(Buffer.from(body).toString()), headers.get('content-type')]).toEqual([
        { name: 'team/app', tags: ['v1'] },
        'application/json',
      ])
      await seed.state.contents.remove(repository, digest)
      await seed.state.tags.point(repository, tag, { mediaType: 'a/b', size: 8, at: 2, by: 'ann' })
    }
  })

  test('is asked of the next one when one does not answer, which is looked after', async () => {
    for (const seed of seeds) await seed.push()
    const { source } = nodeThat()
    for (const { info } of seeds) {
      down = new Set([info.id])
      expect((await source.resolve(repository, tag)).digest).toBe(digest)
    }
    expect(doubted).toHaveLength(1)
    down = new Set(seeds.map(({ info }) => info.id))
    expect(await codeOf(source.resolve(repository, tag))).toBe('unavailable')
  })

  test('is not there when those that answer say so', async () => {
    const { source } = nodeThat()
    down = new Set(['seed1'])
    expect(await codeOf(source.resolve(repository, tag))).toBe('no-manifest')
    expect(await codeOf(source.stat(location(absent)))).toBe('no-manifest')
    expect(await codeOf(source.stat(location(absent, 'blob')))).toBe('no-blob')
    expect(await codeOf(source.pass(repository, 'tags/list', ''))).toBe('no-name')
  })

  test('is known to a seed by itself, and asked of others only where it knows nothing', async () => {
    const [first, second] = seeds
    await first!.push()
    down = new Set(['seed2'])
    const { source } = nodeThat({ own: first!.own, knows: [second!] })
    expect((await source.resolve(repository, tag)).digest).toBe(digest)
    expect(doubted).toEqual([])
    const lost = nodeThat({ own: second!.own, knows: [first!] }).source
    expect((await lost.resolve(repository, tag)).digest).toBe(digest)
  })

  test('is given to nobody under the name of a repository that the seed does not keep', async () => {
    await seeds[0]!.push(world)
    expect(await codeOf(seeds[0]!.calls.answer(askTag.name, { repository: world, tag }))).toBe('no-name')
    expect(await codeOf(seeds[0]!.calls.answer(askList.name, { repository, path: '../x', search: '' }))).toBe(
      'bad-request',
    )
  })
})
