import { expect, test } from 'bun:test'
import { Chains } from './chains.ts'

const blob = 'the blob'

test('who asks for what went to others asks the last of them, and whoever comes next asks there', () => {
  const chains = new Chains()
  expect(chains.before('ann', blob, 3, 0)).toBeUndefined()
  chains.begin('ann', blob, 3, 0)
  expect(chains.before('bob', blob, 3, 10)).toBe('ann')
  chains.add('bob', blob, 3, true, 10)
  expect(chains.before('cat', blob, 3, 20)).toBe('bob')
  // One that is slow passes it on late.
  chains.add('cat', blob, 3, false, 20)
  expect(chains.before('dan', blob, 3, 30)).toBe('bob')
  expect([...chains.pieces(blob)]).toEqual([3])
  expect([chains.before('dan', blob, 4, 30), chains.before('dan', 'another', 3, 30)]).toEqual([undefined, undefined])
})

test('nobody is told to ask who may wait for it', () => {
  const chains = new Chains()
  chains.begin('ann', blob, 0, 0)
  chains.add('bob', blob, 0, true, 0)
  for (const child of ['ann', 'bob']) expect(chains.before(child, blob, 0, 1)).toBeUndefined()
  // Sent to it after all, it waits for nobody, and is one that all others may ask.
  chains.begin('ann', blob, 0, 5)
  expect(['ann', 'bob', 'cat'].map((child) => chains.before(child, blob, 0, 6))).toEqual([undefined, 'ann', 'ann'])
})

test('what went out long ago, or did not get there, or to somebody who left, is sent again', () => {
  const chains = new Chains()
  const all = [0, 1, 2, 3]
  for (const piece of all) chains.begin('ann', blob, piece, 0)
  chains.add('bob', blob, 1, true, 0)
  chains.add('bob', blob, 2, true, 4000)
  const before = (now: number) => all.map((piece) => chains.before('cat', blob, piece, now))
  expect(before(0)).toEqual(['ann', 'bob', 'bob', 'ann'])
  chains.broken('ann', blob, 0)
  // Who passed it on is not the one to ask any more.
  chains.broken('ann', blob, 1)
  expect(before(0)).toEqual([undefined, 'bob', 'bob', 'ann'])
  expect(before(6000)).toEqual([undefined, undefined, 'bob', undefined])
  chains.left('bob', 'another')
  expect(before(0)).toEqual([undefined, 'bob', 'bob', 'ann'])
  chains.left('bob')
  expect(before(0)).toEqual([undefined, undefined, undefined, 'ann'])
  chains.forget(blob)
  expect(before(0)).toEqual(all.map(() => undefined))
  expect([...chains.pieces(blob)]).toEqual([])
})

test('a chain is only so long: then it is sent again', () => {
  const chains = new Chains()
  chains.begin('child 0', blob, 0, 0)
  let told = 0
  while (told < 1000 && chains.before(`child ${told + 1}`, blob, 0, 0)) chains.add(`child ${++told}`, blob, 0, true, 0)
  expect(told).toBe(31)
  chains.begin('ann', blob, 0, 0)
  expect(chains.before('bob', blob, 0, 0)).toBe('ann')
})

test('who comes back ends the chain, at whichever site', () => {
  const chains = new Chains()
  for (const of of [blob, `${blob} eu/one`, 'another']) chains.begin('ann', of, 0, 0)
  chains.again('bob', blob, 0)
  chains.again('ann', blob, 1)
  expect(chains.before('cat', blob, 0, 0)).toBe('ann')
  chains.again('ann', blob, 0)
  const all = [blob, `${blob} eu/one`, 'another'].map((of) => chains.before('cat', of, 0, 0))
  expect(all).toEqual([undefined, undefined, 'ann'])
})

test('of a blob only so many pieces are remembered, and those of long ago are not', () => {
  const chains = new Chains()
  for (let piece = 0; piece < 1000; piece++) chains.begin('ann', blob, piece, 0)
  const pieces = [...chains.pieces(blob)]
  expect(pieces.length).toBeLessThan(500)
  expect(pieces.at(-1)).toBe(999)
  chains.begin('ann', blob, 0, 6000)
  expect([...chains.pieces(blob)]).toEqual([0])
})
