import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { constants, createGzip, deflateRawSync, gunzipSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { Failure } from '../failure.ts'
import { GzipResume } from './gzip-resume.ts'
import { GzipScan } from './gzip-scan.ts'
import { type Points, packedWindow } from './points.ts'
import type { Spacing } from './spacing.ts'
import { spanOf } from './span.ts'
import { unpackWindow } from './window.ts'

// What fails here fails soon; a machine that is busy with other things takes its time.
setDefaultTimeout(60_000)

const near: Spacing = { compressed: 2048, unpacked: 16 * 1024 }

/** Text-like bytes that refer far back: what a window is for. */
function written(seed: number, length: number): Buffer {
  let state = seed >>> 0 || 1
  const next = () => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9
    return (state ^ (state >>> 13)) >>> 0
  }
  const words = Array.from({ length: 3000 }, () =>
    next()
      .toString(36)
      .repeat(1 + (next() % 4)),
  )
  const parts: string[] = []
  for (let size = 0; size < length; ) {
    const word = words[next() % words.length]!
    parts.push(word)
    size += word.length
  }
  return Buffer.from(parts.join('')).subarray(0, length)
}

function scan(gz: Uint8Array, step = 10_000, spacing = near): { points: Points; unpacked: Buffer } {
  const parts: Buffer[] = []
  let at = 0
  using scanning = new GzipScan((where, bytes) => {
    expect(where).toBe(at)
    at += bytes.length
    parts.push(Buffer.from(bytes))
  }, spacing)
  for (let i = 0; i < gz.length; i += step) scanning.push(gz.subarray(i, i + step))
  return { points: scanning.end(), unpacked: Buffer.concat(parts) }
}

/** The unpacked bytes from `start` to before `end`, with nothing but the span's compressed bytes in hand. */
function take(gz: Uint8Array, size: number, points: Points, start: number, end: number, step: number): Buffer {
  const span = spanOf(points, { size, compressedSize: gz.length }, start, end)
  const parts: Buffer[] = []
  const window = unpackWindow(packedWindow(points, span.point))
  using resume = new GzipResume(span.at, points.bits[span.point]!, window, (_, bytes) => parts.push(Buffer.from(bytes)))
  for (let i = span.from; i < span.to; i += step) resume.push(gz.slice(i, Math.min(span.to, i + step)))
  const whole = Buffer.concat(parts)
  expect(whole.length).toBe(span.until - span.at)
  return whole.subarray(start - span.at, end - span.at)
}

const content = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.nat(), fc.integer({ min: 1, max: 250_000 })).map(([s, n]) => written(s, n)) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 400_000 }).map((n) => Buffer.alloc(n, 'abc')) },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 1, max: 200_000 }).map((n) => crypto.getRandomValues(Buffer.alloc(n % 65_536 || 1))),
  },
)
const packing = fc.record({
  level: fc.integer({ min: 0, max: 9 }),
  strategy: fc.constantFrom(
    constants.Z_DEFAULT_STRATEGY,
    constants.Z_FIXED,
    constants.Z_HUFFMAN_ONLY,
    constants.Z_RLE,
    constants.Z_FILTERED,
  ),
  memLevel: fc.integer({ min: 1, max: 9 }),
})

describe('GzipScan', () => {
  test('unpacks what gzip packed, whatever its level and however it arrives', () => {
    fc.assert(
      fc.property(content, packing, fc.integer({ min: 1, max: 70_000 }), (bytes, options, step) => {
        expect(scan(gzipSync(bytes, options), step).unpacked.equals(bytes)).toBe(true)
      }),
      { numRuns: 25 },
    )
  })

  test('takes the same points however the stream is cut on its way', () => {
    const gz = gzipSync(written(7, 1_000_000), { memLevel: 4 })
    const { points } = scan(gz, 1 << 20)
    expect(points.count).toBeGreaterThan(10)
    for (const step of [1009, 65_536, 333_333]) expect(scan(gz, step).points).toEqual(points)
  })

  test('keeps a small part of the windows', () => {
    const { points } = scan(gzipSync(written(3, 2_000_000)), 1 << 20, { compressed: 128 * 1024, unpacked: 1 << 20 })
    expect(points.count).toBeGreaterThan(3)
    expect(points.windows.length / points.count).toBeLessThan(20 * 1024)
  })

  const whole = gzipSync(written(5, 300_000))
  const refused = (gz: Uint8Array, message: RegExp) => {
    try {
      scan(gz)
    } catch (error) {
      expect(error).toBeInstanceOf(Failure)
      expect((error as Failure).code).toBe('corrupt')
      expect((error as Failure).message).toMatch(message)
      return
    }
    throw new Error('nothing was refused')
  }

  test('refuses a stream that ends too early, wherever that is', () => {
    for (const length of [0, 1, 9, 10, 50_000, whole.length - 9, whole.length - 8, whole.length - 1])
      refused(whole.subarray(0, length), /ends too early/)
  })

  test('refuses a stream whose checksum or length is another', () => {
    for (const back of [8, 4]) {
      const bad = Uint8Array.from(whole)
      bad[bad.length - back]! ^= 1
      refused(bad, /damaged/)
    }
  })

  test('refuses what follows the last member and is no gzip', () => {
    refused(Buffer.concat([whole, Buffer.from('more of it than a header')]), /follow the last gzip member/)
    refused(Buffer.concat([whole, Buffer.alloc(512)]), /follow the last gzip member/)
    refused(Buffer.concat([whole, Buffer.from([0x1f])]), /ends too early/)
  })

  test('says that what is no gzip is none', () =>
    refused(Buffer.from('no gzip at all, from the first byte'), /damaged/))
})

describe('GzipResume', () => {
  test('unpacks any span as the whole has it, from nothing but the bytes of the span', () => {
    fc.assert(
      fc.property(
        content,
        packing,
        fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 1, max: 90_000 })), {
          minLength: 1,
          maxLength: 8,
        }),
        fc.integer({ min: 1, max: 40_000 }),
        (bytes, options, spans, step) => {
          const gz = gzipSync(bytes, options)
          const { points } = scan(gz)
          for (const [where, length] of spans) {
            const start = Math.min(bytes.length - 1, Math.floor(where * bytes.length))
            const end = Math.min(bytes.length, start + length)
            expect(take(gz, bytes.length, points, start, end, step).equals(bytes.subarray(start, end))).toBe(true)
          }
        },
      ),
      { numRuns: 30 },
    )
  })

  test('goes past the ends of members, empty ones among them', () => {
    const parts = [written(1, 90_000), Buffer.alloc(0), written(2, 5), Buffer.alloc(0), written(3, 120_000)]
    const bytes = Buffer.concat(parts)
    const gz = Buffer.concat(parts.map((part) => gzipSync(part)))
    expect(gunzipSync(gz).equals(bytes)).toBe(true)
    const { points, unpacked } = scan(gz, 100)
    expect(unpacked.equals(bytes)).toBe(true)
    for (const step of [1, 7, 1 << 20])
      for (const [start, end] of [
        [0, bytes.length],
        [89_999, 90_006],
        [90_004, bytes.length],
        [bytes.length - 1, bytes.length],
      ] as const)
        expect(take(gz, bytes.length, points, start, end, step).equals(bytes.subarray(start, end))).toBe(true)
  })

  test('begins in streams that were flushed again and again, as parallel and rsyncable gzips are', async () => {
    const bytes = written(11, 600_000)
    for (const gz of [
      await flushed(bytes, constants.Z_SYNC_FLUSH, 37_001),
      await flushed(bytes, constants.Z_FULL_FLUSH, 5003),
      await flushed(bytes, constants.Z_PARTIAL_FLUSH, 5003),
      joined(bytes, 37_001),
    ]) {
      expect(gunzipSync(gz).equals(bytes)).toBe(true)
      const { points, unpacked } = scan(gz)
      expect(unpacked.equals(bytes)).toBe(true)
      for (let start = 0; start < bytes.length; start += 41_003) {
        const end = Math.min(bytes.length, start + 10_000)
        expect(take(gz, bytes.length, points, start, end, 5000).equals(bytes.subarray(start, end))).toBe(true)
      }
    }
  })
})

/** A gzip that was flushed after every so many bytes, as a writer does that wants all of it sent. */
async function flushed(bytes: Buffer, kind: number, step: number): Promise<Buffer> {
  const gzip = createGzip()
  const parts: Buffer[] = []
  gzip.on('data', (part: Buffer) => parts.push(part))
  const ended = new Promise((resolve) => gzip.on('end', resolve))
  for (let i = 0; i < bytes.length; i += step) {
    gzip.write(bytes.subarray(i, i + step))
    await new Promise<void>((resolve) => gzip.flush(kind, () => resolve()))
  }
  gzip.end()
  await ended
  return Buffer.concat(parts)
}

/** A gzip of parts that know nothing of each other and end on a byte, as a parallel writer makes it. */
function joined(bytes: Buffer, step: number): Buffer {
  const parts: Buffer[] = [Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3])]
  for (let i = 0; i < bytes.length; i += step)
    parts.push(deflateRawSync(bytes.subarray(i, i + step), { finishFlush: constants.Z_SYNC_FLUSH }))
  parts.push(deflateRawSync(Buffer.alloc(0)))
  const trailer = Buffer.alloc(8)
  trailer.writeUInt32LE(Bun.hash.crc32(bytes), 0)
  trailer.writeUInt32LE(bytes.length, 4)
  return Buffer.concat([...parts, trailer])
}
