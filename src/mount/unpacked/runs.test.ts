import { describe, expect, test } from 'bun:test'
import { noPoints, type Points } from '../../zran/points.ts'
import { ChunkTable } from './chunk-table.ts'
import { runsOf } from './runs.ts'

/** Ten chunks of 100 bytes, each behind 100 bytes that are no chunk's. */
const table = new ChunkTable(
  {
    count: 10,
    starts: Float64Array.from({ length: 10 }, (_, i) => 100 + i * 200),
    lengths: new Uint32Array(10).fill(100),
    digests: new Uint8Array(320),
  },
  2000,
)
/** Every 500 unpacked bytes, which take 50 compressed ones. */
const points: Points = {
  count: 4,
  at: Float64Array.from([0, 500, 1000, 1500]),
  from: Float64Array.from([0, 50, 100, 150]),
  bits: new Uint8Array(4),
  windows: new Uint8Array(0),
  windowEnds: new Float64Array(4),
}
const gzip = { table, points, compressedSize: 200 }
const plain = { table, points: noPoints, compressedSize: 2000 }
const alone = { gap: 0, most: 1000 }

describe('runsOf', () => {
  test('asks for the bytes between the points around a chunk', () => {
    expect(runsOf([3], gzip, alone)).toEqual([{ point: 1, from: 50, to: 100, at: 500, until: 1000, chunks: [3] }])
  })

  test('asks once for chunks between the same points, or next to each other', () => {
    expect(runsOf([3, 4], gzip, alone).map(({ from, to }) => [from, to])).toEqual([[50, 100]])
    expect(runsOf([0, 3, 5], gzip, alone).map(({ from, to, chunks }) => [from, to, chunks])).toEqual([
      [0, 150, [0, 3, 5]],
    ])
  })

  test('asks apart for what lies further apart than fetching between is worth', () => {
    expect(runsOf([0, 9], gzip, alone).map(({ from, to }) => [from, to])).toEqual([
      [0, 50],
      [150, 200],
    ])
    expect(runsOf([0, 9], gzip, { gap: 100, most: 1000 }).map(({ from, to }) => [from, to])).toEqual([[0, 200]])
  })

  test('asks for no more at once than is allowed', () => {
    const runs = runsOf([0, 3, 5, 8], gzip, { gap: 0, most: 100 })
    expect(runs.map(({ from, to }) => [from, to])).toEqual([
      [0, 100],
      [100, 200],
    ])
  })

  test('asks for exactly the chunk where a layer is not compressed, and for its rest where its head is here', () => {
    expect(runsOf([2], plain, alone)).toEqual([{ point: -1, from: 500, to: 600, at: 500, until: 600, chunks: [2] }])
    const headed = runsOf([2], plain, alone, () => 540)
    expect(headed[0]).toMatchObject({ from: 540, to: 600, at: 540 })
  })

  test('takes a chunk that lies across a point with what is on both sides', () => {
    const across = new ChunkTable(
      { count: 1, starts: Float64Array.of(450), lengths: Uint32Array.of(100), digests: new Uint8Array(32) },
      2000,
    )
    const [run] = runsOf([0], { ...gzip, table: across }, alone)
    expect(run).toMatchObject({ from: 0, to: 100, at: 0, until: 1000 })
    const [rest] = runsOf([0], { ...gzip, table: across }, alone, () => 500)
    expect(rest).toMatchObject({ from: 50, to: 100, at: 500 })
  })
})
