import { expect, test } from 'bun:test'
import { LateReads } from './late-reads.ts'

const mib = 1024 * 1024

test('what the kernel asks again at once is late too, and what it asks elsewhere or later is not', () => {
  const late = new LateReads()
  late.add(2, 10 * mib, 131_072, 5000)
  expect(late.has(2, 10 * mib + 4096, 5050)).toBe(true)
  expect(late.has(2, 10 * mib + 131_072, 5050)).toBe(true)
  expect(late.has(3, 10 * mib, 5050)).toBe(false)
  expect(late.has(2, 12 * mib, 5050)).toBe(false)
  expect(late.has(2, 8 * mib, 5050)).toBe(false)
  expect(late.has(2, 10 * mib, 5250)).toBe(false)
})

test('a storm of them is forgotten as it goes', () => {
  const late = new LateReads()
  for (let i = 0; i < 1000; i++) late.add(2, i * 10 * mib, 1, 1000)
  expect(late.has(2, 0, 1000)).toBe(false)
  expect(late.has(2, 9990 * mib, 1000)).toBe(true)
})
