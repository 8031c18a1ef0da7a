/** What unpacks a layer from its beginning, whatever packed it. */
import { noPoints, type Points } from './points.ts'

export interface Unpacker extends Disposable {
  /** @throws {Failure} `corrupt`; `unsupported` when it can be unpacked, but not from its middle */
  push(bytes: Uint8Array): void
  /** @throws {Failure} `corrupt` when the stream is not whole */
  end(): Points
}

/** Called with runs of unpacked bytes, ascending and without a gap. The bytes are its own only until it returns. */
export type Out = (at: number, bytes: Uint8Array) => void

/** A layer that is not compressed: what goes in comes out. */
export class PlainScan implements Unpacker {
  readonly #out: Out
  #at = 0

  constructor(out: Out) {
    this.#out = out
  }

  push(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#out(this.#at, bytes)
    this.#at += bytes.length
  }

  end(): Points {
    return noPoints
  }

  [Symbol.dispose](): void {}
}
