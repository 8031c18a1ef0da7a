import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { digestOf } from '../oci/digest.ts'
import type { Extent } from '../tar/entry.ts'
import { Chunker } from './chunker.ts'
import { chunkBytes, chunkDigest } from './layer-index.ts'

const content = Buffer.alloc(chunkBytes * 3 + 777, 'all work and no play ').map((byte, i) => byte ^ (i >> 9))

/** The chunks of a file that lies in the layer as the extents say, its data handed over in parts of `step`. */
function chunksOf(extents: readonly Extent[], step: number) {
  const chunker = new Chunker()
  chunker.file(extents)
  for (const { offset, length } of extents)
    for (let i = 0; i < length; i += step)
      chunker.data(content.subarray(offset + i, offset + Math.min(length, i + step)))
  const chunks = chunker.chunks()
  return Array.from({ length: chunks.count }, (_, i) => ({
    start: chunks.starts[i]!,
    length: chunks.lengths[i]!,
    digest: `sha256:${chunkDigest(chunks, i).toHex()}`,
  }))
}

describe('Chunker', () => {
  test('cuts a file at multiples of the chunk length from its start, wherever it lies', () => {
    for (const at of [0, 512, 123_456])
      expect(chunksOf([{ offset: 0, at, length: content.length }], 100_000)).toEqual(
        [0, 1, 2, 3].map((i) => {
          const bytes = content.subarray(i * chunkBytes, (i + 1) * chunkBytes)
          return { start: at + i * chunkBytes, length: bytes.length, digest: digestOf(bytes) }
        }),
      )
  })

  test('gives the same chunks however the data are handed over', () => {
    const extents = [
      { offset: 0, at: 512, length: 10 },
      { offset: 100_000, at: 1024, length: chunkBytes * 2 + 5 },
      { offset: content.length - 9, at: 2_000_000, length: 9 },
    ]
    const whole = chunksOf(extents, content.length)
    expect(whole.map(({ start, length }) => [start, length])).toEqual([
      [512, 10],
      [1024, chunkBytes - 100_000],
      [1024 + chunkBytes - 100_000, chunkBytes],
      [1024 + 2 * chunkBytes - 100_000, 100_005],
      [2_000_000, 9],
    ])
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300_000 }), (step) => expect(chunksOf(extents, step)).toEqual(whole)),
      { numRuns: 10 },
    )
  })

  test('has no chunk of a file that is empty or nothing but a hole', () => {
    expect(chunksOf([], 1)).toEqual([])
    expect(
      chunksOf(
        [
          { offset: 0, at: 512, length: 0 },
          { offset: 5, at: 512, length: 3 },
        ],
        1,
      ),
    ).toHaveLength(1)
  })
})
