import { beforeEach, expect, test } from 'bun:test'
import { FakeClock, settle } from '../../test/fakes/clock.ts'
import { FakeInbound } from '../../test/fakes/network.ts'
import type { NodeCard } from '../cluster/node-info.ts'
import { digestOf } from '../oci/digest.ts'
import { silentLog } from '../telemetry/log.ts'
import type { Frame } from './messages.ts'
import { wireRules } from './rules.ts'
import { type Pipe, SocketSession } from './session.ts'
import { type Dial, Sessions } from './sessions.ts'

const card = (n: number): NodeCard => ({ id: `${n}`.padStart(50, '2'), url: `http://10.0.0.${n}:4881` })
const frame = { t: 'want', digest: digestOf(Uint8Array.of(1)) } satisfies Frame
const unwant: Frame = { t: 'unwant', digest: digestOf(Uint8Array.of(1)) }

/** Two ends of a socket in memory; what is sent arrives one microtask later. */
class Wire {
  cut = false
  backlog = 0
  readonly ends: [SocketSession | undefined, SocketSession | undefined] = [undefined, undefined]

  pings = 0

  constructor(readonly clock: FakeClock) {}

  end(side: 0 | 1): Pipe {
    const far = () => (this.cut ? undefined : this.ends[1 - side])
    const ended = (code: number, reason: string) => far()?.ended(code === 4001 ? 'duplicate' : reason)
    return {
      send: (text) => queueMicrotask(() => far()?.received(text, this.clock.now())),
      backlog: () => this.backlog,
      ping: () => {
        this.pings++
        queueMicrotask(() => {
          far()?.alive(this.clock.now())
          // The pong.
          if (!this.cut) this.ends[side]?.alive(this.clock.now())
        })
      },
      close: (code, reason) => queueMicrotask(() => ended(code, reason)),
      terminate: () => queueMicrotask(() => ended(1006, 'broken')),
    }
  }
}

class End {
  readonly inbound = new FakeInbound()
  readonly heard: [string, number][] = []
  readonly lost: string[] = []
  readonly sessions: Sessions
  constructor(
    readonly self: NodeCard,
    clock: FakeClock,
    dial: Dial,
  ) {
    this.sessions = new Sessions({
      self,
      handler: () => this.inbound,
      dial,
      heard: (id, at) => this.heard.push([id, at]),
      lost: (id) => this.lost.push(id),
      clock,
      log: silentLog,
    })
  }
  get open() {
    return this.inbound.sessions.filter((session) => session.open)
  }
}

let clock: FakeClock
let ends: Map<string, End>
let wires: Wire[]
let dials: number
/** Dials that are never answered. */
let deaf: Set<string>

const dial: Dial = (node, opened, failed) => {
  dials++
  const target = ends.get(node.url)
  let over = false
  queueMicrotask(() => {
    if (over || deaf.has(node.url)) return
    if (!target) return failed('connection refused')
    const wire = new Wire(clock)
    wires.push(wire)
    wire.ends[1] = target.sessions.accept(wire.end(1))
    wire.ends[0] = opened(wire.end(0))
  })
  return () => {
    over = true
  }
}

function end(n: number): End {
  const made = new End(card(n), clock, dial)
  ends.set(made.self.url, made)
  return made
}

let a: End
let b: End
beforeEach(() => {
  clock = new FakeClock()
  ends = new Map()
  wires = []
  dials = 0
  deaf = new Set()
  a = end(1)
  b = end(2)
})

const reasonOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'opened',
    (error: Error) => error.message,
  )

test('both ends are told of a session once both have said hello, and frames flow', async () => {
  const session = await a.sessions.get(b.self)
  await settle()
  session.send(frame)
  b.inbound.sessions[0]!.send(unwant)
  await settle()
  expect([session.peer, b.inbound.sessions[0]!.peer]).toEqual([b.self, a.self])
  expect([a.inbound.frames[0]!.frame, b.inbound.frames[0]!.frame]).toEqual([unwant, frame])
})

test('concurrent callers share a dial, later ones the session', async () => {
  const [one, two] = await Promise.all([a.sessions.get(b.self), a.sessions.get(b.self)])
  expect(await a.sessions.get(b.self)).toBe(one)
  expect([one === two, dials]).toEqual([true, 1])
})

test('an accepted session serves calls of this side too', async () => {
  await a.sessions.get(b.self)
  await settle()
  expect(await b.sessions.get(a.self)).toBe(b.open[0]!)
  expect(dials).toBe(1)
})

test('two nodes that dial each other at once end up with one session, and nobody sees another one', async () => {
  const [fromA, fromB] = await Promise.all([a.sessions.get(b.self), b.sessions.get(a.self)])
  await settle()
  expect([fromA.open, fromB.open]).toEqual([true, true])
  expect([a.inbound.sessions.length, b.inbound.sessions.length]).toEqual([1, 1])
  expect([a.inbound.closings, b.inbound.closings]).toEqual([[], []])
  fromA.send(frame)
  await settle()
  expect(b.inbound.frames).toHaveLength(1)
})

test('a dial that hangs keeps out the socket of the other side for a moment only', async () => {
  deaf.add(b.self.url)
  const waiting = a.sessions.get(b.self)
  await clock.run(wireRules.dialTurn / 2)
  // It gives way at first, for the socket that it was dialled with may be on its way, and tries again when none comes.
  const other = b.sessions.get(a.self)
  await clock.run(wireRules.dialTurn)
  expect([a.open, b.open]).toEqual([[], []])
  await clock.run(wireRules.dialTurn)
  expect([await waiting, await other]).toEqual([a.open[0]!, b.open[0]!])
  expect([a.inbound.closings, b.inbound.closings, dials]).toEqual([[], [], 3])
})

test('a peer that falls silent is given up within seconds, on both sides, with no word from the network', async () => {
  await a.sessions.get(b.self)
  await clock.run(60_000)
  expect([a.open.length, b.open.length]).toEqual([1, 1])
  wires[0]!.cut = true
  await clock.run(wireRules.silentAfter + wireRules.pingEvery)
  expect([a.inbound.closings, b.inbound.closings]).toEqual([['it fell silent'], ['it fell silent']])
  expect([a.lost, b.lost]).toEqual([[b.self.id], [a.self.id]])
})

test('one ping each time tells both sides that the other lives', async () => {
  await clock.run(wireRules.pingEvery / 4)
  // It began to count later than the other.
  const c = end(3)
  await a.sessions.get(c.self)
  await clock.run(10 * wireRules.pingEvery)
  expect(wires[0]!.pings).toBeWithin(9, 12)
  for (const { heard } of [a, c]) {
    const late = heard.slice(1).map(([, at], i) => at - heard[i]![1])
    expect(Math.max(...late)).toBeLessThanOrEqual(wireRules.pingEvery)
  }
})

test('who is at the other end of a session is heard for as long as it answers', async () => {
  await a.sessions.get(b.self)
  await clock.run(20_000)
  const cutAt = clock.now()
  wires[0]!.cut = true
  await clock.run(10_000)
  const heard = b.heard.filter(([id]) => id === a.self.id).map(([, at]) => at)
  expect(Math.max(...heard)).toBeWithin(cutAt - wireRules.pingEvery, cutAt + 1)
})

test('a process that stood still for a minute does not take that for the silence of others', async () => {
  await a.sessions.get(b.self)
  await settle()
  const timers = clock.after
  clock.after = (ms, task) => timers.call(clock, ms + 60_000, task)
  await clock.run(wireRules.pingEvery)
  clock.after = timers
  await clock.run(63_000)
  expect([a.open.length, b.open.length]).toEqual([1, 1])
})

test('who dials anew after a crash replaces the session that nobody knows to be dead', async () => {
  await a.sessions.get(b.self)
  await clock.run(wireRules.dialDeadline + 1)
  wires[0]!.cut = true
  const reborn = end(1)
  await reborn.sessions.get(b.self)
  await settle()
  expect(b.inbound.closings).toEqual(['replaced by a newer session'])
  expect(b.open).toHaveLength(1)
})

test('a dial that nobody answers fails in time, and the next call dials again', async () => {
  deaf.add(b.self.url)
  const first = reasonOf(a.sessions.get(b.self))
  await clock.run(wireRules.dialDeadline)
  expect(await first).toContain('it did not answer')
  deaf.clear()
  expect((await a.sessions.get(b.self)).open).toBe(true)
  expect(dials).toBe(2)
})

test('a refused dial says why', async () => {
  expect(await reasonOf(a.sessions.get(card(9)))).toContain('connection refused')
})

test('a node other than the one that was meant is not talked to', async () => {
  const wrong = { ...card(7), url: b.self.url }
  expect(await reasonOf(a.sessions.get(wrong))).toContain('another node')
  expect([a.open, b.open.length]).toEqual([[], 0])
})

test('who opens a socket and says nothing is cut off', async () => {
  const wire = new Wire(clock)
  wire.ends[1] = b.sessions.accept(wire.end(1))
  expect(b.sessions.size).toBe(1)
  await clock.run(wireRules.helloDeadline + 2 * wireRules.pingEvery)
  expect(b.sessions.size).toBe(0)
})

test('a peer that does not read what it is sent is cut off', async () => {
  const session = await a.sessions.get(b.self)
  wires[0]!.backlog = wireRules.sessionBacklog + 1
  session.send(frame)
  expect([session.open, a.inbound.closings]).toEqual([false, ['it does not read what it is sent']])
})

test('a second hello ends the session', async () => {
  await a.sessions.get(b.self)
  wires[0]!.ends[1]!.received(JSON.stringify({ t: 'hello', node: a.self, protocol: 1 }), clock.now())
  await settle()
  expect(b.inbound.closings).toEqual(['it said hello twice'])
})

test('why a session is ended is told in no more bytes than a socket takes, whatever the other side said', () => {
  const told: string[] = []
  const pipe = { ...new Wire(clock).end(0), close: (_: number, reason: string) => void told.push(reason) }
  const events = { greeted: () => true, frame() {}, closed() {} }
  const owners = [{ registry: 'docker.io', name: '中'.repeat(500) }]
  const state = { t: 'state', digest: frame.digest, size: 1, pieceLength: 1, kind: 'blob', feeding: true, have: '' }
  const session = new SocketSession(pipe, events, { self: a.self, dialled: true, now: 0 })
  session.received(JSON.stringify({ ...state, private: owners }), 0)
  new SocketSession(pipe, events, { self: a.self, dialled: true, now: 0 }).close('中'.repeat(100))
  expect(told[0]).toStartWith('it sent a wrong frame: private.0: "中')
  expect(told[1]).toBe('中'.repeat(33))
  expect(told.map((reason) => Buffer.byteLength(reason) <= 123)).toEqual([true, true])
})

test('a fault inside this node ends the session it happened in and no other', async () => {
  const c = end(3)
  const [toB, toC] = await Promise.all([a.sessions.get(b.self), a.sessions.get(c.self)])
  await settle()
  b.inbound.frame = () => {
    throw new Error('a bug')
  }
  toB.send(frame)
  toC.send(frame)
  await settle()
  expect([toB.open, toC.open, c.inbound.frames.length]).toEqual([false, true, 1])
})

test('a node that stops closes its sessions, and opens none', async () => {
  await a.sessions.get(b.self)
  await settle()
  a.sessions.close()
  await settle()
  expect(b.inbound.closings).toEqual(['this node stops'])
  expect(await reasonOf(a.sessions.get(b.self))).toBe('this node stops')
})
