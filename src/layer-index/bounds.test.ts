import { describe, expect, test } from 'bun:test'
import { Failure } from '../failure.ts'
import { holdTo, standardBounds } from './bounds.ts'

const GiB = 2 ** 30

function refusal(used: { seconds?: number; memoryBytes?: number }, hostBytes: number): Failure | undefined {
  try {
    holdTo(standardBounds, { seconds: 0, memoryBytes: 0, ...used }, hostBytes)
  } catch (error) {
    return Failure.from(error)
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
    expect(refusal(used, hostBytes)?.code ?? 'goes on').toBe(expected)
  })

  test('says what it used too much of, and what can be done', () => {
    expect(refusal({ seconds: 1801 }, 16 * GiB)?.message).toContain('more than 1800 seconds of a processor')
    expect(refusal({ memoryBytes: 4 * GiB }, 16 * GiB)?.message).toContain('more than 3072 MiB of memory')
    expect(refusal({ memoryBytes: 2 * GiB }, 2 * GiB)?.message).toContain('half of this seed')
  })
})
