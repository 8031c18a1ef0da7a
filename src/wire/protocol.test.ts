import { describe, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { FakeInbound } from '../../test/fakes/network.ts'
import { type NodeInfo, nodeInfoSchema, type Protocols } from '../cluster/node-info.ts'
import { digestOf } from '../oci/digest.ts'
import { Hearing } from './hearing.ts'
import { announceReplySchema, announceSchema, type Frame, hearFrame, parse, scheduleReplySchema } from './messages.ts'
import { common, spoken, tooFarApart } from './protocol.ts'
import { type Pipe, SocketSession } from './session.ts'

const to = (from: number, to = from): Protocols => ({ from, to })

test.each<[Protocols, Protocols | undefined, number | undefined]>([
  [to(1), to(1), 1],
  [to(1, 2), to(1), 1],
  [to(1), to(1, 2), 1],
  [to(1, 3), to(2, 4), 3],
  [to(2, 3), to(3, 9), 3],
  [to(1, 2), undefined, 1],
  [to(1, 2), to(3, 4), undefined],
  [to(3, 4), to(1, 2), undefined],
  [to(2, 3), undefined, undefined],
])('a node that speaks %j and one that speaks %j meet at version %p', (ours, theirs, version) => {
  expect(common(ours, theirs)).toBe(version)
})

test('nodes that are too far apart say which of them is to be brought to a newer release', () => {
  expect(tooFarApart(to(1, 2), to(3, 4))).toBe(
    'this node speaks protocol 1 to 2, that one 3 to 4: bring this node to a newer release',
  )
  expect(tooFarApart(to(2), undefined)).toEndWith('that one 1: bring that node to a newer release')
  expect(tooFarApart(to(1, 2), to(2, 3))).toBeUndefined()
})

const card = (n: number) => ({ id: `${n}`.padStart(50, '2'), url: `http://10.0.0.${n}:4881` })
const info = (n: number): NodeInfo => ({ ...card(n), p2p: [], modes: ['peer'], version: '9.9.9', epoch: 'e' })
const digest = digestOf(Uint8Array.of(1))

describe('two ends of a session', () => {
  /** What each end sends the other gets, in turns, until nothing more is said. */
  function between(one: Protocols | undefined, other: Protocols | undefined) {
    const clock = new FakeClock()
    const queue: (() => void)[] = []
    const inbound = [new FakeInbound(), new FakeInbound()]
    const ends: SocketSession[] = []
    const reasons: string[] = []
    const pipe = (far: number): Pipe => ({
      send: (text) => void queue.push(() => ends[far]?.received(text, clock.now())),
      backlog: () => 0,
      ping() {},
      close: (_, reason) => void reasons.push(reason),
      terminate() {},
    })
    const events = (side: number) => ({
      greeted: (session: SocketSession) => {
        session.admit()
        return true
      },
      frame: (session: SocketSession, frame: Frame) => inbound[side]!.frame(session, frame),
      closed() {},
    })
    for (const [side, speaks] of [one, other].entries()) {
      const options = { self: card(side + 1), dialled: side === 0, now: 0, ...(speaks ? { speaks } : {}) }
      ends.push(new SocketSession(pipe(1 - side), events(side), options))
    }
    const settle = () => {
      for (let next = queue.shift(); next; next = queue.shift()) next()
    }
    settle()
    return { ends, reasons, inbound, settle }
  }

  test.each([
    [to(1), to(1, 2), 1],
    [to(1, 2), to(1), 1],
    [to(1, 3), to(1, 2), 2],
    [undefined, undefined, spoken.to],
  ])('that speak %j and %j both use version %p', (one, other, version) => {
    const { ends, reasons } = between(one, other)
    expect(ends.map(({ open, protocol }) => ({ open, protocol }))).toEqual([
      { open: true, protocol: version },
      { open: true, protocol: version },
    ])
    expect(reasons).toEqual([])
  })

  test('that have no version in common part with a reason', () => {
    const { ends, reasons } = between(to(1, 2), to(3))
    expect(ends.map(({ open }) => open)).toEqual([false, false])
    expect(reasons.join()).toContain('bring that node to a newer release')
  })

  test('go on when one says what only a later release knows', () => {
    const { ends, inbound, settle } = between(to(1), to(1))
    ends[0]!.received(JSON.stringify({ t: 'rumour', about: digest }), 1)
    ends[0]!.received(JSON.stringify({ t: 'want', digest, urgently: true }), 2)
    settle()
    expect(ends.map(({ open }) => open)).toEqual([true, true])
    expect(inbound[0]!.frames.map(({ frame }) => frame)).toEqual([{ t: 'want', digest }])
  })

  test('part when one says something wrong of a kind that both know', () => {
    const { ends, reasons } = between(to(1), to(1))
    ends[0]!.received(JSON.stringify({ t: 'want' }), 1)
    expect(ends[0]!.open).toBe(false)
    expect(reasons.join()).toContain('wrong frame')
  })
})

describe('what a later release adds is passed over', () => {
  test('the hello of a release from before versions were said is understood', () => {
    expect(hearFrame(JSON.stringify({ t: 'hello', node: card(1), protocol: 1 }))).toMatchObject({ protocol: 1 })
  })

  test('modes that this release does not know leave those that it does', () => {
    expect(parse(nodeInfoSchema, { ...info(1), modes: ['peer', 'archive'], mood: 'fine' })).toEqual(info(1))
  })

  test('a node that says a command to a terminal is heard, and the command is not passed on', () => {
    const odd = { ...info(1), version: '1.0\u001b[2J', zone: 'eu\nshoal is fine\u009b' }
    expect(parse(nodeInfoSchema, odd)).toEqual({ ...info(1), version: '1.0?[2J', zone: 'eu?shoal is fine?' })
  })

  test('a node that cannot be made out is left out of a list, and the others stay in it', () => {
    const members = [info(1), { ...info(2), url: 'quic://10.0.0.2' }, info(3)]
    expect(parse(announceReplySchema, { epoch: 'e', members, hint: 1 })).toEqual({
      epoch: 'e',
      members: [info(1), info(3)],
    })
  })

  test('an announce with more in it is the same announce, the first time and every other', () => {
    const announce = {
      node: { ...info(1), modes: ['peer', 'archive'], protocols: to(1, 2) },
      ...{ uploads: 0, uploadSlots: 8, full: true, holdings: [], gone: [], leaving: false },
    }
    const text = JSON.stringify({ ...announce, load: 0.5 })
    const hearing = new Hearing()
    const heard = [hearing.announce(text)]
    hearing.remember(heard[0]!.node)
    heard.push(hearing.announce(text))
    for (const each of heard) {
      expect(each).toEqual(parse(announceSchema, announce))
      expect(each.node).toMatchObject({ modes: ['peer'], protocols: to(1, 2) })
    }
    // The second time nothing was read anew.
    expect(heard[1]!.node).toBe(heard[0]!.node)
  })

  test('so is an answer of a scheduler', () => {
    const parents = [{ node: { ...card(1), rank: 1 }, pieces: 1, complete: false, speed: 1 }]
    expect(parse(scheduleReplySchema, { parents, again: 5, reason: 'none' })).toEqual({
      parents: [{ node: card(1), pieces: 1, complete: false }],
      again: 5,
    })
  })
})
