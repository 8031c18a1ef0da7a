/** Unpacks a gzip stream from a point on, past the ends of members. */
import { outcome, Stream, until, wrapping } from './libz.ts'
import type { Out } from './unpacker.ts'

const outputBytes = 256 * 1024
/** CRC-32 and length, RFC 1952 section 2.3.1. What begins within a member cannot check them: digests do. */
const trailerBytes = 8

export class GzipResume implements Disposable {
  readonly #out: Out
  readonly #stream = new Stream(wrapping.raw)
  readonly #room = new Uint8Array(outputBytes)
  readonly #window: Uint8Array
  #bits: number
  #at: number
  #begun = false
  /** Past the first member's end the stream is gzip as a whole again, and libz reads headers and trailers. */
  #raw = true
  #trailer = 0

  /** The first byte pushed is the one before the point when `bits` is not 0: see {@link spanOf}. */
  constructor(at: number, bits: number, window: Uint8Array, out: Out) {
    this.#out = out
    this.#at = at
    this.#bits = bits
    this.#window = window
    this.#stream.output = this.#room
  }

  /** @throws {Failure} `corrupt` */
  push(bytes: Uint8Array): void {
    let rest = bytes
    if (!this.#begun && rest.length > 0) {
      this.#begun = true
      this.#stream.begin(this.#bits, this.#bits > 0 ? rest[0]! >> (8 - this.#bits) : 0, this.#window)
      if (this.#bits > 0) rest = rest.subarray(1)
    }
    while (rest.length > 0) {
      const skipped = Math.min(this.#trailer, rest.length)
      this.#trailer -= skipped
      rest = rest.subarray(skipped)
      if (rest.length > 0) rest = this.#inflate(rest)
    }
  }

  [Symbol.dispose](): void {
    this.#stream.close()
  }

  /** Inflates to the end of the input or of the member, and returns what it left. */
  #inflate(input: Uint8Array): Uint8Array {
    const stream = this.#stream
    stream.input = input
    for (;;) {
      const code = stream.inflate(until.full)
      const full = stream.written === this.#room.length
      this.#handOut()
      if (code === outcome.end) {
        const rest = input.subarray(stream.read)
        if (this.#raw) this.#trailer = trailerBytes
        this.#raw = false
        stream.reset(wrapping.gzip)
        return rest
      }
      if (stream.read === input.length && !full) return input.subarray(input.length)
    }
  }

  #handOut(): void {
    const bytes = this.#room.subarray(0, this.#stream.written)
    if (bytes.length > 0) this.#out(this.#at, bytes)
    this.#at += bytes.length
    this.#stream.output = this.#room
  }
}
