/**
 * What the source is sending right now, while it is in memory: pieces that are filling up, and the last few that were
 * filled. A reader that keeps up takes its bytes from here, the first ones as soon as they come, and never reads the disk.
 *
 * These bytes are not verified. That is no loss where nobody but the source has stated anything about them, for a digest
 * made here of what it sent proves nothing: what proves something is the digest of the whole, and the piece that ends the
 * blob is never handed out here. It does mean that a reader may hold bytes that later turn out not to be the blob's,
 * because a connection broke or a disk failed and others brought the piece. What was given of such a piece is kept, in
 * {@link Fresh.doubts}: a reader goes on if the piece that came is the same as far as that, and breaks off if not.
 *
 * Buffers are used again, for pages that are new to the process cost more than the bytes that are copied into them. One
 * that a reader looks at is left alone until it looks away.
 */
import { type Layout, pieceAt, pieceBytes, pieceStart } from '../../piece/layout.ts'

export interface FreshBytes {
  readonly bytes: Uint8Array
  /** They are looked at no more. */
  release(): void
}

/** One piece on its way from the source to the disk. */
export class Filling {
  readonly piece: number
  readonly bytes: Uint8Array<ArrayBuffer>
  filled = 0
  /** Somebody has stated the digest of the piece: until it was verified nobody reads it. */
  hidden: boolean
  /** Some of it was handed out. */
  given = false
  /** Who needs the buffer: the feed itself, and each reader that looks at it. */
  users = 1

  constructor(piece: number, bytes: Uint8Array<ArrayBuffer>, hidden: boolean) {
    this.piece = piece
    this.bytes = bytes
    this.hidden = hidden
  }
}

/** Readers are told of that much at a time, once they have begun: each time costs them as much as a larger chunk. */
const stepBytes = 128 * 1024
/** How many pieces stay for readers that are a little behind. */
const mostKept = 3
/** Buffers that wait for their next use. */
const mostSpare = 4

export class Fresh {
  readonly #layout: Layout
  readonly #arrived: (piece: number) => void
  readonly #fillings = new Map<number, Filling>()
  #kept: Filling[] = []
  readonly #spare: ArrayBuffer[] = []
  readonly #doubts: Filling[] = []
  /** What came is news at once, for somebody waits for a first byte. */
  #eager = true

  /** @param arrived there is more to read of the piece */
  constructor(layout: Layout, arrived: (piece: number) => void) {
    this.#layout = layout
    this.#arrived = arrived
  }

  /** Pieces of which something was handed out that the blob may not consist of. Grows only. */
  get doubts(): readonly Pick<Filling, 'piece' | 'bytes' | 'filled'>[] {
    return this.#doubts
  }

  begin(piece: number, hidden: boolean): Filling {
    const buffer = this.#spare.pop() ?? Buffer.allocUnsafeSlow(this.#layout.pieceLength).buffer
    const bytes = new Uint8Array(buffer, 0, pieceBytes(this.#layout, piece))
    const filling = new Filling(piece, bytes, hidden || piece === this.#layout.count - 1)
    this.#fillings.set(piece, filling)
    return filling
  }

  /** Takes from `chunk` what fits; returns how much that is. */
  fill(filling: Filling, chunk: Uint8Array): number {
    const part = chunk.subarray(0, filling.bytes.length - filling.filled)
    const before = filling.filled
    filling.bytes.set(part, before)
    filling.filled += part.length
    const whole = filling.filled === filling.bytes.length
    const step = Math.floor(filling.filled / stepBytes) > Math.floor(before / stepBytes)
    if (!filling.hidden && (this.#eager || step || whole)) this.#arrived(filling.piece)
    if (whole) this.#eager = false
    return part.length
  }

  /** It is stored. */
  stored(filling: Filling): void {
    this.#kept.push(filling)
    if (this.#kept.length > mostKept) this.#forget(this.#kept.shift()!)
  }

  /** It will not be stored, or not as it is here. */
  abandon(filling: Filling): void {
    if (filling.given) {
      this.#doubts.push(filling)
      // Kept for as long as the transfer goes on.
      filling.users++
    }
    this.#forget(filling)
  }

  /** What is there from byte `at` of the blob on, up to the end of its piece; undefined if that is nothing. */
  at(at: number): FreshBytes | undefined {
    const filling = this.#fillings.get(pieceAt(this.#layout, at))
    if (!filling || filling.hidden) return undefined
    const from = at - pieceStart(this.#layout, filling.piece)
    if (from >= filling.filled) return undefined
    filling.given = true
    filling.users++
    let looking = true
    return {
      bytes: filling.bytes.subarray(from, filling.filled),
      release: () => {
        if (looking) this.#drop(filling)
        looking = false
      },
    }
  }

  #forget(filling: Filling): void {
    if (this.#fillings.get(filling.piece) === filling) this.#fillings.delete(filling.piece)
    this.#drop(filling)
  }

  #drop(filling: Filling): void {
    filling.users--
    if (filling.users === 0 && this.#spare.length < mostSpare) this.#spare.push(filling.bytes.buffer)
  }
}
