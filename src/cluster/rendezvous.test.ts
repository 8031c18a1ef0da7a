import { expect, test } from 'bun:test'
import { Owners, ownerOf, rendezvous } from './rendezvous.ts'

const ids = Array.from({ length: 10 }, (_, i) => `node-${i}`)
const keys = Array.from({ length: 20_000 }, (_, i) => `sha256:${i}`)

test('the order does not depend on the order of the ids', () => {
  for (const key of keys.slice(0, 100)) expect(rendezvous(key, ids.toReversed())).toEqual(rendezvous(key, ids))
})

test('the order is the same in every version of shoal', () => {
  expect(rendezvous('sha256:golden', ['a', 'b', 'c', 'd'])).toEqual(['d', 'c', 'b', 'a'])
})

test('keys are spread evenly', () => {
  const owned = new Map<string, number>()
  for (const key of keys) owned.set(ownerOf(key, ids)!, (owned.get(ownerOf(key, ids)!) ?? 0) + 1)
  const shares = [...owned.values()].map((n) => n / (keys.length / ids.length))
  expect(owned.size).toBe(ids.length)
  expect(Math.min(...shares)).toBeGreaterThan(0.9)
  expect(Math.max(...shares)).toBeLessThan(1.1)
})

test('a node that goes moves its own keys only, each to the next in order', () => {
  const left = ids.filter((id) => id !== 'node-3')
  for (const key of keys.slice(0, 2000)) {
    const before = rendezvous(key, ids)
    expect(ownerOf(key, left)).toBe(before[0] === 'node-3' ? before[1] : before[0])
  }
})

test('the owner is the first in order, and nobody owns anything when there is nobody', () => {
  for (const key of keys.slice(0, 500)) expect(ownerOf(key, ids)).toBe(rendezvous(key, ids)[0])
  expect(ownerOf('key', [])).toBeUndefined()
})

test('owners that are remembered are those that would be computed, while nodes come and go', () => {
  const owners = new Owners()
  const some = keys.slice(0, 300)
  const courses = [
    [],
    ['a'],
    ['a', 'b', 'c'],
    ['c', 'a'],
    ids,
    ids.toReversed(),
    ids.slice(3),
    [...ids.slice(5), 'a'],
    [],
  ]
  for (const [i, among] of courses.entries()) {
    expect(owners.among(among)).toBe(i > 0 && among.toSorted().join() !== courses[i - 1]!.toSorted().join())
    // Not all of them each time: the rest is remembered from before the last change, or not at all.
    for (const key of some.slice(0, 300 - 30 * i)) expect(owners.of(key)).toBe(ownerOf(key, among))
    owners.forget(some[0]!)
  }
})
