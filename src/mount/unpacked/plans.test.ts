import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { digestOf } from '../../oci/digest.ts'
import { ChunkTable } from './chunk-table.ts'
import { planRemoval } from './eviction.ts'
import { Holdings } from './holdings.ts'
import { Intervals } from './intervals.ts'
import { firstReads, isStart, nextStretch } from './order.ts'
import { decodeState, encodeState, type LayerState, verifiedStill } from './state-file.ts'

const MiB = 1024 * 1024

function holdingsOf(count: number, length: number): Holdings {
  const table = new ChunkTable(
    {
      count,
      starts: Float64Array.from({ length: count }, (_, i) => i * length),
      lengths: new Uint32Array(count).fill(length),
      digests: new Uint8Array(count * 32),
    },
    count * length,
  )
  return new Holdings(table, undefined)
}

describe('firstReads', () => {
  test('is what is missing of it, in its order, each once, and nothing that the layer has not', () => {
    const holdings = holdingsOf(10, 100)
    holdings.keep(3)
    expect(firstReads([7, 3, 1, 7, 10, 99], holdings)).toEqual([7, 1])
  })
})

describe('nextStretch', () => {
  test('ends before a long stretch that is here, and not before a short one', () => {
    const holdings = holdingsOf(20, 100)
    for (const chunk of [2, 10, 11, 12]) holdings.keep(chunk)
    expect(nextStretch(holdings, 0, 10_000, 300)).toEqual([0, 1, 3, 4, 5, 6, 7, 8, 9])
    expect(nextStretch(holdings, 10, 10_000, 300)).toEqual([13, 14, 15, 16, 17, 18, 19])
  })

  test('is no longer than allowed, and one chunk at least', () => {
    const holdings = holdingsOf(20, 100)
    expect(nextStretch(holdings, 5, 250, 300)).toEqual([5, 6])
    expect(nextStretch(holdings, 5, 10, 300)).toEqual([5])
  })

  test('is nothing where nothing is missing', () => {
    const holdings = holdingsOf(3, 100)
    for (const chunk of [0, 1, 2]) holdings.keep(chunk)
    expect(nextStretch(holdings, 0, 1000, 300)).toEqual([])
  })
})

describe('isStart', () => {
  const { table } = holdingsOf(1000, MiB)

  test('says what a start reads from what a copy or a search does', () => {
    expect(isStart([], table)).toBe(false)
    expect(isStart([5, 1, 900], table)).toBe(true)
    expect(isStart([...Array(600).keys()], table)).toBe(false)
  })

  test('takes all of a small layer for a start', () => {
    expect(isStart([0, 1, 2], holdingsOf(3, MiB).table)).toBe(true)
  })
})

describe('planRemoval', () => {
  const kept = (name: string, disk: number, usedAt: number, mounted = false) => ({
    digest: digestOf(Buffer.from(name)),
    disk,
    usedAt,
    mounted,
  })
  const [a, b, c] = [kept('a', 100, 3), kept('b', 100, 1), kept('c', 100, 2)]

  test('lets go of the one unused for longest, and of no more than it must', () => {
    expect(planRemoval([a, b, c], 250)).toEqual([b.digest])
    expect(planRemoval([a, b, c], 100)).toEqual([b.digest, c.digest])
    expect(planRemoval([a, b, c], 300)).toEqual([])
  })

  test('never lets go of what is mounted', () => {
    expect(planRemoval([kept('m', 500, 0, true), a], 100)).toEqual([a.digest])
  })
})

describe('Intervals', () => {
  test('know every byte that was added, and no other', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(60), fc.nat(20))), (added) => {
        const intervals = new Intervals()
        const there = new Set<number>()
        for (const [start, length] of added) {
          intervals.add(start, start + length)
          for (let i = start; i < start + length; i++) there.add(i)
        }
        const told = intervals.bounds.flatMap((start, i, { [i + 1]: end = 0 }) =>
          i % 2 === 0 ? Array.from({ length: end - start }, (_, j) => start + j) : [],
        )
        expect(told).toEqual([...there].sort((a, b) => a - b))
        expect(new Set(intervals.bounds).size).toBe(intervals.bounds.length)
        expect(new Intervals(intervals.bounds).bounds).toEqual(intervals.bounds)
        for (const end of [0, 1, 30]) expect(intervals.covers(end)).toBe(told.filter((i) => i < end).length === end)
      }),
    )
  })
})

describe('a state file', () => {
  const state: LayerState = {
    facts: {
      version: 1,
      diffId: 'sha256:x',
      index: 'sha256:y',
      chunks: 11,
      ctime: '1795360288202171437',
      boot: 'b',
      checked: false,
      gaps: [0, 512],
      usedAt: 5,
      fetched: 6,
      deduped: 7,
    },
    own: Uint8Array.of(1, 2),
    lent: Uint8Array.of(4, 1),
    verified: Uint8Array.of(1, 0),
  }

  test('is read as it was written', () => {
    expect(decodeState(encodeState(state))).toEqual(state)
  })

  test('is not believed with any bit changed, or cut', () => {
    const bytes = encodeState(state)
    for (let i = 0; i < bytes.length; i++) {
      const changed = bytes.slice()
      changed[i]! ^= 1 << (i % 8)
      expect(decodeState(changed)).toBeUndefined()
      expect(decodeState(bytes.subarray(0, i))).toBeUndefined()
    }
  })

  test('speaks for a file that nobody has touched since, while the same kernel runs', () => {
    expect(verifiedStill(state, 1795360288202171437n, 'b')).toBe(true)
    expect(verifiedStill(state, 1795360288202171438n, 'b')).toBe(false)
    expect(verifiedStill(state, 1795360288202171437n, 'c')).toBe(false)
  })
})
