import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { sampleLayer, text } from '../../../test/fakes/lazy-node.ts'
import { ChunkCutter, type Head } from './chunk-cutter.ts'
import { ChunkTable } from './chunk-table.ts'

const sample = sampleLayer([text(1, 1000), text(2, 300_000), text(3, 10), text(4, 262_144)], 'none')
const table = new ChunkTable(sample.index.chunks, sample.index.size)

/** Pushes these bytes of the layer in steps, through one buffer that is used again. */
function cut(from: number, to: number, step: number, bytes = sample.unpacked, head?: Head) {
  const [good, wrong, gaps] = [new Map<number, Uint8Array>(), [] as number[], [] as [number, number][]]
  const cutter = new ChunkCutter(
    table,
    from,
    {
      wanted: () => true,
      good: (chunk, bytes) => good.set(chunk, bytes.slice()),
      wrong: (chunk) => wrong.push(chunk),
      gap: (at, bytes) => gaps.push([at, bytes.length]),
    },
    head,
  )
  const buffer = new Uint8Array(step)
  for (let at = from; at < to; at += step) {
    const length = Math.min(step, to - at)
    buffer.set(bytes.subarray(at, at + length))
    cutter.push(buffer.subarray(0, length))
  }
  return { good, wrong, gaps, head: cutter.head(), at: cutter.at }
}

const place = fc.nat(sample.unpacked.length)
const step = fc.integer({ min: 1000, max: 300_000 })

describe('ChunkCutter', () => {
  test('hands out every chunk that is whole in what came, however it is cut, and no other', () => {
    fc.assert(
      fc.property(place, place, step, (a, b, step) => {
        const [from, to] = [Math.min(a, b), Math.max(a, b)]
        const { good, wrong } = cut(from, to, step)
        const inside = [...Array(table.count).keys()].filter((i) => table.start(i) >= from && table.end(i) <= to)
        expect([...good.keys()]).toEqual(inside)
        expect(wrong).toEqual([])
        for (const [i, bytes] of good) {
          expect(Buffer.compare(bytes, sample.unpacked.subarray(table.start(i), table.end(i)))).toBe(0)
        }
      }),
    )
  })

  test('goes on with the head that the bytes before left', () => {
    fc.assert(
      fc.property(place, step, (middle, step) => {
        const first = cut(0, middle, step)
        const second = cut(middle, sample.unpacked.length, step, sample.unpacked, first.head)
        expect([...first.good.keys(), ...second.good.keys()]).toEqual([...Array(table.count).keys()])
      }),
    )
  })

  test('takes no head that ends elsewhere', () => {
    const middle = table.start(1) + 1000
    const { head } = cut(0, middle, 5000)
    expect(head?.chunk).toBe(1)
    const { good, wrong } = cut(middle + 1, sample.unpacked.length, 5000, sample.unpacked, head)
    expect([good.has(1), wrong]).toEqual([false, []])
  })

  test('tells a wrong chunk from all others', () => {
    const bytes = sample.unpacked.slice()
    bytes[table.start(2) + 5]! ^= 1
    const { good, wrong } = cut(0, bytes.length, 7000, bytes)
    expect(wrong).toEqual([2])
    expect(good.size).toBe(table.count - 1)
  })

  test('puts aside what is no chunk, and all of it', () => {
    const { gaps, at } = cut(0, sample.unpacked.length, 100_000)
    expect(gaps.reduce((sum, [, length]) => sum + length, 0)).toBe(table.gapBytes)
    expect(at).toBe(sample.unpacked.length)
  })
})
