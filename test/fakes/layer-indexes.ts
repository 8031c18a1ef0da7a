/** Indexes for tests, of any shape that a layer could give. */
import fc from 'fast-check'
import { chunkBytes, type LayerIndex } from '../../src/layer-index/layer-index.ts'
import { digestOf } from '../../src/oci/digest.ts'

const digest = fc.uint8Array({ minLength: 1, maxLength: 8 }).map((bytes) => digestOf(bytes))

export const someIndex: fc.Arbitrary<LayerIndex> = fc
  .record({
    layer: digest,
    diffId: digest,
    compression: fc.constantFrom('none', 'gzip', 'zstd'),
    metadata: fc.uint8Array({ maxLength: 3000 }),
    chunks: fc.array(fc.tuple(fc.nat(2 ** 33), fc.integer({ min: 1, max: chunkBytes }), fc.nat(255)), {
      maxLength: 40,
    }),
    points: fc.array(fc.tuple(fc.integer({ min: 1, max: 2 ** 31 }), fc.integer({ min: 1, max: 2 ** 31 }), fc.nat(7)), {
      minLength: 1,
      maxLength: 20,
    }),
    windows: fc.array(fc.uint8Array({ maxLength: 90 }), { minLength: 20, maxLength: 20 }),
    further: fc.nat(2 ** 32),
  })
  .map(({ layer, diffId, compression, metadata, chunks, points, windows, further }): LayerIndex => {
    const starts = new Float64Array(chunks.length)
    let end = 0
    chunks.forEach(([gap, length], i) => {
      starts[i] = end + gap
      end += gap + length
    })
    const packed = compression !== 'none'
    const taken = packed ? points : []
    const sums = (column: (i: number) => number) => {
      let sum = 0
      return Float64Array.from(taken, (_, i) => {
        sum += column(i)
        return sum
      })
    }
    const at = sums((i) => (i === 0 ? 0 : taken[i]![0]))
    const from = sums((i) => taken[i]![1])
    const size = Math.max(end, at.at(-1) ?? 0) + further
    return {
      layer,
      diffId: packed ? diffId : layer,
      compression,
      compressedSize: packed ? (from.at(-1) ?? 0) + further : size,
      size,
      metadata,
      chunks: {
        count: chunks.length,
        starts,
        lengths: Uint32Array.from(chunks, ([, length]) => length),
        digests: Uint8Array.from(chunks.flatMap(([, , byte]) => Array.from({ length: 32 }, () => byte))),
      },
      points: {
        count: taken.length,
        at,
        from,
        bits: Uint8Array.from(taken, ([, , bits]) => bits),
        windows: Uint8Array.from(taken.flatMap((_, i) => [...windows[i]!])),
        windowEnds: sums((i) => windows[i]!.length),
      },
    }
  })
