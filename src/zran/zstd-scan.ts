/**
 * Unpacks a zstd stream frame by frame (RFC 8878, section 3). Each frame unpacks by itself, so a layer of many (zstd:chunked has one
 * for each run of a file) has a point wherever one begins. One frame for a whole layer is what most writers make: it has
 * no middle that unpacking could begin at.
 */
import { zstdDecompressSync } from 'node:zlib'
import { Failure } from '../failure.ts'
import type { Points } from './points.ts'
import { PointList, type Spacing, standardSpacing } from './spacing.ts'
import type { Out, Unpacker } from './unpacker.ts'

/** A longer frame is no place to begin: for one byte of it all that precedes it would be fetched. */
export const mostFrameBytes = 8 * 2 ** 20

const frameMagic = 0xfd2fb528
/** The low four bits are free. */
const skippableMagic = 0x184d2a50
const checksumBytes = 4
const blockHeaderBytes = 3

/** What the bytes are that come next. */
type Stage = 'magic' | 'skippable' | 'descriptor' | 'header' | 'block' | 'body' | 'checksum'

export class ZstdScan implements Unpacker {
  readonly #out: Out
  readonly #points: PointList
  #stage: Stage = 'magic'
  /** The frame that is coming, and how much of it is here. */
  #held = new Uint8Array(64 * 1024)
  #have = 0
  /** The stage is over when so much of the frame is here. */
  #need = 4
  /** Bytes of a skippable frame that are to come. */
  #skip = 0
  #checked = false
  #lastBlock = false
  /** Where the frame that is coming begins, and what was handed out before it. */
  #from = 0
  #read = 0
  #unpacked: number

  /** @param at place in the unpacked layer of what comes out first */
  constructor(out: Out, spacing: Spacing = standardSpacing, at = 0) {
    this.#out = out
    this.#points = new PointList(spacing)
    this.#unpacked = at
  }

  /** @throws {Failure} `corrupt`; `unsupported` for a frame of more than {@link mostFrameBytes} */
  push(bytes: Uint8Array): void {
    let rest = bytes
    while (rest.length > 0) {
      const taken = this.#skip > 0 ? Math.min(this.#skip, rest.length) : this.#take(rest)
      if (this.#skip > 0) this.#skip -= taken
      rest = rest.subarray(taken)
      this.#read += taken
      // A stage may want no bytes at all.
      while (this.#skip === 0 && this.#have === this.#need) this.#step()
    }
  }

  /** @throws {Failure} `corrupt` when the stream is not whole */
  end(): Points {
    if (this.#stage !== 'magic' || this.#have > 0 || this.#skip > 0) throw broken('it ends too early')
    return this.#points.packed()
  }

  [Symbol.dispose](): void {}

  #take(bytes: Uint8Array): number {
    const part = bytes.subarray(0, this.#need - this.#have)
    this.#held.set(part, this.#have)
    this.#have += part.length
    return part.length
  }

  #step(): void {
    const held = new DataView(this.#held.buffer, 0, this.#have)
    switch (this.#stage) {
      case 'magic': {
        const magic = held.getUint32(0, true)
        this.#from = this.#read - 4
        if ((magic & 0xfffffff0) >>> 0 === skippableMagic) return this.#want('skippable', 4)
        if (magic !== frameMagic) throw broken('bytes of it are no frame')
        return this.#want('descriptor', 1)
      }
      case 'skippable':
        this.#skip = held.getUint32(4, true)
        return this.#begin()
      case 'descriptor': {
        const descriptor = held.getUint8(4)
        const single = (descriptor & 0x20) !== 0
        this.#checked = (descriptor & 4) !== 0
        const window = single ? 0 : 1
        const dictionary = [0, 1, 2, 4][descriptor & 3]!
        const content = [single ? 1 : 0, 2, 4, 8][descriptor >> 6]!
        return this.#want('header', window + dictionary + content)
      }
      case 'header':
        return this.#want('block', blockHeaderBytes)
      case 'block': {
        const at = this.#have - blockHeaderBytes
        const header = held.getUint16(at, true) | (held.getUint8(at + 2) << 16)
        this.#lastBlock = (header & 1) === 1
        // A block of one byte again and again says how often, not how long it is.
        return this.#want('body', ((header >> 1) & 3) === 1 ? 1 : header >> 3)
      }
      case 'body':
        if (!this.#lastBlock) return this.#want('block', blockHeaderBytes)
        return this.#want('checksum', this.#checked ? checksumBytes : 0)
      case 'checksum':
        this.#unpack()
        return this.#begin()
    }
  }

  #begin(): void {
    this.#stage = 'magic'
    this.#have = 0
    this.#need = 4
  }

  #want(stage: Stage, bytes: number): void {
    this.#stage = stage
    this.#need = this.#have + bytes
    // What does not pack gets a little longer by it.
    if (this.#need > mostFrameBytes + 64 * 1024) throw tooLong()
    if (this.#need <= this.#held.length) return
    const longer = new Uint8Array(Math.max(this.#need, this.#held.length * 2))
    longer.set(this.#held.subarray(0, this.#have))
    this.#held = longer
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
