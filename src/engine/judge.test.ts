import { describe, expect, test } from 'bun:test'
import { type Circumstances, type Found, type Held, judge, leastBytes, settleMs } from './judge.ts'

const size = 1_000_000
const now = Date.UTC(2026, 0, 1)
const found: Found = { size, changedAt: now - settleMs }
const whole: Held = { complete: true, borrowed: false, kind: 'blob', size }
const usual: Circumstances = { now, pinned: false, known: true, refused: undefined, borrowedAt: undefined }

describe('a file of the engine', () => {
  test('takes the place of a whole blob here', () => {
    expect(judge(found, whole, usual)).toEqual({ do: 'borrow' })
  })

  test('of a blob that is not here has to be proven first', () => {
    expect(judge(found, undefined, usual)).toEqual({ do: 'prove' })
  })

  test.each<[string, Found, Held | undefined, Partial<Circumstances>]>([
    ['of which nothing is known', found, undefined, { known: false }],
    ['that is small', { ...found, size: leastBytes - 1 }, { ...whole, size: leastBytes - 1 }, {}],
    ['of a manifest', found, { ...whole, kind: 'manifest' }, {}],
    ['of a blob that is pinned', found, whole, { pinned: true }],
    ['of a blob that is pinned and not here', found, undefined, { pinned: true }],
    ['of a blob that is on its way here', found, { ...whole, complete: false }, {}],
    ['with another size', found, { ...whole, size: size + 1 }, {}],
    ['that was found wrong as it is', found, whole, { refused: found.changedAt }],
    ['that is in use already', found, { ...whole, borrowed: true }, { borrowedAt: found.changedAt }],
    ['that a node before this one used', found, { ...whole, borrowed: true }, {}],
  ])('%s is left alone', (_, found, held, more) => {
    expect(judge(found, held, { ...usual, ...more }).do).toBe('leave')
  })

  test('that was found wrong is looked at again once it is another one', () => {
    expect(judge(found, whole, { ...usual, refused: found.changedAt - 1 }).do).toBe('borrow')
  })

  test('has to lie there for a while, for an engine may throw layers away as soon as they are unpacked', () => {
    const at = (age: number) => judge({ ...found, changedAt: now - age }, whole, usual)
    expect(at(settleMs - 1)).toEqual({ do: 'wait', ms: 1 })
    expect(at(0)).toEqual({ do: 'wait', ms: settleMs })
    expect(at(settleMs).do).toBe('borrow')
  })

  test('with a time in the future does not wait for that', () => {
    expect(judge({ ...found, changedAt: now + 3600_000 }, whole, usual).do).toBe('borrow')
  })

  test('of a blob that was pinned since is copied, for the engine may remove it at any time', () => {
    const borrowed = { ...whole, borrowed: true }
    const pinned = { ...usual, borrowedAt: found.changedAt, pinned: true }
    expect(judge(found, borrowed, pinned)).toEqual({ do: 'take back' })
  })

  test('that became another one is given back', () => {
    const borrowed = { ...whole, borrowed: true }
    expect(judge(found, borrowed, { ...usual, borrowedAt: found.changedAt - 1 }).do).toBe('give back')
    expect(judge({ ...found, size: 1 }, borrowed, usual).do).toBe('give back')
  })
})
