import { describe, expect, test } from 'bun:test'
import { Paces } from './paces.ts'

const MiB = 1024 * 1024

/** Each child is delivered `times` pieces of 1 MiB, each of which takes so many ms. */
function paces(ms: Record<string, number>, times = 4): Paces {
  const all = new Paces()
  for (let i = 0; i < times; i++) for (const [child, took] of Object.entries(ms)) all.delivered(child, MiB, took, 0)
  return all
}

describe('a child is slow', () => {
  test('when it takes much longer than the fastest quarter', () => {
    const all = paces({ ann: 80, bob: 120, cat: 90, dan: 1000 })
    expect(['ann', 'bob', 'cat', 'dan'].filter((child) => all.slow(child))).toEqual(['dan'])
  })

  test('also where most are', () => {
    const all = paces({ ann: 80, bob: 1000, cat: 1000, dan: 1000 })
    expect(['ann', 'bob', 'cat', 'dan'].filter((child) => all.slow(child))).toEqual(['bob', 'cat', 'dan'])
  })

  test('not when it is the only one', () => {
    expect(paces({ ann: 60_000 }).slow('ann')).toBe(false)
  })

  test('no longer when its link has become fast', () => {
    const all = paces({ ann: 80, bob: 1000 })
    expect(all.slow('bob')).toBe(true)
    for (let i = 0; i < 4; i++) all.delivered('bob', MiB, 80, 0)
    expect(all.slow('bob')).toBe(false)
  })

  test('not for the delay of small pieces', () => {
    const all = paces({ ann: 80, bob: 80 })
    for (let i = 0; i < 8; i++) all.delivered('bob', 500, 20, 0)
    expect(all.slow('bob')).toBe(false)
  })

  test('that has got nothing yet, when its first piece has been under way for long', () => {
    const all = paces({ ann: 80, bob: 80 })
    expect(all.slow('new', MiB, 200)).toBe(false)
    expect(all.slow('new', MiB, 400)).toBe(true)
  })

  test('until nothing was heard of it for a minute', () => {
    const all = paces({ ann: 80, bob: 80, cat: 1000 })
    for (let i = 0; i < 8; i++) all.delivered('ann', MiB, 80, 61_000)
    expect(all.slow('cat')).toBe(false)
  })
})
