import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { layoutOf, mostBlobBytes, pieceAt, pieceBytes, pieceStart } from './layout.ts'

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB

describe('the piece length', () => {
  test.each([
    [1, 256 * KiB],
    [16 * MiB, 256 * KiB],
    [16 * MiB + 1, 512 * KiB],
    [512 * MiB, 512 * KiB],
    [512 * MiB + 1, MiB],
    [8 * GiB, MiB],
    [8 * GiB + 1, 2 * MiB],
    [16 * GiB + 1, 4 * MiB],
    [100 * GiB, 4 * MiB],
  ])('of %d bytes is %d', (size, pieceLength) => {
    expect(layoutOf(size).pieceLength).toBe(pieceLength)
  })
})

test('an empty blob has one empty piece', () => {
  const layout = layoutOf(0)
  expect(layout.count).toBe(1)
  expect(pieceBytes(layout, 0)).toBe(0)
  expect(pieceAt(layout, 0)).toBe(0)
})

test('pieces follow each other without gap or overlap and end where the blob ends', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.nat({ max: 64 * MiB }),
        fc.nat({ max: 60 }).map((gib) => gib * GiB + 1),
      ),
      (size) => {
        const layout = layoutOf(size)
        const last = layout.count - 1
        expect(pieceStart(layout, last) + pieceBytes(layout, last)).toBe(size)
        expect(pieceBytes(layout, last)).toBeGreaterThan(size === 0 ? -1 : 0)
        if (last > 0) expect(pieceBytes(layout, last - 1)).toBe(layout.pieceLength)
        if (size > 0) expect(pieceAt(layout, size - 1)).toBe(last)
        expect(pieceAt(layout, pieceStart(layout, last))).toBe(last)
      },
    ),
  )
})

test('the largest blob that is shared has a bitmap of 8 KiB', () => {
  expect(layoutOf(mostBlobBytes).count).toBe(8 * 8192)
})
