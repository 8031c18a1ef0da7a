import { describe, expect, test } from 'bun:test'
import { mostReads, noReads, orderOf, withStart } from './reads.ts'

const after = (...starts: number[][]) => starts.reduce(withStart, noReads)

describe('what starts read first', () => {
  test('is told in the order of the start that read it', () => {
    expect(orderOf(after([7, 3, 5]))).toEqual([7, 3, 5])
  })

  test('is nothing while no start has told, and a start that read nothing does not count', () => {
    expect(orderOf(noReads)).toEqual([])
    expect(after([], [1]).starts).toBe(1)
  })

  test('comes in the mean order of several starts', () => {
    expect(orderOf(after([1, 2, 3], [1, 3, 2], [1, 3, 2]))).toEqual([1, 3, 2])
  })

  test('leaves out what fewer than a quarter of the starts read', () => {
    expect(orderOf(after([1, 9], [1], [1], [1]))).toEqual([1, 9])
    expect(orderOf(after([1, 9], [1], [1], [1], [1]))).toEqual([1])
  })

  test('counts a chunk that one start names twice once, at its first place', () => {
    expect(after([4, 6, 4]).chunks.get(4)).toEqual({ starts: 1, place: 0 })
  })

  test('is never longer than the cap, whatever starts tell, and keeps what most of them read', () => {
    const long = (from: number) => Array.from({ length: mostReads + 10 }, (_, i) => from + i)
    const known = after(long(0), [0, 1, 2], long(100_000))
    expect(known.chunks.size).toBe(mostReads)
    expect(orderOf(known)).toHaveLength(mostReads)
    for (const chunk of [0, 1, 2]) expect(known.chunks.has(chunk)).toBe(true)
  })

  test('forgets in time what starts do not read any more', () => {
    let known = after(...Array.from({ length: 40 }, () => [1, 2]))
    for (let i = 0; i < 100; i++) known = withStart(known, [2, 3])
    expect(known.starts).toBeLessThan(32)
    expect(known.chunks.has(1)).toBe(false)
    expect(orderOf(known)).toEqual([2, 3])
  })
})
