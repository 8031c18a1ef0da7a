import { expect, test } from 'bun:test'
import { Aims, type Run, runsOf } from './aims.ts'

const changedBy = (aims: Aims, who: string, runs: Run[], ahead: Run[] = []) => {
  const changed = new Set<number>()
  aims.set(who, runs, ahead, (piece) => changed.add(piece))
  return [...changed].sort((a, b) => a - b)
}

test('a piece is waited for until the last who waits for it leaves', () => {
  const aims = new Aims(10)
  changedBy(aims, 'ann', [[2, 4]])
  changedBy(aims, 'bob', [[3, 5]])
  changedBy(aims, 'ann', [])
  expect([2, 3, 4].map((piece) => aims.waitedFor(piece))).toEqual([false, true, true])
  changedBy(aims, 'bob', [])
  expect(aims.empty).toBe(true)
  expect(aims.has(3)).toBe(false)
})

test('who aims anew tells of what was and of what is', () => {
  const aims = new Aims(10)
  changedBy(aims, 'ann', [[0, 2]])
  expect(changedBy(aims, 'ann', [[1, 3]], [[5, 6]])).toEqual([0, 1, 2, 5])
  expect([0, 1, 2, 5].map((piece) => aims.has(piece))).toEqual([false, true, true, true])
  expect(aims.waitedFor(5)).toBe(false)
})

test('all have a turn, and what is only worth having comes after what is waited for', () => {
  const aims = new Aims(20)
  changedBy(
    aims,
    'ann',
    [
      [0, 1],
      [2, 3],
    ],
    [[15, 16]],
  )
  changedBy(aims, 'bob', [[8, 9]])
  changedBy(aims, 'cat', [
    [4, 5],
    [6, 7],
    [9, 10],
  ])
  expect([...aims.runs()].map(([from]) => from)).toEqual([0, 8, 4, 2, 6, 9, 15])
})

test('pieces that the blob does not have are left out, whoever names them', () => {
  const aims = new Aims(4)
  expect(
    changedBy(aims, 'ann', [
      [-3, 1],
      [3, 9],
      [7, 8],
      [2, 2],
    ]),
  ).toEqual([0, 3])
  expect([...aims.runs()]).toEqual([
    [0, 1],
    [3, 4],
  ])
})

test('pieces that follow each other are taken together, in the order in which they are wanted', () => {
  expect(runsOf([7, 8, 9, 2, 3, 12, 11])).toEqual([
    [7, 10],
    [2, 4],
    [12, 13],
    [11, 12],
  ])
})
