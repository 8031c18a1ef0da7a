import { beforeEach, describe, expect, test } from 'bun:test'
import { refuses } from '../../test/conformance/source.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { infoOf } from '../../test/fakes/members.ts'
import { MemberTable } from '../cluster/member-table.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { Calls } from '../wire/calls.ts'
import { Clocks, doubtOf, mostApart, tellTime, type Witness } from './clocks.ts'

const hour = 3_600_000
const at = (...behinds: Witness['behind'][]): Witness[] => behinds.map((behind, i) => ({ name: `n${i}`, behind }))

describe('a clock may be gone by', () => {
  test.each<[string, Witness[]]>([
    ['where there is nobody else', []],
    ['where others agree', at(0, mostApart, -mostApart)],
    ['where as many agree as do not', at(10, 31 * 24 * hour)],
    ['whoever does not answer, where one does', at('silent', 0)],
    ['where all others are of a release that does not tell', at('unasked', 'unasked')],
  ])('%s', (_, witnesses) => expect(doubtOf(witnesses, 0)).toBeUndefined())
  test('where it was set, and others agree with it now', () => expect(doubtOf(at(0), hour)).toBeUndefined())
})

test.each<[string, Witness[], number]>([
  ['is 3600 s ahead of that of n0', at(hour), 0],
  ['is 3600 s behind that of n1', at(0, -hour, -hour), 0],
  ['no other node (n0, n1) says what time it is there', at('silent', 'unasked'), 0],
  ['was set, and is 3600 s ahead of what it was', [], hour],
  ['was set, and is 3600 s behind what it was', at('unasked'), -hour],
])('it may not, and a sentence says so: %s', (sentence, witnesses, parted) => {
  expect(doubtOf(witnesses, parted)).toContain(sentence)
})

describe('others', () => {
  let own: FakeClock
  let theirs: FakeClock
  let table: MemberTable
  let clocks: Clocks
  let answers: boolean
  const other: NodeInfo = infoOf('b'.repeat(44), { modes: ['seed'] })

  beforeEach(() => {
    ;[own, theirs] = [new FakeClock(), new FakeClock()]
    answers = true
    table = new MemberTable(infoOf('a'.repeat(44), { modes: ['seed'] }), () => own.now())
    const calls = new Calls()
    tellTime(calls, theirs)
    clocks = new Clocks({
      membership: table,
      outbound: {
        call: async (_to, { name, reply }, request) => {
          if (!answers) throw new Failure('not-admitted', 'the clock of the sender is wrong')
          return reply.parse(await calls.answer(name, request))
        },
      },
      clock: own,
      random: () => 0,
    })
  })

  test('are asked what time it is there', async () => {
    table.heard(other, own.now())
    expect(await clocks.agreed()).toBe(own.wall())
    theirs.set(-hour)
    expect((await refuses(clocks.agreed(), 'unavailable')).message).toContain('3600 s ahead of')
  })

  test('are asked too that refuse this node, and were dropped for that; not who left', async () => {
    table.heard(other, own.now())
    answers = false
    table.drop(other.id, own.now(), 'it does not answer')
    await refuses(clocks.agreed(), 'unavailable')
    table.heard({ ...other, epoch: '2' }, own.now())
    table.leave(other.id, own.now())
    expect(await clocks.agreed()).toBe(own.wall())
  })

  test('are forgotten a day after they were dropped: they are gone for good', async () => {
    table.heard(other, own.now())
    answers = false
    table.drop(other.id, own.now(), 'it does not answer')
    own.advance(24 * hour)
    expect(await clocks.agreed()).toBe(own.wall())
  })

  test('that agree after the clock was set, as after the start of a host, make it count also alone', async () => {
    own.set(hour)
    theirs.set(hour)
    await refuses(clocks.agreed(), 'unavailable')
    table.heard(other, own.now())
    await clocks.agreed()
    table.leave(other.id, own.now())
    expect(await clocks.agreed()).toBe(own.wall())
  })
})
