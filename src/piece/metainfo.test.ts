import { describe, expect, test } from 'bun:test'
import { digestOf } from '../oci/digest.ts'
import { layoutOf, pieceBytes, pieceStart } from './layout.ts'
import { Metainfo, pieceDigest, pieceDigestBytes, type Segment, segmentPayload } from './metainfo.ts'

const size = 1024 * 1024 + 100
const blob = new Uint8Array(size).map((_, i) => ((i * 31) >> 8) + (i >> 18))
const digest = digestOf(blob)
const layout = layoutOf(size)
const piece = (i: number) => blob.subarray(pieceStart(layout, i), pieceStart(layout, i) + pieceBytes(layout, i))

function segment(first: number, count: number, signer = 'a'): Segment {
  const digests = new Uint8Array(count * pieceDigestBytes)
  for (let i = 0; i < count; i++) digests.set(pieceDigest(piece(first + i)), i * pieceDigestBytes)
  return { first, digests, signer, signature: new Uint8Array(64) }
}

test('nothing verifies before its digest was stated', () => {
  const metainfo = new Metainfo(digest, layout)
  expect(metainfo.digestOf(0)).toBeUndefined()
  expect(metainfo.verify(0, piece(0))).toBe(false)
})

test('a stated piece verifies with its own bytes only', () => {
  const metainfo = new Metainfo(digest, layout)
  expect(metainfo.add(segment(1, 2))).toBe('new')
  expect(metainfo.verify(1, piece(1))).toBe(true)
  expect(metainfo.verify(1, piece(2))).toBe(false)
  expect(metainfo.verify(1, piece(1).subarray(1))).toBe(false)
  expect(metainfo.verify(0, piece(0))).toBe(false)
  expect([...metainfo.known.indexes()]).toEqual([1, 2])
})

test('a segment agrees when all that it states is known, and the same', () => {
  const metainfo = new Metainfo(digest, layout)
  metainfo.add(segment(0, 3))
  expect(metainfo.agrees(segment(1, 2))).toBe(true)
  expect(metainfo.agrees(segment(2, 2))).toBe(false)
  const lie = segment(0, 2)
  lie.digests[40]! ^= 1
  expect(metainfo.agrees(lie)).toBe(false)
  expect(metainfo.agrees({ first: 0, digests: new Uint8Array(0) })).toBe(false)
  expect(metainfo.agrees({ first: 0, digests: new Uint8Array(31) })).toBe(false)
})

test('a blob of one piece vouches for itself by its name', () => {
  const bytes = new TextEncoder().encode('small')
  const metainfo = new Metainfo(digestOf(bytes), layoutOf(bytes.length))
  expect(metainfo.verify(0, bytes)).toBe(true)
  expect(metainfo.verify(0, new TextEncoder().encode('Small'))).toBe(false)
})

test('the name of a sha512 blob says nothing about its pieces', () => {
  const bytes = new TextEncoder().encode('small')
  const metainfo = new Metainfo(digestOf(bytes, 'sha512'), layoutOf(bytes.length))
  expect(metainfo.known.count).toBe(0)
})

describe('a segment', () => {
  test('that says what is known is not kept twice', () => {
    const metainfo = new Metainfo(digest, layout)
    metainfo.add(segment(0, 3))
    expect(metainfo.add(segment(1, 2, 'b'))).toBe('known')
    expect(metainfo.segments).toHaveLength(1)
  })

  test('that overlaps and adds is kept, and pieces keep their first signer', () => {
    const metainfo = new Metainfo(digest, layout)
    metainfo.add(segment(0, 2, 'a'))
    expect(metainfo.add(segment(1, 2, 'b'))).toBe('new')
    expect([0, 1, 2, 3].map((i) => metainfo.signerOf(i))).toEqual(['a', 'a', 'b', undefined])
  })

  test('that contradicts is refused whole', () => {
    const metainfo = new Metainfo(digest, layout)
    metainfo.add(segment(1, 1))
    const lie = segment(0, 2, 'liar')
    lie.digests[pieceDigestBytes]! ^= 1
    expect(metainfo.add(lie)).toBe('conflict')
    expect(metainfo.known.has(0)).toBe(false)
    expect(metainfo.verify(1, piece(1))).toBe(true)
  })

  test.each([
    ['of no piece', { first: 0, digests: new Uint8Array() }],
    ['cut inside a digest', { first: 0, digests: new Uint8Array(33) }],
    ['before the blob', { first: -1, digests: new Uint8Array(32) }],
    ['past the blob', { first: layout.count, digests: new Uint8Array(32) }],
    ['across the end', { first: layout.count - 1, digests: new Uint8Array(64) }],
    ['between two pieces', { first: 0.5, digests: new Uint8Array(32) }],
    ['nowhere', { first: Number.NaN, digests: new Uint8Array(32) }],
  ])('%s is malformed', (_, broken) => {
    const metainfo = new Metainfo(digest, layout)
    expect(metainfo.add({ ...broken, signer: 'a', signature: new Uint8Array(64) })).toBe('malformed')
    expect(metainfo.known.count).toBe(0)
    expect(metainfo.segments).toHaveLength(0)
  })
})

describe('true statements that repeat each other', () => {
  const wide = layoutOf(1024 * 1024 * 1024)
  const all = new Uint8Array(wide.count * pieceDigestBytes).map((_, i) => i * 7)
  const run = (from: number, to: number): Segment => ({
    first: from,
    digests: all.subarray(from * pieceDigestBytes, to * pieceDigestBytes),
    signer: 'a',
    signature: new Uint8Array(64),
  })
  const kept = ({ segments }: Metainfo) =>
    segments.reduce((sum, { digests }) => sum + digests.length / pieceDigestBytes, 0) / wide.count
  /** One piece more each time, up to `to`. */
  const stairs = (metainfo: Metainfo, to: number) => {
    for (let end = 1; end <= to; end++) metainfo.add(run(0, end))
  }

  test('are kept up to some digests for each piece, not to the square of them', () => {
    const metainfo = new Metainfo(digest, wide)
    stairs(metainfo, wide.count)
    expect(kept(metainfo)).toBeLessThan(36)
  })

  test('do not keep out what is stated as a source is read, though every piece but the last of each is known', () => {
    const metainfo = new Metainfo(digest, wide)
    stairs(metainfo, 500)
    for (let i = 0; i < wide.count; i += 32) metainfo.add(run(i, Math.min(i + 31, wide.count)))
    expect(metainfo.known.complete).toBe(false)
    for (let i = 0; i < wide.count; i += 32) metainfo.add(run(i, Math.min(i + 32, wide.count)))
    expect(metainfo.known.complete).toBe(true)
  })

  test('of two nodes that read the source by turns are all kept', () => {
    const metainfo = new Metainfo(digest, wide)
    for (let i = 0; i + 200 <= wide.count; i += 100) expect(metainfo.add(run(i, i + 200))).toBe('new')
    expect(metainfo.add(run(0, wide.count))).toBe('new')
    expect(metainfo.known.complete).toBe(true)
  })
})

test('a signature covers the blob, the way it is cut, the place and the digests', () => {
  const { digests } = segment(0, 1)
  const other = digestOf(new Uint8Array(1))
  const payloads = [
    segmentPayload(digest, layout, 0, digests),
    segmentPayload(other, layout, 0, digests),
    segmentPayload(digest, { ...layout, pieceLength: 1 }, 0, digests),
    segmentPayload(digest, { ...layout, size: 1 }, 0, digests),
    segmentPayload(digest, layout, 1, digests),
    segmentPayload(digest, layout, 0, segment(1, 1).digests),
  ].map((payload) => Buffer.from(payload).toString('base64'))
  expect(new Set(payloads).size).toBe(payloads.length)
})
