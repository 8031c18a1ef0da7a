import { expect, test } from 'bun:test'
import { infoOf } from '../../test/fakes/members.ts'
import { MemberTable } from './member-table.ts'
import { Roster } from './roster.ts'

test('the list is made anew when a scheduler or a seed comes or goes, not for mere peers', () => {
  const table = new MemberTable(infoOf('s', { modes: ['scheduler'] }), () => 0)
  const roster = new Roster(table)
  let made = 0
  const withMode = table.withMode.bind(table)
  table.withMode = (mode) => {
    made++
    return withMode(mode)
  }
  const { version } = roster.since(undefined)
  made = 0
  for (let i = 0; i < 1000; i++) {
    table.heard(infoOf(`p${i}`), 0)
    expect(roster.since(version)).toEqual({ version })
  }
  expect(made).toBe(0)
  table.heard(infoOf('seed', { modes: ['seed'] }), 0)
  expect(roster.since(version).members?.map(({ id }) => id)).toEqual(['s', 'seed'])
  table.leave('seed', 1)
  expect(roster.since(undefined)).toMatchObject({ version, members: [{ id: 's' }] })
})

test('the list has what this node says of itself now', () => {
  const table = new MemberTable(infoOf('s', { modes: ['scheduler'] }), () => 0)
  const roster = new Roster(table)
  const { version } = roster.since(undefined)
  table.become({ ...table.self, url: 'http://10.9.9.9:4881', epoch: 'later' })
  expect(roster.since(version).members).toEqual([table.self])
})
