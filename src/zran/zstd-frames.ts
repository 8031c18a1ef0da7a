/**
 * Where the frames of a zstd stream begin and end, without unpacking them: RFC 8878, section 3. Bytes are passed on as
 * they come; skippable frames, out of which nothing comes, are not.
 */
import { Failure } from '../failure.ts'

export interface FrameSink {
  /** A frame begins at this place of the stream. */
  begin(at: number): void
  /** Its next bytes, from its magic to its checksum. They are good until this returns. */
  part(bytes: Uint8Array): void
  end(): void
}

const frameMagic = 0xfd2fb528
/** The low four bits are free. */
const skippableMagic = 0x184d2a50
const checksumBytes = 4

/** What the bytes are that come next. */
type Stage = 'magic' | 'skippable' | 'skipped' | 'descriptor' | 'header' | 'block' | 'body' | 'checksum'
/** Stages whose bytes are looked at, and how many they have. */
const looked: Partial<Record<Stage, number>> = { magic: 4, skippable: 4, descriptor: 1, block: 3 }

export class ZstdFrames {
  readonly #sink: FrameSink
  #stage: Stage = 'magic'
  /** Bytes of the stage that are to come, and those that came when it is looked at. */
  #left = 4
  readonly #seen = new DataView(new ArrayBuffer(4))
  #read = 0
  #checked = false
  #lastBlock = false

  constructor(sink: FrameSink) {
    this.#sink = sink
  }

  /** Behind a whole frame: the stream may end here. */
  get mayEnd(): boolean {
    return this.#stage === 'magic' && this.#left === 4
  }

  /** @throws {Failure} `corrupt` when a frame begins with what begins none */
  push(bytes: Uint8Array): void {
    let rest = bytes
    while (rest.length > 0) {
      const part = rest.subarray(0, this.#left)
      const length = looked[this.#stage]
      if (length) new Uint8Array(this.#seen.buffer).set(part, length - this.#left)
      this.#left -= part.length
      this.#read += part.length
      // A magic is passed on when it is known whose it is.
      if (!['magic', 'skippable', 'skipped'].includes(this.#stage)) this.#sink.part(part)
      rest = rest.subarray(part.length)
      // A stage may have no bytes at all.
      while (this.#left === 0) this.#step()
    }
  }

  #step(): void {
    const seen = this.#seen
    switch (this.#stage) {
      case 'magic': {
        const magic = seen.getUint32(0, true)
        if ((magic & 0xfffffff0) >>> 0 === skippableMagic) return this.#await('skippable')
        if (magic !== frameMagic) throw new Failure('corrupt', 'this is no whole zstd stream: bytes of it are no frame')
        this.#sink.begin(this.#read - 4)
        this.#sink.part(new Uint8Array(seen.buffer))
        return this.#await('descriptor')
      }
      case 'skippable':
        return this.#await('skipped', seen.getUint32(0, true))
      case 'skipped':
        return this.#await('magic')
      case 'descriptor': {
        const descriptor = seen.getUint8(0)
        const single = (descriptor & 0x20) !== 0
        this.#checked = (descriptor & 4) !== 0
        const dictionary = [0, 1, 2, 4][descriptor & 3]!
        const content = [single ? 1 : 0, 2, 4, 8][descriptor >> 6]!
        return this.#await('header', (single ? 0 : 1) + dictionary + content)
      }
      case 'header':
        return this.#await('block')
      case 'block': {
        const header = seen.getUint16(0, true) | (seen.getUint8(2) << 16)
        this.#lastBlock = (header & 1) === 1
        // A block of one byte again and again says how often, not how long it is.
        return this.#await('body', ((header >> 1) & 3) === 1 ? 1 : header >> 3)
      }
      case 'body':
        if (!this.#lastBlock) return this.#await('block')
        return this.#await('checksum', this.#checked ? checksumBytes : 0)
      case 'checksum':
        this.#sink.end()
        return this.#await('magic')
    }
  }

  #await(stage: Stage, bytes = looked[stage] ?? 0): void {
    this.#stage = stage
    this.#left = bytes
  }
}
