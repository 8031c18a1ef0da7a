import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Bitmap } from './bitmap.ts'

test('bit i is bit i mod 8 of byte i div 8, lowest first', () => {
  const bitmap = new Bitmap(10)
  bitmap.set(0)
  bitmap.set(9)
  expect([...bitmap.bytes]).toEqual([0b1, 0b10])
})

test('bits past the end are neither read from bytes nor counted', () => {
  const bitmap = new Bitmap(10, new Uint8Array([0xff, 0xff, 0xff]))
  expect(bitmap.count).toBe(10)
  expect(bitmap.complete).toBe(true)
  expect([...bitmap.bytes]).toEqual([0xff, 0b11])
  expect(bitmap.has(10)).toBe(false)
})

test('bytes that are too few leave the rest missing', () => {
  const bitmap = new Bitmap(20, new Uint8Array([0xff]))
  expect(bitmap.count).toBe(8)
  expect(bitmap.nextMissing(0)).toBe(8)
})

test('a bitmap does not share the bytes it was made from', () => {
  const bytes = new Uint8Array(1)
  const bitmap = new Bitmap(8, bytes)
  const copy = bitmap.copy()
  bitmap.set(3)
  expect(bytes[0]).toBe(0)
  expect(copy.has(3)).toBe(false)
})

test('a full bitmap is complete and has nothing missing', () => {
  const bitmap = Bitmap.full(13)
  expect(bitmap.complete).toBe(true)
  expect(bitmap.nextMissing(0)).toBe(13)
})

describe('an index outside', () => {
  test.each([-1, -8, 10, 16, Number.MAX_SAFE_INTEGER])('%d is not there and cannot be set', (index) => {
    const bitmap = new Bitmap(10)
    expect(bitmap.set(index)).toBe(false)
    expect(bitmap.has(index)).toBe(false)
    expect(bitmap.clear(index)).toBe(false)
    expect(bitmap.count).toBe(0)
  })
  test('is not what is missing next', () => {
    expect(new Bitmap(10).nextMissing(-5)).toBe(0)
    expect(new Bitmap(10).nextMissing(99)).toBe(10)
  })
})

test('a bitmap behaves as a set of numbers', () => {
  const length = 70
  const step = fc.record({ index: fc.nat({ max: length + 5 }), set: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.nat({ max: length }), (steps, from) => {
      const bitmap = new Bitmap(length)
      const model = new Set<number>()
      for (const { index, set } of steps) {
        if (set) expect(bitmap.set(index)).toBe(index < length && !model.has(index))
        else expect(bitmap.clear(index)).toBe(model.has(index))
        if (set && index < length) model.add(index)
        if (!set) model.delete(index)
      }
      expect([...bitmap.indexes()]).toEqual([...model].sort((a, b) => a - b))
      expect(bitmap.count).toBe(model.size)
      let missing = from
      while (missing < length && model.has(missing)) missing++
      expect(bitmap.nextMissing(from)).toBe(missing)
      expect(new Bitmap(length, bitmap.bytes).count).toBe(model.size)
    }),
  )
})
