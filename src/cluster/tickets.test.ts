import { beforeEach, describe, expect, test } from 'bun:test'
import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { FakeClock } from '../../test/fakes/clock.ts'
import { seededRandom } from '../clock.ts'
import { ClusterKey } from './cluster-key.ts'
import { Identity } from './identity.ts'
import { KeyRing } from './key-ring.ts'
import { Refusal, Tickets, ticketRules } from './tickets.ts'

const keyOf = (byte: number) => new ClusterKey(new Uint8Array(32).fill(byte))
const [a, b, c] = await Promise.all([Identity.temporary(), Identity.temporary(), Identity.temporary()])
const post = ['POST', '/shoal/v1/announce'] as const
const random = seededRandom(3)

let clock: FakeClock
beforeEach(() => {
  clock = new FakeClock()
})

const ticketsOf = (identity: Identity, keys = [keyOf(1)], at = clock) =>
  new Tickets({ self: identity.id, agree: (node) => identity.agree(node), ring: new KeyRing(keys), clock: at, random })

function reasonOf(work: () => unknown): string {
  try {
    work()
    return 'admitted'
  } catch (error) {
    if (error instanceof Refusal) return error.reason
    throw error
  }
}

test('a ticket admits its request once', () => {
  const receiver = ticketsOf(b)
  const { text } = ticketsOf(a).make(b.id, ...post, '{}')
  expect(reasonOf(() => receiver.check(text, a.id, ...post).bring('{}'))).toBe('admitted')
  expect(reasonOf(() => receiver.check(text, a.id, ...post))).toBe('replayed')
})

test.each<[string, string, (sender: Tickets, receiver: Tickets) => void]>([
  ['no ticket', 'missing', (_, to) => to.check(null, a.id, ...post)],
  ['nonsense', 'malformed', (_, to) => to.check('1 2 3', a.id, ...post)],
  ['no sender', 'malformed', (from, to) => to.check(from.make(b.id, ...post).text, null, ...post)],
  ['another sender', 'stranger', (from, to) => to.check(from.make(b.id, ...post).text, c.id, ...post)],
  ['another method', 'forged', (from, to) => to.check(from.make(b.id, 'GET', '/x').text, a.id, 'POST', '/x')],
  ['another target', 'forged', (from, to) => to.check(from.make(b.id, 'GET', '/x').text, a.id, 'GET', '/y')],
  [
    'another body',
    'other body',
    (from, to) => to.check(from.make(b.id, ...post, '{}').text, a.id, ...post).bring('[]'),
  ],
  [
    'a body where none was',
    'other body',
    (from, to) => to.check(from.make(b.id, ...post).text, a.id, ...post).bring(''),
  ],
])('%s is refused: %s', (_, reason, ask) => {
  const [from, to] = [ticketsOf(a), ticketsOf(b)]
  // They know each other, so that it is not for that.
  to.check(from.make(b.id, ...post).text, a.id, ...post)
  expect(reasonOf(() => ask(from, to))).toBe(reason)
})

test('a ticket is of no use at another node, nor to its own sender', () => {
  const [from, to, other] = [ticketsOf(a), ticketsOf(b), ticketsOf(c)]
  const { text } = from.make(b.id, ...post)
  expect(reasonOf(() => other.check(text, a.id, ...post))).toBe('stranger')
  other.check(from.make(c.id, ...post).text, a.id, ...post)
  expect(reasonOf(() => other.check(text, a.id, ...post))).toBe('forged')
  expect(reasonOf(() => from.check(text, b.id, ...post))).toBe('forged')
  expect(reasonOf(() => to.check(text, a.id, ...post))).toBe('admitted')
})

test('a member cannot speak for another: the cluster key alone makes no ticket', () => {
  const receiver = ticketsOf(b)
  receiver.check(ticketsOf(a).make(b.id, ...post).text, a.id, ...post)
  // C knows the cluster key, but has nothing in common with B except its own.
  const liar = new Tickets({
    self: a.id,
    agree: (node) => c.agree(node),
    ring: new KeyRing([keyOf(1)]),
    clock,
    random,
  })
  expect(reasonOf(() => receiver.check(liar.make(b.id, ...post).text, a.id, ...post))).toBe('forged')
})

test('who does not know the cluster key has no secrets looked for', () => {
  let agreed = 0
  const agree = (node: string) => {
    agreed++
    return b.agree(node)
  }
  const receiver = new Tickets({ self: b.id, agree, ring: new KeyRing([keyOf(1)]), clock, random })
  const name = keyOf(1).fingerprint
  const forged = ticketsOf(a, [keyOf(2)])
    .make(b.id, ...post)
    .text.replace(keyOf(2).fingerprint, name)
  expect(reasonOf(() => receiver.check(forged, a.id, ...post))).toBe('stranger')
  expect(agreed).toBe(0)
})

test('a clock that is too far off is told, and by how much', () => {
  const receiver = ticketsOf(b)
  const skewed = (ms: number) => ({ now: () => clock.now(), wall: () => clock.wall() + ms })
  const make = (ms: number) =>
    new Tickets({
      self: a.id,
      agree: (n) => a.agree(n),
      ring: new KeyRing([keyOf(1)]),
      clock: skewed(ms),
      random,
    }).make(b.id, ...post).text
  expect(reasonOf(() => receiver.check(make(ticketRules.clocks - 1), a.id, ...post))).toBe('admitted')
  expect(() => receiver.check(make(45_000), a.id, ...post)).toThrow("the sender's clock is 45 s ahead of this one")
  clock.advance(60_000)
  expect(reasonOf(() => receiver.check(make(1 - ticketRules.clocks), a.id, ...post))).toBe('admitted')
  expect(() => receiver.check(make(-31_000), a.id, ...post)).toThrow("the sender's clock is 31 s behind this one")
})

test('a ticket from before the receiver started is refused, for it may have been used then', () => {
  const sender = ticketsOf(a)
  const before = sender.make(b.id, ...post)
  clock.advance(5)
  const receiver = ticketsOf(b)
  expect(reasonOf(() => receiver.check(before.text, a.id, ...post))).toBe('before start')
  expect(reasonOf(() => receiver.check(sender.make(b.id, ...post).text, a.id, ...post))).toBe('admitted')
})

describe('a receiver that started with its clock an hour ahead', () => {
  const hour = 3_600_000
  const skewed = (identity: Identity) => {
    let ahead = hour
    const at = { now: () => clock.now(), wall: () => clock.wall() + ahead }
    const { id } = identity
    const ring = new KeyRing([keyOf(1)])
    const tickets = new Tickets({ self: id, agree: (node) => identity.agree(node), ring, clock: at, random })
    const setBack = () => {
      ahead = 0
    }
    return { tickets, setBack }
  }

  test('admits as soon as its clock is set back, but nothing of before its start', () => {
    const sender = ticketsOf(a)
    const before = sender.make(b.id, ...post)
    clock.advance(5)
    const receiver = skewed(b)
    clock.advance(1_000)
    receiver.setBack()
    const ask = (text: string) => reasonOf(() => receiver.tickets.check(text, a.id, ...post))
    expect(ask(before.text)).toBe('before start')
    const { text } = sender.make(b.id, ...post)
    expect([ask(text), ask(text)]).toEqual(['admitted', 'replayed'])
  })

  test('knows what it heard until then, when its clock comes to that time once more', () => {
    const [receiver, sender] = [skewed(b), skewed(a)]
    const ask = (text: string) => reasonOf(() => receiver.tickets.check(text, a.id, ...post))
    const early = sender.tickets.make(b.id, ...post)
    expect(ask(early.text)).toBe('admitted')
    receiver.setBack()
    clock.advance(hour)
    // Another start of the sender, for which what is past is forgotten.
    expect(ask(ticketsOf(a).make(b.id, ...post).text)).toBe('admitted')
    expect(ask(early.text)).toBe('replayed')
  })
})

test('a node that starts anew counts anew, so many times a minute', () => {
  const receiver = ticketsOf(b)
  const ask = () => reasonOf(() => receiver.check(ticketsOf(a).make(b.id, ...post).text, a.id, ...post))
  expect(Array.from({ length: ticketRules.runs }, ask)).toEqual(Array(ticketRules.runs).fill('admitted'))
  expect(ask()).toBe('crowded')
  clock.advance(2 * ticketRules.clocks + 1)
  expect(ask()).toBe('admitted')
})

describe('while the key is changed', () => {
  test('a key that is not the first admits too, and one that is not there no more', () => {
    const ring = new KeyRing([keyOf(1), keyOf(2)])
    const receiver = new Tickets({ self: b.id, agree: (n) => b.agree(n), ring, clock, random })
    const ask = (key: number) =>
      reasonOf(() => receiver.check(ticketsOf(a, [keyOf(key)]).make(b.id, ...post).text, a.id, ...post))
    expect([1, 2, 3].map(ask)).toEqual(['admitted', 'admitted', 'other key'])
    ring.replace([keyOf(2)])
    expect([1, 2, 3].map(ask)).toEqual(['other key', 'admitted', 'other key'])
  })

  test('new tickets are made with the key that is the first now', () => {
    const ring = new KeyRing([keyOf(1)])
    const sender = new Tickets({ self: a.id, agree: (n) => a.agree(n), ring, clock, random })
    const receiver = ticketsOf(b, [keyOf(2)])
    const ask = () => reasonOf(() => receiver.check(sender.make(b.id, ...post).text, a.id, ...post))
    expect(ask()).toBe('other key')
    ring.replace([keyOf(2), keyOf(1)])
    expect(ask()).toBe('admitted')
  })
})

describe('an answer', () => {
  const exchange = () => {
    const ticket = ticketsOf(a).make(b.id, ...post, '{}')
    return { ticket, pass: ticketsOf(b).check(ticket.text, a.id, ...post) }
  }

  test('is known to be the receiver’s, whole, and to this request', () => {
    const { ticket, pass } = exchange()
    const seal = pass.seal(200, 'yes')
    expect(ticket.sealed(200, 'yes', seal)).toBe(true)
    const others = [
      ticket.sealed(200, 'no', seal),
      ticket.sealed(404, 'yes', seal),
      ticket.sealed(200, 'yes', null),
      ticket.sealed(200, 'yes', ''),
      exchange().ticket.sealed(200, 'yes', seal),
      ticket.sealed(200, 'yes', exchange().pass.seal(200, 'yes')),
    ]
    expect(others).toEqual(Array(6).fill(false))
  })

  test('comes with a secret that both ends know, another for each request', () => {
    const { ticket, pass } = exchange()
    expect(ticket.secret()).toEqual(pass.secret())
    expect(ticket.secret()).not.toEqual(exchange().ticket.secret())
  })
})

test('whatever is changed in a ticket, it admits no more', () => {
  const [from, to] = [ticketsOf(a), ticketsOf(b)]
  to.check(from.make(b.id, ...post, '{}').text, a.id, ...post)
  const rounds = Number(process.env.STRANGER_TRIES ?? 2_000)
  fc.assert(
    fc.property(fc.nat(), fc.string({ minLength: 1, maxLength: 1 }), (at, letter) => {
      const { text } = from.make(b.id, ...post, '{}')
      const place = at % text.length
      fc.pre(text[place] !== letter)
      const changed = text.slice(0, place) + letter + text.slice(place + 1)
      expect(reasonOf(() => to.check(changed, a.id, ...post))).not.toBe('admitted')
    }),
    { numRuns: rounds },
  )
})

test('the runtime’s copies of a keyed hasher are keyed', () => {
  const key = new Uint8Array(32).fill(7)
  const hasher = new Bun.CryptoHasher('sha256', key)
  for (const text of ['one', 'two']) {
    expect(hasher.copy().update(text).digest('hex')).toBe(createHmac('sha256', key).update(text).digest('hex'))
  }
})
