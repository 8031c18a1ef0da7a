import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { seededRandom } from '../clock.ts'
import { failuresOf, Holders } from './holders.ts'

test('whatever comes and goes, the list, the index and the whole copies agree', () => {
  const ids = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f')
  const step = fc.oneof(
    fc.record({ do: fc.constant('add' as const), id: ids }),
    fc.record({ do: fc.constant('remove' as const), id: ids }),
    fc.record({ do: fc.constant('update' as const), id: ids, complete: fc.boolean() }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const holders = new Holders()
      const model = new Map<string, boolean>()
      for (const s of steps) {
        if (s.do === 'add') {
          holders.add(s.id, 0)
          if (!model.has(s.id)) model.set(s.id, false)
        } else if (s.do === 'remove') expect(holders.remove(s.id)).toBe(model.delete(s.id))
        else {
          holders.update(s.id, s.complete ? 4 : 2, s.complete)
          if (model.has(s.id)) model.set(s.id, s.complete)
        }
      }
      expect(holders.size).toBe(model.size)
      expect([...holders].map(({ id }) => id).sort()).toEqual([...model.keys()].sort())
      const whole = [...model].filter(([, complete]) => complete).map(([id]) => id)
      expect([...holders.whole()].map(({ id }) => id).sort()).toEqual(whole.sort())
      for (const id of model.keys()) expect(holders.get(id)?.id).toBe(id)
    }),
  )
})

test('a sample of a small swarm is all of it, of a large one a bounded part that chance picks anew', () => {
  const holders = new Holders()
  for (let i = 0; i < 10; i++) holders.add(`n${i}`, 0)
  const random = seededRandom(7)
  expect([...holders.sample(10, random)]).toHaveLength(10)
  const seen = new Set<string>()
  for (let i = 0; i < 50; i++) {
    const picked = [...holders.sample(4, random)]
    expect(picked).toHaveLength(4)
    for (const { id } of picked) seen.add(id)
  }
  expect(seen.size).toBe(10)
})

test('a failure is forgotten after a minute', () => {
  const holder = new Holders().add('a', 0)
  expect(failuresOf(holder, 0)).toBe(0)
  holder.failures = 2
  holder.failedAt = 1000
  expect(failuresOf(holder, 61_000)).toBe(2)
  expect(failuresOf(holder, 61_001)).toBe(0)
})
