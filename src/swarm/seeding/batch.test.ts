import { expect, test } from 'bun:test'
import { nextBatch } from './batch.ts'

test('news after a rest is told almost at once', () => {
  expect(nextBatch(5000, Number.NEGATIVE_INFINITY, 100)).toBe(5010)
  expect(nextBatch(5000, 4000, 100)).toBe(5010)
})

test('news soon after a batch waits until the next one is due', () => {
  expect(nextBatch(5000, 4999, 100)).toBe(5099)
  expect(nextBatch(5000, 4930, 100)).toBe(5030)
})

test('what comes just before a batch would be due is gathered for a moment all the same', () => {
  expect(nextBatch(5000, 4901, 100)).toBe(5010)
})
