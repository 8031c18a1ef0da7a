import { describe, expect, test } from 'bun:test'
import { seededRandom } from '../../clock.ts'
import { Bitmap } from '../../piece/bitmap.ts'
import { type PieceView, pick } from './picker.ts'

const count = 40

function view(init: Partial<PieceView> & { rare?: Record<number, number>; taken?: number[] } = {}): PieceView {
  const { rare = {}, taken = [], ...rest } = init
  const free = Bitmap.full(count)
  for (const piece of taken) free.clear(piece)
  const availability = new Uint16Array(count).fill(9)
  for (const [piece, holders] of Object.entries(rare)) availability[Number(piece)] = holders
  return { free, availability, readers: [], urgentPieces: 2, windowPieces: 10, ...rest }
}

/** What is picked with a hundred different dice. */
function picked(of: PieceView, held = Bitmap.full(count)): number[] {
  const seen = new Set<number | undefined>()
  for (let seed = 0; seed < 100; seed++) seen.add(pick(of, held, seededRandom(seed)))
  return [...seen].map((piece) => piece ?? -1).sort((a, b) => a - b)
}

test('the rarest piece goes first', () => {
  expect(picked(view({ rare: { 31: 2, 7: 3 } }))).toEqual([31])
})

test('pieces that are as rare as each other are chosen by chance', () => {
  expect(picked(view({ rare: { 5: 1, 17: 1, 39: 1 } }))).toEqual([5, 17, 39])
  expect(picked(view()).length).toBeGreaterThan(count / 2)
})

test('the same dice give the same piece', () => {
  expect(pick(view(), Bitmap.full(count), seededRandom(4))).toBe(pick(view(), Bitmap.full(count), seededRandom(4))!)
})

test('only what is free and held by the parent is picked', () => {
  const held = new Bitmap(count)
  for (const piece of [3, 4, 5]) held.set(piece)
  expect(picked(view({ taken: [4] }), held)).toEqual([3, 5])
  expect(picked(view({ taken: [3, 4, 5] }), held)).toEqual([-1])
  expect(picked(view(), new Bitmap(count))).toEqual([-1])
})

describe('with a reader', () => {
  test('the pieces it needs at once go before rarer ones', () => {
    expect(picked(view({ readers: [20], rare: { 25: 1, 30: 1 } }))).toEqual([20, 21])
  })

  test('once those are on their way, the rarest in the window ahead goes first', () => {
    const rare = { 25: 2, 35: 1, 3: 1 }
    expect(picked(view({ readers: [20], taken: [20, 21], rare }))).toEqual([25])
  })

  test('what lies beyond the window or behind the reader comes last, the rarest of it first', () => {
    const window = Array.from({ length: 10 }, (_, i) => 20 + i)
    expect(picked(view({ readers: [20], taken: window, rare: { 35: 2, 3: 1 } }))).toEqual([3])
  })

  test('each of several readers has its urgent pieces and its window', () => {
    expect(picked(view({ readers: [5, 30], rare: { 15: 1 } }))).toEqual([5, 6, 30, 31])
    const taken = [5, 6, 30, 31]
    expect(picked(view({ readers: [5, 30], taken, rare: { 8: 3, 33: 2, 20: 1 } }))).toEqual([33])
  })
})
