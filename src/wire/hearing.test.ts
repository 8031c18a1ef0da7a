import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import fc from 'fast-check'
import { z } from 'zod'
import { unsaid } from '../../test/fakes/unsaid.ts'
import { nodeInfoSchema } from '../cluster/node-info.ts'
import { mostBlobBytes } from '../piece/layout.ts'
import { Hearing } from './hearing.ts'
import { type Announce, announceSchema, parse, type Schedule, scheduleSchema } from './messages.ts'

// Each takes its time on a busy machine.
setDefaultTimeout(60_000)

const digest = `sha256:${'0a'.repeat(32)}`
const id = `12D3KooW${'a'.repeat(44)}`
const node = {
  id,
  url: 'http://10.0.0.7:4881',
  p2p: ['/ip4/10.0.0.7/tcp/4882'],
  modes: ['peer'],
  zone: 'eu/a/r1',
  version: '0.1.0',
  epoch: 'one',
}

/** Everything that can be said. */
const wholeNode = { ...node, protocols: { from: 1, to: 2 }, homes: ['registry.test/org/**'] }
const wholeAnnounce = {
  ...{ node: wholeNode, uploads: 1, uploadSlots: 4, full: true, leaving: false, known: 'v1' },
  holdings: [{ digest, size: 3_000_000, pieces: 12, complete: true }],
  gone: [digest],
}
const wholeSchedule = {
  ...{ node: wholeNode, size: 3_000_000, pieces: 3, connected: [id], stalled: true, part: true, hears: true },
  location: { repository: { registry: 'docker.io', name: 'library/debian' }, kind: 'blob', digest },
  failed: [{ node: id, reason: 'does not answer', refused: 'denied' }],
}

const wrong = fc.constantFrom<unknown>(null, -1, 0.5, 2 ** 60, '', 'x', 'y'.repeat(600), {}, [], [null], true)
const some = <T>(right: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 30, arbitrary: right as fc.Arbitrary<unknown> }, { weight: 1, arbitrary: wrong })
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  some(fc.record(model as Record<string, fc.Arbitrary<unknown>>, { noNullPrototype: true }))

/** Nearly right: what is wrong with one is wrong in one place or two. */
const description = fc.oneof(
  fc.constant(node),
  record({
    id: some(fc.constantFrom(id, `${id}b`)),
    url: some(fc.constantFrom(node.url, 'http://10.0.0.8:4881', 'ftp://x')),
    p2p: some(fc.constantFrom(node.p2p, [], ['/ip4/10.0.0.8/tcp/4882'])),
    modes: some(fc.constantFrom(['peer'], ['seed', 'scheduler'], ['king'])),
    zone: some(fc.constantFrom('eu/a/r1', 'eu/b', undefined)),
    version: some(fc.constantFrom('0.1.0', '0.2.0')),
    epoch: some(fc.constantFrom('one', 'two')),
  }),
)
const count = some(fc.nat())
const size = some(fc.oneof(fc.nat(), fc.constantFrom(mostBlobBytes, mostBlobBytes + 1)))
const digests = some(fc.constantFrom(digest, `sha512:${'0a'.repeat(64)}`, 'sha256:00'))
const holding = record({ digest: digests, size, pieces: count, complete: some(fc.boolean()) })
const known = some(fc.constantFrom(undefined, '', '1'.repeat(64), '1'.repeat(65)))

const announce = record({
  node: description,
  uploads: count,
  uploadSlots: count,
  full: some(fc.boolean()),
  holdings: some(fc.oneof(fc.array(holding, { maxLength: 3 }), fc.constant(Array(4097).fill(null)))),
  gone: some(fc.oneof(fc.array(digests, { maxLength: 3 }), fc.constant(Array(4097).fill(digest)))),
  leaving: some(fc.boolean()),
  known,
  extra: wrong,
})
const schedule = record({
  node: description,
  location: record({
    repository: record({
      registry: some(fc.constantFrom('docker.io', 'ghcr.io', 'no registry', 'x'.repeat(256))),
      name: some(fc.constantFrom('library/debian', 'debian', 'UPPER', 'x'.repeat(256))),
    }),
    kind: some(fc.constantFrom('blob', 'manifest')),
    digest: digests,
  }),
  size: fc.oneof(size, fc.constant(undefined)),
  pieces: count,
  connected: some(fc.oneof(fc.array(some(fc.constant(id)), { maxLength: 3 }), fc.constant(Array(257).fill(id)))),
  failed: some(
    fc.array(record({ node: some(fc.constant(id)), reason: some(fc.string()), refused: known }), { maxLength: 3 }),
  ),
  stalled: some(fc.boolean()),
  part: some(fc.constantFrom(undefined, true, false)),
  hears: some(fc.constantFrom(undefined, true, false)),
})

/** What is heard of nodes that speak for themselves. */
class Heard {
  readonly #hearing = new Hearing()

  announce(text: string): Announce {
    return this.#own(this.#hearing.announce(text))
  }

  schedule(text: string): Schedule {
    return this.#own(this.#hearing.schedule(text))
  }

  #own<T extends Announce | Schedule>(message: T): T {
    this.#hearing.remember(message.node)
    return message
  }
}

function outcome(read: () => unknown): unknown {
  try {
    return read()
  } catch (error) {
    return (error as Error).message
  }
}

describe('what is heard is what the schema makes of it, and is refused with the same words', () => {
  test('an announce', () => {
    const hearing = new Heard()
    fc.assert(
      fc.property(announce, (value) => {
        const text = JSON.stringify(value)
        expect(outcome(() => hearing.announce(text))).toEqual(outcome(() => parse(announceSchema, JSON.parse(text))))
      }),
      { numRuns: 3000, seed: 21 },
    )
  })

  test('a question for parents', () => {
    const hearing = new Heard()
    fc.assert(
      fc.property(schedule, (value) => {
        const text = JSON.stringify(value)
        expect(outcome(() => hearing.schedule(text))).toEqual(outcome(() => parse(scheduleSchema, JSON.parse(text))))
      }),
      { numRuns: 3000, seed: 22 },
    )
  })

  test('with every field there is, the first time and every other', () => {
    const hearing = new Heard()
    for (const [schema, value, hear] of [
      [announceSchema, wholeAnnounce, (text: string) => hearing.announce(text)],
      [scheduleSchema, wholeSchedule, (text: string) => hearing.schedule(text)],
    ] as const) {
      expect(unsaid(schema, value)).toEqual([])
      const text = JSON.stringify(value)
      const heard = [hear(text), hear(text), hear(text)]
      for (const each of heard) expect(each as object).toStrictEqual(parse<object>(schema, value))
      // The second time nothing was read anew.
      expect(heard[1]!.node).toBe(heard[0]!.node)
    }
  })

  test('what is no JSON is refused', () => {
    expect(outcome(() => new Heard().announce('{"node":'))).toBe('the body is not JSON')
  })
})

const said = (about: object) =>
  JSON.stringify({ node: about, uploads: 0, uploadSlots: 4, full: false, holdings: [], gone: [], leaving: false })

test('a node that says of itself what it said before is the same object, and another one once any field changed', () => {
  const hearing = new Heard()
  const first = hearing.announce(said(wholeNode)).node
  expect(hearing.announce(said(wholeNode)).node).toBe(first)
  expect(hearing.announce(said({ ...wholeNode, extra: 1 })).node).toBe(first)
  const other: Record<string, unknown> = {
    ...{ id: `${id}b`, epoch: 'two', url: 'http://10.0.0.8:4881', zone: 'eu/b', version: '0.2.0' },
    ...{ modes: ['peer', 'seed'], p2p: [], protocols: { from: 1, to: 3 }, homes: ['registry.test/other/**'] },
  }
  for (const [field, schema] of Object.entries(nodeInfoSchema.shape)) {
    const changes = schema instanceof z.ZodOptional ? [other[field], undefined] : [other[field]]
    for (const value of changes) {
      hearing.announce(said(wholeNode))
      const changed = { ...wholeNode, [field]: value }
      const text = said(changed)
      expect(hearing.announce(text).node as object).toEqual(JSON.parse(JSON.stringify(changed)))
      expect(Object.keys(hearing.announce(text).node)).toHaveLength(Object.keys(wholeNode).length - (value ? 0 : 1))
    }
  }
})

test('what is not remembered, because another said it, changes nothing', () => {
  const hearing = new Hearing()
  const first = hearing.announce(said(wholeNode)).node
  hearing.remember(first)
  hearing.announce(said({ ...wholeNode, homes: [] }))
  hearing.schedule(JSON.stringify({ ...wholeSchedule, node: { ...wholeNode, zone: 'eu/b' } }))
  expect(hearing.announce(said(wholeNode)).node).toBe(first)
})
