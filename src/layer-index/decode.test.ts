import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { someIndex } from '../../test/fakes/layer-indexes.ts'
import { Failure } from '../failure.ts'
import { decodeIndex } from './decode.ts'
import { encodeIndex, preambleBytes } from './encode.ts'
import { chunkAfter, type LayerIndex } from './layer-index.ts'

const [index] = fc.sample(
  someIndex.filter(({ compression, chunks, points }) => compression === 'gzip' && chunks.count > 5 && points.count > 5),
  { numRuns: 1, seed: 4 },
) as [LayerIndex]

function refusal(bytes: Uint8Array): Failure {
  try {
    decodeIndex(bytes)
  } catch (error) {
    if (error instanceof Failure) return error
    throw error
  }
  throw new Error('it was read')
}

/** The same index with other facts than it was written with. */
function restated(change: (facts: Record<string, unknown>) => void): Uint8Array {
  const bytes = encodeIndex(index)
  const end = preambleBytes + new DataView(bytes.buffer, bytes.byteOffset).getUint32(12, true)
  const facts = JSON.parse(new TextDecoder().decode(bytes.subarray(preambleBytes, end)))
  change(facts)
  const text = new TextEncoder().encode(JSON.stringify(facts))
  const head = bytes.slice(0, preambleBytes)
  new DataView(head.buffer).setUint32(12, text.length, true)
  return Buffer.concat([head, text, bytes.subarray(end)])
}

describe('decodeIndex', () => {
  test('reads what was written', () => {
    fc.assert(fc.property(someIndex, (some) => expect(decodeIndex(encodeIndex(some))).toEqual(some)))
  })

  test('reads an index wherever it lies in its buffer', () => {
    const bytes = encodeIndex(index)
    const shifted = new Uint8Array(bytes.length + 3)
    shifted.set(bytes, 3)
    expect(decodeIndex(shifted.subarray(3))).toEqual(index)
  })

  test('refuses one that was cut off, or has more at its end', () => {
    const bytes = encodeIndex(index)
    for (let length = 0; length < bytes.length; length += 1 + (length >> 4))
      expect(refusal(bytes.subarray(0, length)).code).toBe('corrupt')
    expect(refusal(Buffer.concat([bytes, Buffer.from('x')])).code).toBe('corrupt')
  })

  test('names the version it cannot read', () => {
    const bytes = encodeIndex(index)
    bytes[8] = 9
    expect(refusal(bytes)).toMatchObject({ code: 'unsupported', message: expect.stringContaining('version 9') })
  })

  test('never makes room for more than its limits, whatever the index says it has', () => {
    for (const change of [
      (facts) => Object.assign(facts, { chunks: 2 ** 40 }),
      (facts) => Object.assign(facts, { chunks: 2 ** 21 }),
      (facts) => Object.assign(facts, { points: 65_537 }),
      (facts) => Object.assign(facts, { points: 65_536 }),
      (facts) => Object.assign(facts, { size: -1 }),
      (facts) => Object.assign(facts, { size: 1.5 }),
      (facts) => Object.assign(facts, { compressedSize: 1 }),
      (facts) => Object.assign(facts, { size: 1 }),
      (facts) => Object.assign(facts, { compression: 'none' }),
      (facts) => Object.assign(facts, { layer: 'sha256:abc' }),
      (facts) => Object.assign(facts, { sections: {} }),
      (facts) =>
        Object.assign(facts, { sections: { ...(facts.sections as object), metadata: { packed: 9e15, unpacked: 1 } } }),
      (facts) =>
        Object.assign(facts, {
          sections: { ...(facts.sections as object), metadata: { packed: 10, unpacked: 2 ** 31 } },
        }),
      (facts) => Object.assign(facts, { more: 'x'.repeat(5000) }),
    ] satisfies ((facts: Record<string, unknown>) => void)[])
      expect(refusal(restated(change)).code).toBe('corrupt')
  })

  test('reads or refuses damaged ones, and what it reads leads nowhere outside of the layer', () => {
    const bytes = encodeIndex(index)
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        (changes) => {
          const damaged = Uint8Array.from(bytes)
          for (const [at, value] of changes) damaged[at] = value
          let read: LayerIndex
          try {
            read = decodeIndex(damaged)
          } catch (error) {
            expect(error).toBeInstanceOf(Failure)
            return
          }
          inside(read)
        },
      ),
      { numRuns: 500 },
    )
  })
})

function inside({ chunks, points, size, compressedSize }: LayerIndex): void {
  let end = 0
  for (let i = 0; i < chunks.count; i++) {
    expect(chunks.starts[i]).toBeGreaterThanOrEqual(end)
    end = chunks.starts[i]! + chunks.lengths[i]!
    expect(end).toBeLessThanOrEqual(size)
  }
  for (let i = 0; i < points.count; i++) {
    expect(points.at[i]).toBeLessThanOrEqual(size)
    expect(points.from[i]).toBeLessThanOrEqual(compressedSize)
    expect(points.windowEnds[i]).toBeLessThanOrEqual(points.windows.length)
  }
}

test('chunkAfter finds the first chunk that ends behind a place', () => {
  const { chunks } = index
  for (let i = 0; i < chunks.count; i++) {
    const [start, end] = [chunks.starts[i]!, chunks.starts[i]! + chunks.lengths[i]!]
    expect(chunkAfter(chunks, start)).toBe(i)
    expect(chunkAfter(chunks, end - 1)).toBe(i)
    expect(chunkAfter(chunks, end)).toBe(i + 1)
  }
  expect(chunkAfter(chunks, 0)).toBe(0)
})
