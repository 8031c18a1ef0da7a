import { expect, test } from 'bun:test'
import { lru } from './lru.ts'

test('the latest are remembered, and what was used least recently goes first', () => {
  const known = lru<string, number>(3)
  for (const [i, name] of ['a', 'b', 'c'].entries()) known.set(name, i)
  expect(known.get('a')).toBe(0)
  known.set('d', 3)
  expect(known.size).toBe(3)
  expect(known.get('b')).toBeUndefined()
  expect(['a', 'c', 'd'].map((name) => known.get(name))).toEqual([0, 2, 3])
})

test('many more than it remembers are no more than that', () => {
  const known = lru<number, number>(1000)
  for (let i = 0; i < 50_000; i++) known.set(i % 7919, i)
  expect(known.size).toBe(1000)
  expect(known.get(49_999 % 7919)).toBe(49_999)
})

test('what goes is told of, also what is replaced', () => {
  const gone: number[] = []
  const known = lru<string, number>(2, { dispose: (value) => gone.push(value) })
  known.set('a', 1)
  known.set('a', 2)
  known.set('b', 3)
  known.set('c', 4)
  known.delete('b')
  expect(gone).toEqual([1, 2, 3])
})

test('takes no room for what has not come', () => {
  const before = process.memoryUsage().rss
  const all = Array.from({ length: 200 }, () => lru<string, number>(50_000))
  // Room for all of them would be 240 MB.
  expect(process.memoryUsage().rss - before).toBeLessThan(100e6)
  expect(all.length).toBe(200)
})
