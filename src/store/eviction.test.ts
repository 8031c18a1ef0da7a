import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { Digest } from '../oci/digest.ts'
import { type Holding, type Idle, inTheWay, planEviction } from './eviction.ts'

const holding = (name: string, disk: number, usedAt: number, more: Partial<Holding> = {}): Holding => ({
  digest: name as Digest,
  disk,
  usedAt,
  held: false,
  complete: true,
  ...more,
})
const names = (list: readonly Holding[]) => list.map((each) => String(each.digest))

describe('planEviction', () => {
  test('removes nothing while everything fits', () => {
    const plan = planEviction([holding('a', 10, 1)], { now: 100, bytes: 20, wanted: 10 })
    expect(plan).toMatchObject({ remove: [], missing: 0 })
    expect(plan.reasons.get('a' as Digest)).toBe('within the limits')
  })

  test('removes the least recently used until the wanted bytes fit, no more', () => {
    const holdings = [holding('new', 10, 3), holding('old', 10, 1), holding('middle', 10, 2)]
    const plan = planEviction(holdings, { now: 100, bytes: 30, wanted: 15 })
    expect(names(plan.remove)).toEqual(['old', 'middle'])
    expect(names(plan.keep)).toEqual(['new'])
    expect(plan.missing).toBe(0)
    expect(plan.reasons.get('old' as Digest)).toBe('least recently used')
  })

  test('makes room for a part of what is wanted, having seen that there can be room for all of it', () => {
    const holdings = [1, 2, 3, 4].map((at) => holding(`${at}`, 10, at))
    const some = planEviction(holdings, { now: 100, bytes: 40, wanted: 40, atOnce: 15 })
    expect([names(some.remove), some.missing]).toEqual([['1', '2'], 0])
    const tooMuch = planEviction(holdings, { now: 100, bytes: 40, wanted: 41, atOnce: 15 })
    expect(tooMuch.missing).toBe(1)
  })

  test('of many lets a hundredth go at once where more is to come, if any has to', () => {
    const many = (count: number, disk = 10) => Array.from({ length: count }, (_, at) => holding(`${at}`, disk, at))
    const goes = (holdings: Holding[], bytes: number, wanted: number) =>
      planEviction(holdings, { now: 1e6, bytes, wanted, ahead: true }).remove.length
    expect(goes(many(99), 990, 1)).toBe(1)
    expect(goes(many(1000), 10_000, 1)).toBe(10)
    expect(goes(many(1000), 10_000, 500)).toBe(50)
    expect(goes(many(1000), 10_010, 10)).toBe(0)
    expect(goes(many(50_000), 500_000, 1)).toBe(64)
    // Of a few that are much larger than others no more than a hundredth of the bytes.
    const [large, small] = [many(10, 10_000), many(9990, 1).map((each) => ({ ...each, usedAt: 1000 + each.usedAt }))]
    expect(goes([...large, ...small], 109_990, 1)).toBe(1)
    expect(planEviction(many(1000), { now: 1e6, bytes: 10_000, wanted: 1 }).remove).toHaveLength(1)
  })

  test('of two used at the same time prefers the incomplete one', () => {
    const holdings = [holding('whole', 10, 1), holding('part', 10, 1, { complete: false })]
    expect(names(planEviction(holdings, { now: 2, bytes: 20, wanted: 1 }).remove)).toEqual(['part'])
  })

  test('removes what expired even when there is room, and counts it as freed', () => {
    const holdings = [holding('expired', 10, 0), holding('old', 10, 50), holding('new', 10, 99)]
    const plan = planEviction(holdings, { now: 100, ttlMs: 60, bytes: 30, wanted: 10 })
    expect(names(plan.remove)).toEqual(['expired'])
    expect(plan.reasons.get('expired' as Digest)).toBe('expired')
  })

  test('never removes what is held, and says how many bytes it misses', () => {
    const holdings = [holding('held', 25, 0, { held: true }), holding('free', 5, 50)]
    const plan = planEviction(holdings, { now: 100, ttlMs: 10, bytes: 30, wanted: 10 })
    expect(names(plan.remove)).toEqual(['free'])
    expect(plan.missing).toBe(5)
    expect(plan.reasons.get('held' as Digest)).toBe('in use')
  })

  test('leaves what is pinned alone until its time, whatever else is said, and says until when', () => {
    const holdings = [
      holding('pinned', 10, 0, { pinnedUntil: 200 }),
      holding('for good', 10, 0, { pinnedUntil: Number.POSITIVE_INFINITY }),
      holding('over', 10, 50, { pinnedUntil: 100 }),
    ]
    const plan = planEviction(holdings, { now: 100, ttlMs: 60, bytes: 0 })
    expect([names(plan.remove), plan.missing]).toEqual([['over'], 20])
    expect(plan.reasons.get('pinned' as Digest)).toBe('pinned until 1970-01-01T00:00:00.200Z')
    expect(plan.reasons.get('for good' as Digest)).toBe('pinned')
    expect(inTheWay(plan)).toEqual({ inUse: 0, pinned: 20 })
  })

  test('does not remove blobs that hold no bytes to make room', () => {
    const plan = planEviction([holding('empty', 0, 0), holding('full', 5, 1)], { now: 2, bytes: 5, wanted: 5 })
    expect(names(plan.remove)).toEqual(['full'])
  })

  test('whatever is there, decides about each blob once and reaches the limit unless held blobs forbid it', () => {
    const arbitrary = fc.array(
      fc.record({
        disk: fc.nat(100),
        usedAt: fc.nat(100),
        held: fc.boolean(),
        complete: fc.boolean(),
        pinnedUntil: fc.option(fc.constantFrom(50, 100, 101, Number.POSITIVE_INFINITY), { nil: undefined }),
      }),
    )
    const property = fc.property(arbitrary, fc.nat(500), fc.nat(100), (list, bytes, wanted) => {
      const holdings = list.map((each, i) => ({ ...each, digest: `d${i}` as Digest }))
      const { remove, keep, missing } = planEviction(holdings, { now: 100, bytes, wanted })
      expect(names([...remove, ...keep]).sort()).toEqual(names(holdings).sort())
      const stays = (each: Holding) => each.held || (each.pinnedUntil ?? 0) > 100
      expect(remove.some(stays)).toBe(false)
      const kept = keep.reduce((sum, each) => sum + each.disk, 0)
      expect(missing).toBe(Math.max(0, kept + wanted - bytes))
      if (missing > 0) expect(keep.every((each) => stays(each) || each.disk === 0)).toBe(true)
      const last = remove.at(-1)
      if (last) expect(kept + last.disk + wanted).toBeGreaterThan(bytes)
    })
    fc.assert(property)
  })
})

test('a rule says of its blobs how long they may be unused, in the place of what holds for all', () => {
  const holdings = [
    holding('ruled', 1, 50),
    holding('long', 1, 10),
    holding('pinned', 1, 10, { pinnedUntil: 200 }),
    holding('other', 1, 50),
    holding('old', 1, 10),
  ]
  const rules: Record<string, Idle> = {
    ruled: { ms: 30, rule: 'a: idle=30ms' },
    long: { ms: Number.POSITIVE_INFINITY, rule: 'b' },
    pinned: { ms: 30, rule: 'a: idle=30ms' },
  }
  const plan = planEviction(holdings, { now: 100, ttlMs: 60, idleOf: (digest) => rules[digest] })
  expect(names(plan.remove)).toEqual(['ruled', 'old'])
  expect(plan.reasons.get('ruled' as Digest)).toBe('unused for longer than "a: idle=30ms" keeps it')
  expect(plan.reasons.get('old' as Digest)).toBe('expired')
})
