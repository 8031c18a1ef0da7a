import { describe, expect, test } from 'bun:test'
import { noPoints, type Points } from './points.ts'
import { spanOf } from './span.ts'

const points: Points = {
  count: 3,
  at: new Float64Array([0, 1000, 2000]),
  from: new Float64Array([10, 410, 800]),
  bits: new Uint8Array([0, 3, 0]),
  windows: new Uint8Array(0),
  windowEnds: new Float64Array(3),
}
const layer = { size: 2500, compressedSize: 1010 }

describe('spanOf', () => {
  test('takes the bytes between the point before the first wanted byte and the point behind the last', () => {
    expect(spanOf(points, layer, 5, 900)).toEqual({ point: 0, from: 10, to: 410, at: 0, until: 1000 })
    expect(spanOf(points, layer, 5, 1001)).toEqual({ point: 0, from: 10, to: 800, at: 0, until: 2000 })
  })

  test('takes the byte before a point that begins within it', () => {
    expect(spanOf(points, layer, 1000, 1001)).toEqual({ point: 1, from: 409, to: 800, at: 1000, until: 2000 })
  })

  test('goes no further than a point at the end of what is wanted', () => {
    expect(spanOf(points, layer, 999, 1000).to).toBe(410)
  })

  test('goes to the end of the layer behind the last point', () => {
    expect(spanOf(points, layer, 2499, 2500)).toEqual({ point: 2, from: 800, to: 1010, at: 2000, until: 2500 })
  })

  test('is exactly what is wanted of a layer that is not compressed', () => {
    expect(spanOf(noPoints, { size: 100, compressedSize: 100 }, 7, 9)).toEqual({
      point: -1,
      from: 7,
      to: 9,
      at: 7,
      until: 9,
    })
  })
})
