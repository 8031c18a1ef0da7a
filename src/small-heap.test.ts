import { expect, test } from 'bun:test'
import { countedBytes, sparing } from './small-heap.ts'

test('a node begins in its environment, told how much memory counts, once', () => {
  const begun = sparing({ HOME: '/root' })!
  expect(begun).toEqual({ HOME: '/root', BUN_JSC_forceRAMSize: String(countedBytes) })
  expect(sparing(begun)).toBeUndefined()
})

test('who says how much counts is heard', () => {
  expect(sparing({ BUN_JSC_forceRAMSize: '1000000000' })).toBeUndefined()
})
