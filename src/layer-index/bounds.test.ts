import { describe, expect, test } from 'bun:test'
import { Failure } from '../failure.ts'
import { holdTo, standardBounds } from './bounds.ts'

const GiB = 2 ** 30

function verdict(used: { seconds?: number; memoryBytes?: number }, hostBytes: number): string {
  try {
    holdTo(standardBounds, { seconds: 0, memoryBytes: 0, ...used }, hostBytes)
    return 'goes on'
  } catch (error) {
    return Failure.from(error).code
  }
}

describe('the making of an index', () => {
  test.each([
    ['goes on', { memoryBytes: 2.9 * GiB, seconds: 1700 }, 16 * GiB],
    ['too-large', { memoryBytes: 3.1 * GiB }, 16 * GiB],
    ['too-large', { seconds: 1801 }, 1 * GiB],
    ['host-too-small', { memoryBytes: 1.1 * GiB }, 2 * GiB],
    // Another host would come no further.
    ['too-large', { memoryBytes: 3.1 * GiB }, 2 * GiB],
  ])('is %s with %p on a host of %p bytes', (expected, used, hostBytes) => {
    expect(verdict(used, hostBytes)).toBe(expected)
  })
})
