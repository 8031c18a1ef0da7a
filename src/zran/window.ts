/**
 * A window is 32 KiB, of which the blocks behind its point refer to a part only: some hundreds of bytes to some thousands. The rest
 * is zeroed before it is packed, which makes an index several times smaller.
 *
 * Which bytes those are libz does not tell, but what comes out does: unpacked with a window in which each byte says
 * where it stands, a byte that is copied from the window says where from. Two windows say it whole: the low bits of
 * the place in one, the high ones in the other. No copy reaches the window from further than 32 KiB behind the point.
 */
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { Failure } from '../failure.ts'
import { type Stream, until, wrapping } from './libz.ts'
import { mostWindowBytes } from './points.ts'

/**
 * This much of what follows a point is looked at. Enough for 32 KiB of output unless somebody wrote a stream of empty
 * blocks; its windows stay whole.
 */
export const tailBytes = 64 * 1024

const low = new Uint8Array(mostWindowBytes).map((_, place) => place & 0xff)
/** A byte that is no copy is the same in both; here every copied one has the high bit. */
const high = new Uint8Array(mostWindowBytes).map((_, place) => 0x80 | (place >> 8))

const room = { real: new Uint8Array(mostWindowBytes), low: low.slice(), high: high.slice() }

/**
 * The window with the bytes zeroed that nobody refers to, without what precedes the first one that is needed.
 * `stream` is any raw stream; `tail` are the compressed bytes from the point on, all of them when `whole`.
 */
export function sparse(stream: Stream, window: Uint8Array, bits: number, tail: Uint8Array, whole: boolean): Uint8Array {
  const skipped = mostWindowBytes - window.length
  const length = inflateOnto(stream, room.real, window, bits, tail)
  if (length < mostWindowBytes && !whole) return window
  inflateOnto(stream, room.low, low.subarray(skipped), bits, tail)
  inflateOnto(stream, room.high, high.subarray(skipped), bits, tail)
  const kept = new Uint8Array(window.length)
  let first = window.length
  for (let i = 0; i < length; i++) {
    const a = room.low[i]!
    const b = room.high[i]!
    if (b < 0x80) continue
    const place = (((b & 0x7f) << 8) | a) - skipped
    // A byte that is no copy looks like one sometimes: then one byte more is kept, or none.
    if (place < 0 || place >= window.length || window[place] !== room.real[i]) continue
    kept[place] = window[place]!
    if (place < first) first = place
  }
  return kept.subarray(first)
}

/** Bytes that came out. */
function inflateOnto(stream: Stream, output: Uint8Array, window: Uint8Array, bits: number, tail: Uint8Array): number {
  stream.reset(wrapping.raw)
  stream.begin(bits, bits > 0 ? tail[0]! >> (8 - bits) : 0, window)
  stream.input = bits > 0 ? tail.subarray(1) : tail
  stream.output = output
  stream.inflate(until.full)
  return stream.written
}

export function packWindow(window: Uint8Array): Uint8Array {
  return window.length === 0 ? window : zstdCompressSync(window)
}

/** @throws {Failure} `corrupt` when it is no packed window, or more than one */
export function unpackWindow(packed: Uint8Array): Uint8Array {
  if (packed.length === 0) return packed
  try {
    return zstdDecompressSync(packed, { maxOutputLength: mostWindowBytes })
  } catch (cause) {
    throw new Failure('corrupt', 'a window in the index of a layer cannot be unpacked', { cause })
  }
}
