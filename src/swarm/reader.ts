/** Verified bytes of a blob in order, as they arrive. */
import { Failure } from '../failure.ts'
import { type Layout, pieceAt, pieceBytes, pieceStart } from '../piece/layout.ts'
import type { Blob, Span } from '../store/blob-store.ts'
import type { Transfer } from './transfer.ts'

/** As much of a {@link Transfer} as its readers need. */
export type Arrival = Pick<Transfer, 'bytes' | 'begun' | ReadParts>
type ReadParts = 'piece' | 'finished' | 'fresh' | 'verified' | 'doubts' | 'reader' | 'readerLeft' | 'aim'

/** How a span is waited for that is read for its own sake. */
export interface Aim {
  /** Nobody takes it for the blob: of the piece that ends the blob it is enough that it is verified. */
  readonly part: boolean
  /** Bytes after it that are worth having. */
  readonly ahead: number
  /** Nobody waits for it: what others wait for comes before. */
  readonly patient: boolean
}

/**
 * What is stored is read in steps of this many bytes, through memory that is used again: a fresh piece's worth of it for
 * each piece costs a page fault for every page of it. Shorter steps save nothing, for each is a hop to the thread pool.
 */
const stepBytes = 512 * 1024

/**
 * What is stored, as long as it is right: what was not seen to be so lately is looked at first, and ends the reading if it
 * is not. A chunk is valid until the next is asked for.
 */
export async function* readChecked(blob: Blob, span: Span, memory = memoryFor(blob)): AsyncGenerator<Uint8Array> {
  const { layout } = blob
  for (let at = span.start; at < span.end; ) {
    const piece = pieceAt(layout, at)
    const start = pieceStart(layout, piece)
    const end = Math.min(start + pieceBytes(layout, piece), span.end)
    if (!blob.sound(piece)) {
      if (!(await blob.check(piece, memory))) return
      yield memory.subarray(at - start, end - start)
      at = end
      continue
    }
    let bytes: Uint8Array
    try {
      bytes = await blob.read({ start: at, end: Math.min(at + stepBytes, end) }, memory)
    } catch (error) {
      // The disk cannot read it: it is as a wrong one.
      if (!blob.gone && !blob.have.has(piece)) return
      throw error
    }
    // Somebody may have touched the file before it was read.
    if (!blob.sound(piece)) continue
    yield bytes
    at += bytes.length
  }
}

/** Not a Buffer, whose slices would share memory. */
function memoryFor({ layout }: Blob): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(Math.min(Math.max(stepBytes, layout.pieceLength), layout.size)).buffer)
}

/**
 * Reads `span` while `transfer` brings it, at most one piece at a time: from memory what the source has just sent, else
 * verified pieces from the store, or, for who reads a part, from memory before the disk has them. The piece that ends the blob is handed out only when the whole digest was verified, so
 * no reader ever gets all of a blob that is wrong; who reads a part of it gets what is verified. With an `aim` all of the
 * span is waited for at once, else what comes next. A chunk is valid until the next is asked for.
 * @throws {Failure} why the transfer ended without the bytes
 */
export async function* readArriving(
  transfer: Pick<Arrival, ReadParts>,
  blob: Blob,
  span: Span,
  signal: AbortSignal,
  aim?: Aim,
): AsyncGenerator<Uint8Array> {
  const reader = transfer.reader()
  const part = aim?.part ?? false
  let settled = transfer.doubts.length
  let unverified = false
  let over = false
  const end = () => {
    over = true
  }
  transfer.finished.then(end, end)
  /** Waits for a piece that is not here. @throws {Failure} `unavailable` when nothing brings it any more */
  const arrives = async (piece: number) => {
    await transfer.piece(reader, piece, signal)
    if (!blob.have.has(piece) && (over || blob.gone)) throw lost(blob)
  }
  let memory: Uint8Array | undefined
  try {
    if (aim) {
      const { from, to } = piecesOf(blob.layout, span)
      const last = piecesOf(blob.layout, { start: span.start, end: Math.min(span.end + aim.ahead, blob.size) }).to
      transfer.aim(reader, [[from, to]], { ahead: [to, last], patient: aim.patient })
    }
    for (let start = span.start; start < span.end; ) {
      const piece = pieceAt(blob.layout, start)
      const end = Math.min((piece + 1) * blob.layout.pieceLength, span.end)
      let fresh = transfer.fresh(start)
      let verified = part ? transfer.verified(piece) : undefined
      if (!fresh && !verified) {
        await transfer.piece(reader, piece, signal, part)
        fresh = transfer.fresh(start)
        verified = part ? transfer.verified(piece) : undefined
      }
      if (unverified && transfer.doubts.length > settled) {
        fresh?.release()
        await settle(transfer.doubts[settled++]!, blob, arrives)
        continue
      }
      if (fresh) {
        unverified = true
        const bytes = fresh.bytes.subarray(0, end - start)
        try {
          yield bytes
        } finally {
          fresh.release()
        }
        start += bytes.length
      } else if (verified) {
        const from = start - pieceStart(blob.layout, piece)
        yield verified.slice(from, from + end - start)
        start = end
      } else if (blob.have.has(piece)) {
        memory ??= memoryFor(blob)
        for await (const bytes of readChecked(blob, { start, end }, memory)) {
          yield bytes
          start += bytes.length
        }
      } else if (over || blob.gone) {
        throw lost(blob)
      }
    }
  } finally {
    transfer.readerLeft(reader)
  }
}

/** The pieces that a span touches, `to` exclusive. */
export function piecesOf(layout: Layout, { start, end }: Span): { readonly from: number; readonly to: number } {
  return { from: pieceAt(layout, start), to: pieceAt(layout, Math.max(start, end - 1)) + 1 }
}

/** Waits for the piece, and looks whether it begins with what was given of it. @throws {Failure} `unavailable` */
async function settle(
  { piece, bytes, filled }: Arrival['doubts'][number],
  blob: Blob,
  arrives: (piece: number) => Promise<void>,
): Promise<void> {
  while (!blob.have.has(piece)) await arrives(piece)
  const start = pieceStart(blob.layout, piece)
  const stored = await blob.read({ start, end: start + filled })
  if (Buffer.compare(stored, bytes.subarray(0, filled)) === 0) return
  throw new Failure('unavailable', `the source broke off, and what it had sent of ${blob.digest} was wrong`)
}

function lost({ digest }: Blob): Failure {
  return new Failure('unavailable', `a piece of ${digest} was lost while it was read`)
}
