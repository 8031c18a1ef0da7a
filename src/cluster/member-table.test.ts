import { beforeEach, expect, test } from 'bun:test'
import { announceEvery, MemberTable, memberTimes } from './member-table.ts'
import type { Mode, NodeInfo } from './node-info.ts'

const node = (id: string, rest: Partial<NodeInfo> = {}): NodeInfo => ({
  id,
  url: `http://${id}:4881`,
  p2p: [],
  modes: ['peer', 'seed'],
  version: '1',
  epoch: 'e1',
  ...rest,
})
const self = node('self', { modes: ['scheduler'] })
const ids = () => table.all().map((member) => member.info.id)

let table: MemberTable
let events: string[]
beforeEach(() => {
  table = new MemberTable(self, () => 42)
  events = []
  table.onJoin((info) => events.push(`+${info.id}/${info.epoch}`))
  table.onLeave((info, reason) => events.push(`-${info.id}/${info.epoch} ${reason}`))
  table.onDoubt((id) => events.push(`?${id}`))
})

test('this node is a member of its own table, and never joins it', () => {
  expect(table.heard(self, 0)).toBe('self')
  table.listed([self], 'a', 0)
  expect(table.all()).toEqual([{ info: self, seenAt: 42 }])
  expect(table.withMode('scheduler')).toEqual([self])
  expect(table.withMode('seed')).toEqual([])
  expect(table.find('self')).toBe(self)
  expect(events).toEqual([])
})

test('what this node says of itself may become something else, and an announce of before is still its own', () => {
  const moved = { ...self, url: 'http://10.0.0.9:4881', epoch: 'e2' }
  table.become(moved)
  expect([table.self, table.find('self'), ...table.withMode('scheduler')]).toEqual([moved, moved, moved])
  expect([table.heard(self, 0), table.heard(moved, 0)]).toEqual(['self', 'self'])
  expect(events).toEqual([])
})

test('who speaks again under the epoch of before is another host with the same key, and the member stays', () => {
  const one = node('a')
  const two = node('a', { epoch: 'e2', url: 'http://other:4881' })
  expect([table.heard(one, 0), table.heard(two, 2_000)]).toEqual(['joined', 'restarted'])
  events = []
  for (let now = 3_000; now <= 30_000; now += 3_000) {
    expect([table.heard(one, now), table.heard(two, now + 2_000)]).toEqual(['twin', 'known'])
    expect(table.find('a')).toBe(two)
  }
  // Nor do others bring it back, who keep to the other one.
  table.listed([one], 'r', 60_000)
  expect(table.find('a')).toBe(two)
  expect(events).toEqual([])
  // When that one is gone there is no doubt.
  table.leave('a', 61_000)
  expect([table.heard(one, 62_000), table.heard(one, 65_000)]).toEqual(['joined', 'known'])
})

test('of three hosts with one key one is a member', () => {
  const hosts = ['e1', 'e2', 'e3'].map((epoch) => node('a', { epoch, url: `http://${epoch}:4881` }))
  const round = (at: number) => hosts.map((host, i) => table.heard(host, at + 1_500 * i))
  expect([round(0), round(6_000)]).toEqual([
    ['joined', 'restarted', 'restarted'],
    ['twin', 'twin', 'known'],
  ])
})

test('hosts with one key that speak at the same moment are told apart too', () => {
  const one = node('a')
  const two = node('a', { epoch: 'e2', url: 'http://other:4881' })
  const verdicts = [0, 3_000, 6_000].map((now) => [table.heard(one, now), table.heard(two, now + 100)])
  expect(verdicts.flat()).toContain('twin')
  events = []
  for (let now = 9_000; now <= 30_000; now += 3_000) {
    expect([table.heard(one, now), table.heard(two, now + 100)].sort()).toEqual(['known', 'twin'])
  }
  expect(events).toEqual([])
})

test('a word of a process that ended, and comes late, is no other host, and brings nothing back', () => {
  table.heard(node('a'), 0)
  table.heard(node('a', { epoch: 'e2' }), 5_000)
  expect(table.heard(node('a'), 5_200)).toBe('ignored')
  expect(table.find('a')?.epoch).toBe('e2')
  // Nor is the present process taken for a former one where the late word was the first that was heard of the node.
  table.heard(node('b', { epoch: 'e2' }), 0)
  table.heard(node('b'), 100)
  expect([table.heard(node('b', { epoch: 'e2' }), 3_000), table.heard(node('b', { epoch: 'e2' }), 6_000)]).toEqual([
    'restarted',
    'known',
  ])
})

test('a former process that is the only one to speak is the node: a host that was set back to a snapshot', () => {
  table.heard(node('a'), 0)
  table.heard(node('a', { epoch: 'e2' }), 5_000)
  const verdicts = new Set<string>()
  for (let now = 8_000; now < 5_000 + memberTimes.claim; now += 3_000) {
    // It answers where the other one did.
    table.seen('a', now)
    verdicts.add(table.heard(node('a'), now))
  }
  expect([...verdicts]).toEqual(['twin'])
  expect(table.heard(node('a'), 100_000)).toBe('restarted')
  expect(table.heard(node('a'), 103_000)).toBe('known')
})

test('a node that starts again and again is one', () => {
  const verdicts = Array.from({ length: 100 }, (_, i) => table.heard(node('a', { epoch: `e${i}` }), 2_000 * i))
  expect(new Set(verdicts)).toEqual(new Set(['joined', 'restarted']))
})

test('another process with the key of this node is told apart from this one', () => {
  expect(table.heard({ ...self, epoch: 'other' }, 0)).toBe('twin')
})

test('a node that speaks again under another epoch has left and joined', () => {
  table.heard(node('a'), 0)
  expect(table.heard(node('a', { epoch: 'e2' }), 1)).toBe('restarted')
  expect(events).toEqual(['+a/e1', '-a/e1 it restarted', '+a/e2'])
})

test('a node that speaks again is known, with what it says now', () => {
  table.heard(node('a'), 0)
  expect(table.heard(node('a', { zone: 'z', url: 'http://other:1' }), 1)).toBe('known')
  expect(table.find('a')).toMatchObject({ zone: 'z', url: 'http://other:1' })
  expect(events).toEqual(['+a/e1'])
})

test('a node at the address of another replaces it', () => {
  table.heard(node('a'), 0)
  table.heard(node('b', { url: 'http://a:4881' }), 1)
  expect(ids()).toEqual(['self', 'b'])
  expect(events[1]).toBe('-a/e1 replaced by b at http://a:4881')
})

test('the silent are suspects first and gone later', () => {
  table.heard(node('a'), 0)
  table.heard(node('b'), 0)
  table.seen('b', 2_000)
  expect(table.expire(memberTimes.suspectAfter)).toEqual([])
  expect(table.expire(memberTimes.suspectAfter + 1)).toEqual(['a'])
  expect(table.expire(memberTimes.goneAfter + 1)).toEqual(['b'])
  expect(ids()).toEqual(['self', 'b'])
  expect(events.at(-1)).toBe('-a/e1 nothing heard for 13 s')
})

test('a silence in which this process itself stood still does not count', () => {
  table.heard(node('a'), 0)
  table.excuse(60_000)
  expect(table.expire(60_000)).toEqual([])
})

test('hearsay makes members of seeds that this peer never speaks to, and keeps them as long as it lasts', () => {
  const peer = new MemberTable(node('self', { modes: ['peer'] }), () => 0)
  for (let now = 0; now <= 30_000; now += 3_000) {
    peer.listed([node('s')], 'r', now)
    expect(peer.expire(now + 2_999)).toEqual([])
  }
  expect(peer.find('s')).toBeDefined()
})

test('hearsay makes members of those who ought to speak to this node, but does not keep them', () => {
  table.listed([node('s')], 'r', 0)
  table.listed([node('s')], 'r', 4_000)
  expect(table.expire(memberTimes.suspectAfter + 1)).toEqual(['s'])
  const peer = new MemberTable(node('self', { modes: ['peer'] }), () => 0)
  peer.listed([node('k', { modes: ['scheduler'] })], 'r', 0)
  peer.listed([node('k', { modes: ['scheduler'] })], 'r', 4_000)
  expect(peer.expire(memberTimes.suspectAfter + 1)).toEqual(['k'])
})

test('who vanishes from the list of its reporter is doubted; from the list of another, not', () => {
  table.listed([node('s')], 'r', 0)
  table.listed([], 'other', 1)
  expect(events).toEqual(['+s/e1'])
  table.listed([], 'r', 2)
  expect(events).toEqual(['+s/e1', '?s'])
})

test('one that lists others again and again fills the table with no more than it may list at once', () => {
  const list = (round: string) => Array.from({ length: 512 }, (_, i) => node(`${round}${i}`))
  for (const round of ['a', 'b', 'c']) table.listed(list(round), 'liar', 0)
  expect(table.size).toBe(1 + 512)
  table.listed(list('d'), 'other', 0)
  expect(table.size).toBe(1 + 2 * 512)
  // Who was heard itself, or answered, counts no more.
  table.heard(node('a0'), 1)
  table.seen('a1', 1)
  table.listed(list('b'), 'liar', 2)
  expect(['b0', 'b1', 'b2'].map((id) => table.find(id) !== undefined)).toEqual([true, true, false])
  for (let i = 2; i < 512; i++) table.drop(`a${i}`, 3, 'it does not answer')
  table.listed(list('b'), 'liar', 4)
  expect(table.find('b511')).toBeDefined()
})

test('hearsay does not bring back who left or was dropped, until it starts anew', () => {
  table.heard(node('a'), 0)
  table.heard(node('b'), 0)
  table.leave('a', 1)
  table.drop('b', 1, 'dead')
  table.listed([node('a'), node('b')], 'r', 2)
  expect(ids()).toEqual(['self'])
  table.listed([node('a', { epoch: 'e2' })], 'r', 3)
  expect(ids()).toEqual(['self', 'a'])
})

test('hearsay is believed again when everyone must have noticed', () => {
  table.heard(node('a'), 0)
  table.drop('a', 0, 'dead')
  table.expire(memberTimes.buriedFor + 1)
  table.listed([node('a')], 'r', memberTimes.buriedFor + 1)
  expect(ids()).toEqual(['self', 'a'])
})

test('an announce that was overtaken by the goodbye does not bring the node back', () => {
  table.heard(node('a'), 0)
  table.leave('a', 1)
  expect(table.heard(node('a'), 2)).toBe('ignored')
  expect(table.heard(node('a', { epoch: 'e2' }), 3)).toBe('joined')
})

test('a node that was dropped by mistake is back as soon as it speaks', () => {
  table.heard(node('a'), 0)
  table.drop('a', 1, 'no answer')
  expect(table.heard(node('a'), 2)).toBe('joined')
})

test('hearsay of another epoch is not believed against what was heard a moment ago', () => {
  table.heard(node('a', { epoch: 'e2' }), 0)
  table.listed([node('a', { epoch: 'e1' })], 'r', 1)
  expect(table.find('a')?.epoch).toBe('e2')
  table.listed([node('a', { epoch: 'e3' })], 'r', memberTimes.suspectAfter + 1)
  expect(table.find('a')?.epoch).toBe('e3')
})

test('hearsay of a node at the address of a silent one has the silent one probed', () => {
  table.heard(node('a'), 0)
  table.listed([node('b', { url: 'http://a:4881' })], 'r', 1)
  expect(events).toEqual(['+a/e1'])
  table.listed([node('b', { url: 'http://a:4881' })], 'r', memberTimes.suspectAfter + 1)
  expect(events).toEqual(['+a/e1', '?a'])
})

test('nobody is probed for doubts about a stranger', () => {
  table.doubt('stranger')
  table.doubt('self')
  expect(events).toEqual([])
})

test('a node that announces less often is suspected, and given up, later by as much', () => {
  table.heard(node('slow'), 0)
  table.heard(node('usual'), 0)
  table.paced('slow', 10_000)
  expect(table.expire(memberTimes.suspectAfter + 1)).toEqual(['usual'])
  expect(table.expire(memberTimes.goneAfter + 1)).toEqual([])
  expect(ids()).toEqual(['self', 'slow'])
  expect(table.expire(15_001)).toEqual(['slow'])
  table.expire(memberTimes.goneAfter + 10_501)
  expect(ids()).toEqual(['self'])
})

test('who is known by hearsay may be silent for as long as the one who tells of it', () => {
  table = new MemberTable(node('self', { modes: ['peer'] }), () => 0)
  table.heard(node('teller', { modes: ['scheduler'] }), 0)
  table.paced('teller', 10_000)
  table.listed([node('seed', { modes: ['seed'] })], 'teller', 0)
  expect(table.expire(14_999)).toEqual([])
  expect(table.expire(15_001).sort()).toEqual(['seed', 'teller'])
})

test('a node is found by what it does, also when it says something new about that', () => {
  table.heard(node('a', { modes: ['peer'] }), 0)
  table.heard(node('b', { modes: ['seed'] }), 0)
  const named = (mode: Mode) => table.withMode(mode).map(({ id }) => id)
  expect([named('peer'), named('seed')]).toEqual([['a'], ['b']])
  table.heard(node('a', { modes: ['seed'], zone: 'eu' }), 1)
  expect([named('peer'), named('seed').sort()]).toEqual([[], ['a', 'b']])
  expect(table.withMode('seed').find(({ id }) => id === 'a')?.zone).toBe('eu')
  table.leave('a', 2)
  expect(named('seed')).toEqual(['b'])
})

test('peers announce less often the more there are, within bounds; schedulers and seeds always as often', () => {
  expect([1, 100, 4_500].map((members) => announceEvery(['peer'], members))).toEqual([3_000, 3_000, 3_000])
  expect(announceEvery(['peer'], 15_000)).toBe(10_000)
  expect(announceEvery(['peer'], 1_000_000)).toBe(30_000)
  expect(announceEvery(['peer', 'seed'], 15_000)).toBe(3_000)
  expect(announceEvery(['scheduler'], 15_000)).toBe(3_000)
})
