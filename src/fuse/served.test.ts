import { describe, expect, test } from 'bun:test'
import { isReady } from './served.ts'

describe('bytes may be answered by any thread', () => {
  const block = 4096
  const bits = (...set: number[]) => {
    const bytes = new Uint8Array(8)
    for (const at of set) bytes[at >> 3]! |= 1 << (at & 7)
    return bytes
  }

  test('when every block that they touch is verified', () => {
    const map = bits(1, 2)
    expect(isReady(map, block, block, 2 * block)).toBe(true)
    expect(isReady(map, block, block + 1, block)).toBe(true)
    expect(isReady(map, block, block - 1, 2)).toBe(false)
    expect(isReady(map, block, 2 * block, block + 1)).toBe(false)
  })

  test('and not for one block of many', () => {
    const all = Array.from({ length: 64 }, (_, at) => at)
    for (const missing of [0, 7, 8, 15, 31, 63]) {
      const map = bits(...all.filter((at) => at !== missing))
      expect(isReady(map, block, 0, 64 * block)).toBe(false)
      expect(isReady(map, block, 0, missing * block)).toBe(true)
      expect(isReady(map, block, (missing + 1) * block, (63 - missing) * block)).toBe(true)
    }
    expect(isReady(bits(...all), block, 0, 64 * block)).toBe(true)
  })

  test('never past what the map knows', () => {
    expect(isReady(bits(63), block, 63 * block, block)).toBe(true)
    expect(isReady(bits(63), block, 63 * block, 2 * block)).toBe(false)
  })
})
