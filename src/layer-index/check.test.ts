import { describe, expect, test } from 'bun:test'
import { constants, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { someIndex } from '../../test/fakes/layer-indexes.ts'
import { checkIndex } from './check.ts'
import { encodeIndex, maker } from './encode.ts'
import type { LayerIndex } from './layer-index.ts'

const [index] = fc.sample(
  someIndex.filter(({ compression, chunks, points }) => compression === 'gzip' && chunks.count > 5 && points.count > 5),
  { numRuns: 1, seed: 4 },
) as [LayerIndex]

const byAnother = (bytes: Uint8Array) =>
  Buffer.from(
    Buffer.from(bytes)
      .toString('latin1')
      .replace(`{"maker":${maker}`, `{"maker":${maker + 1}`),
    'latin1',
  )

describe('checkIndex', () => {
  test('finds an index right that says what the layer says', () => {
    expect(checkIndex(encodeIndex(index), index)).toBe('right')
    expect(checkIndex(byAnother(encodeIndex(index)), index)).toBe('right')
  })

  test('takes windows for the same that another zstd packed', () => {
    const window = Buffer.from('the same window '.repeat(99))
    const withWindow = (packed: Uint8Array): LayerIndex => ({
      ...index,
      points: { ...index.points, windows: packed, windowEnds: index.points.at.map(() => packed.length) },
    })
    const [ours, theirs] = [zstdCompressSync(window), zstdCompressSync(window.subarray(1))]
    expect(
      checkIndex(
        encodeIndex(withWindow(zstdCompressSync(window, { params: { [constants.ZSTD_c_checksumFlag]: 1 } }))),
        withWindow(ours),
      ),
    ).toBe('right')
    expect(checkIndex(encodeIndex(withWindow(theirs)), withWindow(ours))).toBe('wrong')
  })

  test('finds one wrong that says something else of the layer, whoever made it', () => {
    const { chunks } = index
    const digests = chunks.digests.slice()
    digests[40]! ^= 1
    for (const other of [
      { ...index, diffId: index.layer },
      { ...index, size: index.size + 1 },
      { ...index, chunks: { ...chunks, digests } },
      {
        ...index,
        chunks: {
          ...chunks,
          lengths: chunks.lengths.map((length, i) => (i === 2 && length > 1 ? length - 1 : length)),
          starts: chunks.starts.map((start, i) => (i === 3 ? start + 1 : start)),
        },
      },
    ] satisfies LayerIndex[]) {
      expect(checkIndex(encodeIndex(other), index)).toBe('wrong')
      expect(checkIndex(byAnother(encodeIndex(other)), index)).toBe('wrong')
    }
    expect(checkIndex(new Uint8Array(100), index)).toBe('wrong')
  })

  test('cannot tell of another tree or other points if another release made them', () => {
    for (const other of [
      { ...index, metadata: new Uint8Array(7) },
      { ...index, points: { ...index.points, bits: index.points.bits.map((bits) => (bits + 1) % 8) } },
    ]) {
      expect(checkIndex(encodeIndex(other), index)).toBe('wrong')
      expect(checkIndex(byAnother(encodeIndex(other)), index)).toBe('unknown')
    }
  })
})
