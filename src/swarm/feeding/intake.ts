/**
 * What comes from the source, piece by piece, however it was asked for: held against what is known of it, stored, and
 * stated. Statements about pieces that nobody has stated yet are gathered and signed together.
 */
import type { Clock } from '../../clock.ts'
import { Failure } from '../../failure.ts'
import { pieceBytes, pieceStart } from '../../piece/layout.ts'
import { pieceDigest } from '../../piece/metainfo.ts'
import type { Blob } from '../../store/blob-store.ts'
import { type Signer, signedSegments } from '../statements.ts'

export interface IntakeOptions {
  readonly blob: Blob
  readonly signer: Signer
  readonly clock: Clock
  readonly host: IntakeHost
}

export interface IntakeHost {
  /** A piece was verified, written and is stated from now on as soon as `stated` says so. */
  stored(piece: number, bytes: number): void
  /** These pieces may be offered to others: their digests are signed and learned. */
  stated(pieces: readonly number[]): void
}

/** How many pieces may be on their way to the disk. */
const mostWriting = 4
/** Statements are gathered for so long, or until there are so many. */
const statementMs = 25
const statementPieces = 32

export class Intake {
  readonly #o: IntakeOptions
  #unstated: { piece: number; digest: Uint8Array }[] = []
  #cancelTimer: (() => void) | undefined
  /** Pieces on their way to the disk while the source is read on. */
  readonly #writing = new Set<Promise<void>>()
  #failure: unknown

  constructor(options: IntakeOptions) {
    this.#o = options
  }

  /**
   * Takes what the source sent as a piece; resolves when the next may come. `over` is called once, when the bytes are
   * stored, or will not be.
   * @throws {Failure} `corrupt` when it is not what was stated; what a write failed with
   */
  async take(piece: number, bytes: Uint8Array, over: (stored: boolean) => void): Promise<void> {
    const { blob, host } = this.#o
    // It came from elsewhere as well.
    if (blob.have.has(piece)) return over(blob.metainfo.verify(piece, bytes))
    const stated = blob.metainfo.digestOf(piece)
    const digest = pieceDigest(bytes)
    if (stated && Buffer.compare(stated, digest) !== 0) {
      over(false)
      throw new Failure('corrupt', `piece ${piece} of ${blob.digest} differs from what was stated about it`, {
        detail: { piece },
      })
    }
    const writing = blob
      .write(piece, bytes)
      .then(() => {
        over(true)
        host.stored(piece, bytes.length)
        if (stated) host.stated([piece])
        else this.#gather(piece, digest)
      })
      .catch((error: unknown) => {
        over(false)
        this.#failure ??= error
      })
      .finally(() => this.#writing.delete(writing))
    this.#writing.add(writing)
    await this.settle(mostWriting)
  }

  /** Waits until no more than `most` pieces are being written. @throws what a write or a statement failed with */
  async settle(most: number): Promise<void> {
    while (this.#writing.size > most) await Promise.race(this.#writing)
    if (this.#failure !== undefined) throw this.#failure
  }

  /** States the pieces that are here from an earlier try but whose digests nobody has stated; not what lay on a disk since. */
  async stateHeld(): Promise<void> {
    const { blob } = this.#o
    for (const piece of blob.have.indexes()) {
      if (blob.metainfo.known.has(piece) || !blob.sound(piece)) continue
      const start = pieceStart(blob.layout, piece)
      this.#gather(piece, pieceDigest(await blob.read({ start, end: start + pieceBytes(blob.layout, piece) })))
    }
    this.state()
  }

  /** Signs what was gathered, one segment for each run. */
  state(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    const { blob, signer, host } = this.#o
    const pending = this.#unstated.filter(({ piece }) => !blob.metainfo.known.has(piece))
    const pieces = this.#unstated.map(({ piece }) => piece)
    this.#unstated = []
    for (const segment of signedSegments(blob, pending, signer)) blob.learn(segment)
    if (pieces.length > 0) host.stated(pieces)
  }

  #gather(piece: number, digest: Uint8Array): void {
    this.#unstated.push({ piece, digest })
    if (this.#unstated.length >= statementPieces) this.state()
    else this.#cancelTimer ??= this.#o.clock.after(statementMs, () => this.#stateInTime())
  }

  /** Nobody hears what a timer throws, as of a store that has closed meanwhile: who settles next does. */
  #stateInTime(): void {
    try {
      this.state()
    } catch (error) {
      this.#failure ??= error
    }
  }
}
