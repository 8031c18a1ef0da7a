import { beforeEach, expect, test } from 'bun:test'
import { Telling } from './telling.ts'

let told: { parent: string; pieces: number[]; all: boolean }[]
let telling: Telling
let due: number[]
const download = { aimed: () => due[Symbol.iterator]() as Generator<number> }
beforeEach(() => {
  told = []
  due = []
  telling = new Telling((parent, pieces, all) => told.push({ parent, pieces: [...pieces], all }))
})

test('those through whom a blob comes are told what is needed, once, and the others are not', () => {
  telling.parent('holder', false, false)
  telling.parent('reader', true, true)
  due = [5, 2]
  telling.told(download, true)
  telling.told(download, true)
  expect(told).toEqual([{ parent: 'reader', pieces: [5, 2], all: false }])
  due = [2]
  telling.told(download, true)
  expect(told.at(-1)!.pieces).toEqual([2])
})

test('who brings only what is needed hears also that nothing is, for then it knows that somebody is there', () => {
  telling.parent('reader', true, true)
  telling.told(download, true)
  expect(told).toEqual([{ parent: 'reader', pieces: [], all: false }])
})

test('who brings all of it in order hears only of what is waited for', () => {
  telling.parent('reader', true, false)
  telling.told(download, false)
  expect(told).toEqual([])
  due = [9]
  telling.told(download, false)
  due = []
  telling.told(download, false)
  expect(told.map(({ pieces }) => pieces)).toEqual([[9], []])
})

test('a node that wants all of a blob says so to who brings only parts', () => {
  telling.parent('reader', true, true)
  telling.told(download, false)
  expect(told).toEqual([{ parent: 'reader', pieces: [], all: true }])
})

test('who begins anew is told anew, and who left is told nothing', () => {
  telling.parent('reader', true, true)
  due = [1]
  telling.told(download, true)
  telling.parent('reader', true, true)
  telling.told(download, true)
  expect(told).toHaveLength(2)
  telling.left('reader')
  due = [2]
  telling.told(download, true)
  expect(told).toHaveLength(2)
})
