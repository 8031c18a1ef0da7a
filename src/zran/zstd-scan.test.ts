import { describe, expect, test } from 'bun:test'
import { constants, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { Failure } from '../failure.ts'
import type { Points } from './points.ts'
import { resume } from './resume.ts'
import { spanOf } from './span.ts'
import { mostFrameBytes, ZstdScan } from './zstd-scan.ts'

const near = { compressed: 1024, unpacked: 16 * 1024 }

function scan(packed: Uint8Array, step: number): { points: Points; unpacked: Buffer } {
  const parts: Buffer[] = []
  using scanning = new ZstdScan((_, bytes) => parts.push(Buffer.from(bytes)), near)
  for (let i = 0; i < packed.length; i += step) scanning.push(packed.subarray(i, i + step))
  return { points: scanning.end(), unpacked: Buffer.concat(parts) }
}

function refusal(packed: Uint8Array, step = 4096): Failure {
  try {
    scan(packed, step)
  } catch (error) {
    if (error instanceof Failure) return error
    throw error
  }
  throw new Error('nothing was refused')
}

const skippable = (bytes: number) => {
  const frame = Buffer.alloc(8 + bytes, 0x5a)
  frame.writeUInt32LE(0x184d2a5e, 0)
  frame.writeUInt32LE(bytes, 4)
  return frame
}
const parts = Array.from({ length: 60 }, (_, i) =>
  i % 7 === 0 ? Buffer.alloc(i * 500) : Buffer.from(`${i} `.repeat(2000 + i * 37) + Math.sin(i)),
)
const bytes = Buffer.concat(parts)
const packed = Buffer.concat([
  ...parts.flatMap((part, i) => [zstdCompressSync(part), ...(i % 9 === 0 ? [skippable(i)] : [])]),
  skippable(100),
])

describe('ZstdScan', () => {
  test('unpacks a stream of frames and skips what may be skipped, however it arrives', () => {
    for (const step of [1, 7, 1000, packed.length]) expect(scan(packed, step).unpacked.equals(bytes)).toBe(true)
  })

  test('has points at frames, from which any span unpacks as the whole has it', () => {
    const { points } = scan(packed, 100)
    expect(points.count).toBeGreaterThan(5)
    const layer = { size: bytes.length, compressedSize: packed.length }
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 50_000 }), (start, length) => {
        const end = Math.min(bytes.length, start + length)
        const span = spanOf(points, layer, start, end)
        const out: Buffer[] = []
        using resumed = resume({ compression: 'zstd', points }, span, (_, part) => out.push(Buffer.from(part)))
        resumed.push(packed.subarray(span.from, span.to))
        const whole = Buffer.concat(out)
        expect(whole.length).toBe(span.until - span.at)
        expect(whole.subarray(start - span.at, end - span.at).equals(bytes.subarray(start, end))).toBe(true)
      }),
    )
  })

  test('says of a layer in one long frame that it has no middle to begin at', () => {
    const random = crypto.getRandomValues(Buffer.alloc(65_536))
    const incompressible = zstdCompressSync(Buffer.concat(Array.from({ length: 200 }, () => random)))
    for (const frame of [zstdCompressSync(Buffer.alloc(mostFrameBytes + 1)), incompressible]) {
      const failure = refusal(frame, 65_536)
      expect(failure.code).toBe('unsupported')
      expect(failure.message).toContain('fetched whole')
    }
    expect(scan(zstdCompressSync(Buffer.alloc(mostFrameBytes)), 4096).unpacked.length).toBe(mostFrameBytes)
  })

  test('refuses a stream that ends too early, is damaged, or goes on with something else', () => {
    const words = Buffer.from('one frame of a few words, one frame of a few words')
    const one = zstdCompressSync(words, { params: { [constants.ZSTD_c_checksumFlag]: 1 } })
    for (let length = 1; length < one.length; length++) expect(refusal(one.subarray(0, length)).code).toBe('corrupt')
    expect(refusal(skippable(10).subarray(0, 17)).message).toContain('ends too early')
    expect(refusal(Buffer.concat([one, Buffer.from('more')])).message).toContain('no frame')
    const damaged = Uint8Array.from(one)
    damaged[one.length - 6]! ^= 0xff
    expect(refusal(damaged).code).toBe('corrupt')
  })

  test('ends with a failure and bounded memory whatever it is fed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(packed.length), (noise, at) => {
        const wrong = Buffer.concat([packed.subarray(0, at), noise, packed.subarray(at)])
        try {
          scan(wrong, 999)
        } catch (error) {
          expect(error).toBeInstanceOf(Failure)
        }
      }),
      { numRuns: 60 },
    )
  })
})
