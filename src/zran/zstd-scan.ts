/**
 * Unpacks a zstd stream frame by frame. Each unpacks by itself, so a layer of many (zstd:chunked has one for each run of
 * a file) has a point wherever one begins. One frame for a whole layer is what most writers make: it has no middle that
 * unpacking could begin at.
 */
import { zstdDecompressSync } from 'node:zlib'
import { Failure } from '../failure.ts'
import type { Points } from './points.ts'
import { PointList, type Spacing, standardSpacing } from './spacing.ts'
import type { Out, Unpacker } from './unpacker.ts'
import { ZstdFrames } from './zstd-frames.ts'

/** A longer frame is no place to begin: for one byte of it all that precedes it would be fetched. */
export const mostFrameBytes = 8 * 2 ** 20
/** What does not pack gets a little longer by it. */
const mostPackedBytes = mostFrameBytes + 64 * 1024

export class ZstdScan implements Unpacker {
  readonly #out: Out
  readonly #points: PointList
  readonly #frames = new ZstdFrames({
    begin: (at) => {
      this.#from = at
      this.#have = 0
    },
    part: (bytes) => this.#hold(bytes),
    end: () => this.#unpack(),
  })
  /** The frame that is coming, how much of it is here, and where it begins. */
  #held = new Uint8Array(64 * 1024)
  #have = 0
  #from = 0
  #unpacked: number

  /** @param at place in the unpacked layer of what comes out first */
  constructor(out: Out, spacing: Spacing = standardSpacing, at = 0) {
    this.#out = out
    this.#points = new PointList(spacing)
    this.#unpacked = at
  }

  /** @throws {Failure} `corrupt`; `unsupported` for a frame of more than {@link mostFrameBytes} */
  push(bytes: Uint8Array): void {
    this.#frames.push(bytes)
  }

  /** @throws {Failure} `corrupt` when the stream is not whole */
  end(): Points {
    if (!this.#frames.mayEnd) throw broken('it ends too early')
    return this.#points.packed()
  }

  [Symbol.dispose](): void {}

  #hold(part: Uint8Array): void {
    const have = this.#have + part.length
    if (have > mostPackedBytes) throw tooLong()
    if (have > this.#held.length) {
      const longer = new Uint8Array(Math.max(have, this.#held.length * 2))
      longer.set(this.#held.subarray(0, this.#have))
      this.#held = longer
    }
    this.#held.set(part, this.#have)
    this.#have = have
  }

  #unpack(): void {
    const bytes = unpacked(this.#held.subarray(0, this.#have))
    if (bytes.length === 0) return
    if (this.#points.wants(this.#unpacked, this.#from))
      this.#points.add({ at: this.#unpacked, from: this.#from, bits: 0, window: new Uint8Array(0) })
    this.#out(this.#unpacked, bytes)
    this.#unpacked += bytes.length
  }
}

function unpacked(frame: Uint8Array): Uint8Array {
  try {
    return zstdDecompressSync(frame, { maxOutputLength: mostFrameBytes })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE') throw tooLong()
    throw broken('its data are damaged', error)
  }
}

function tooLong(): Failure {
  return new Failure(
    'unsupported',
    `the layer is zstd in frames of more than ${mostFrameBytes / 2 ** 20} MiB, which cannot be unpacked from their middle: it is fetched whole`,
  )
}

function broken(why: string, cause?: unknown): Failure {
  return new Failure('corrupt', `this is no whole zstd stream: ${why}`, cause === undefined ? {} : { cause })
}
