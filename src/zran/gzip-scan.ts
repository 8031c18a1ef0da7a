/** Unpacks a gzip stream from its beginning, several members if it has them, and takes points on the way. */
import { Failure } from '../failure.ts'
import { outcome, Stream, until, wrapping } from './libz.ts'
import { mostWindowBytes, type Points } from './points.ts'
import { type Point, PointList, type Spacing, standardSpacing } from './spacing.ts'
import type { Out, Unpacker } from './unpacker.ts'
import { packWindow, sparse, tailBytes } from './window.ts'

/** Unpacked at a time: what comes out is read again while it is still in the processor's cache. */
const outputBytes = 256 * 1024

/** A point whose window waits for the compressed bytes that follow it. */
interface Pending {
  readonly point: Point
  readonly window: Uint8Array
  readonly tail: Uint8Array
  filled: number
  /** Where its next bytes are in what is being pushed. */
  next: number
}

export class GzipScan implements Unpacker {
  readonly #out: Out
  readonly #points: PointList
  readonly #stream = new Stream(wrapping.gzip)
  readonly #prober = new Stream(wrapping.raw)
  /** The last 32 KiB of what came out before, then what comes out now. */
  readonly #room = new Uint8Array(mostWindowBytes + outputBytes)
  /** Up to here the room was handed out. */
  #handed = mostWindowBytes
  /** Of the whole stream: what was pushed before, what was handed out, and where the present member began in that. */
  #pushed = 0
  #unpacked = 0
  #member = 0
  #inHeader = true
  #members = 0
  /** Behind a whole member: the stream may end here. */
  #mayEnd = false
  #lastByte = 0
  #pending: Pending[] = []

  constructor(out: Out, spacing: Spacing = standardSpacing) {
    this.#out = out
    this.#points = new PointList(spacing)
    this.#stream.output = this.#room.subarray(mostWindowBytes)
  }

  /** @throws {Failure} `corrupt` */
  push(bytes: Uint8Array): void {
    let start = 0
    while (start < bytes.length) {
      this.#mayEnd = false
      start += this.#inflate(bytes, start)
    }
    for (const pending of this.#pending) {
      const part = bytes.subarray(pending.next, pending.next + tailBytes - pending.filled)
      pending.tail.set(part, pending.filled)
      pending.filled += part.length
      pending.next = 0
      if (pending.filled === tailBytes) this.#settle(pending, false)
    }
    this.#pending = this.#pending.filter((pending) => pending.filled < tailBytes)
    this.#pushed += bytes.length
    this.#lastByte = bytes.at(-1) ?? this.#lastByte
  }

  /** @throws {Failure} `corrupt` when the stream is not whole */
  end(): Points {
    if (!this.#mayEnd) throw new Failure('corrupt', 'this is no whole gzip stream: it ends too early')
    this.#handOut()
    for (const pending of this.#pending) this.#settle(pending, true)
    this.#pending = []
    return this.#points.packed()
  }

  [Symbol.dispose](): void {
    this.#stream.close()
    this.#prober.close()
  }

  /** Inflates from `start` on to the end of the bytes or of the member, and says how many it read. */
  #inflate(bytes: Uint8Array, start: number): number {
    const stream = this.#stream
    const input = bytes.subarray(start)
    stream.input = input
    for (;;) {
      const code = this.#step()
      if (stream.betweenBlocks && !stream.inLastBlock) this.#consider(bytes, start + stream.read)
      const full = mostWindowBytes + stream.written === this.#room.length
      if (full) this.#handOut()
      if (code === outcome.end) {
        this.#handOut()
        this.#member = this.#unpacked
        this.#inHeader = true
        this.#members++
        this.#mayEnd = true
        const read = stream.read
        stream.reset(wrapping.gzip)
        return read
      }
      // Output that just fits leaves something within the stream; it comes with the next call.
      if (stream.read === input.length && !full) return input.length
    }
  }

  #step(): number {
    try {
      return this.#stream.inflate(until.block)
    } catch (error) {
      if (!this.#inHeader || this.#members === 0) throw error
      throw new Failure('corrupt', 'bytes that are no gzip follow the last gzip member', { cause: error })
    }
  }

  /** A block begins behind the first `read` bytes. */
  #consider(bytes: Uint8Array, read: number): void {
    this.#inHeader = false
    const end = mostWindowBytes + this.#stream.written
    const at = this.#unpacked + end - this.#handed
    const from = this.#pushed + read
    if (!this.#points.wants(at, from)) return
    const bits = this.#stream.unusedBits
    const window = this.#room.slice(end - Math.min(mostWindowBytes, at - this.#member), end)
    const point: Point = { at, from, bits, window }
    this.#points.add(point)
    if (window.length === 0) return
    const tail = new Uint8Array(tailBytes)
    if (bits > 0) tail[0] = read > 0 ? bytes[read - 1]! : this.#lastByte
    this.#pending.push({ point, window, tail, filled: bits > 0 ? 1 : 0, next: read })
  }

  #settle({ point, window, tail, filled }: Pending, whole: boolean): void {
    point.window = packWindow(sparse(this.#prober, window, point.bits, tail.subarray(0, filled), whole))
  }

  #handOut(): void {
    const end = mostWindowBytes + this.#stream.written
    const bytes = this.#room.subarray(this.#handed, end)
    if (bytes.length > 0) this.#out(this.#unpacked, bytes)
    this.#unpacked += bytes.length
    this.#handed = end
    if (end < this.#room.length) return
    this.#room.copyWithin(0, end - mostWindowBytes)
    this.#handed = mostWindowBytes
    this.#stream.output = this.#room.subarray(mostWindowBytes)
  }
}
