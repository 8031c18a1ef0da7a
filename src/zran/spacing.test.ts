import { expect, test } from 'bun:test'
import { PointList } from './spacing.ts'
import { packWindow, unpackWindow } from './window.ts'

const none = new Uint8Array(0)

test('points are as far apart as the spacing says, in compressed bytes or in unpacked ones', () => {
  const list = new PointList({ compressed: 100, unpacked: 1000 })
  const taken: number[] = []
  for (const [at, from] of [
    [0, 10],
    [0, 500],
    [999, 109],
    [999, 110],
    [1998, 111],
    [1999, 112],
  ] as const) {
    if (!list.wants(at, from)) continue
    list.add({ at, from, bits: 0, window: none })
    taken.push(at)
  }
  expect(taken).toEqual([0, 999, 1999])
})

test('a layer with more points than are kept has every other one, and they stay ascending', () => {
  const list = new PointList({ compressed: 10, unpacked: 10 }, 8)
  for (let at = 0; at < 2000; at++) {
    if (list.wants(at, at)) list.add({ at, from: at, bits: at % 8, window: Uint8Array.of(at % 256) })
  }
  const { count, at, from, bits, windows, windowEnds } = list.packed()
  expect(count).toBeLessThanOrEqual(8)
  expect(count).toBeGreaterThan(3)
  expect(at[0]).toBe(0)
  expect(from).toEqual(at)
  const gaps = [...at].slice(1).map((place, i) => place - at[i]!)
  expect(Math.min(...gaps)).toBeGreaterThanOrEqual(160)
  expect(Math.max(...gaps)).toBeLessThanOrEqual(640)
  expect([...bits]).toEqual([...at].map((place) => place % 8))
  expect([...windows]).toEqual([...at].map((place) => place % 256))
  expect(windowEnds.at(-1)).toBe(windows.length)
})

test('a window that is longer than a window can be, or none at all, is refused before it takes room', () => {
  expect(unpackWindow(packWindow(new Uint8Array(32_768).fill(7)))).toHaveLength(32_768)
  for (const wrong of [packWindow(new Uint8Array(32_769)), packWindow(new Uint8Array(2 ** 27)), Uint8Array.of(1, 2, 3)])
    expect(() => unpackWindow(wrong)).toThrow('cannot be unpacked')
})
