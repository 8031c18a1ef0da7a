/** Verified bytes of a blob in order, as they arrive. */
import { Failure } from '../failure.ts'
import { pieceAt, pieceStart } from '../piece/layout.ts'
import type { Blob, Span } from '../store/blob-store.ts'
import type { Transfer } from './transfer.ts'

/** As much of a {@link Transfer} as its readers need. */
export type Arrival = Pick<Transfer, 'bytes' | 'begun' | 'finished' | ReadParts>
type ReadParts = 'piece' | 'fresh' | 'doubts' | 'reader' | 'readerLeft'

/**
 * What is stored is read in steps of this many bytes, through memory that is used again: a fresh piece's worth of it for
 * each piece costs a page fault for every page of it. Shorter steps save nothing, for each is a hop to the thread pool.
 */
const stepBytes = 512 * 1024

/** A chunk is valid until the next is asked for. */
export async function* readComplete(blob: Blob, span: Span): AsyncGenerator<Uint8Array> {
  yield* steps(blob, span, memoryFor(span))
}

/** Not a Buffer, whose slices would share memory. */
function memoryFor(span: Span): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(Math.min(stepBytes, span.end - span.start)).buffer)
}

async function* steps(blob: Blob, { start, end }: Span, memory: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = start; at < end; at += memory.length) {
    yield await blob.read({ start: at, end: Math.min(at + memory.length, end) }, memory)
  }
}

/**
 * Reads `span` while `transfer` brings it, at most one piece at a time: from memory what the source has just sent, else
 * verified pieces from the store. The piece that ends the blob is handed out only when the whole digest was verified, so
 * no reader ever gets all of a blob that is wrong. A chunk is valid until the next is asked for.
 * @throws {Failure} why the transfer ended without the bytes
 */
export async function* readArriving(
  transfer: Pick<Arrival, ReadParts>,
  blob: Blob,
  span: Span,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const reader = transfer.reader()
  let settled = transfer.doubts.length
  let unverified = false
  let memory: Uint8Array | undefined
  try {
    for (let start = span.start; start < span.end; ) {
      const piece = pieceAt(blob.layout, start)
      const end = Math.min((piece + 1) * blob.layout.pieceLength, span.end)
      let fresh = transfer.fresh(start)
      if (!fresh) {
        await transfer.piece(reader, piece, signal)
        fresh = transfer.fresh(start)
      }
      if (unverified && transfer.doubts.length > settled) {
        fresh?.release()
        await settle(transfer.doubts[settled++]!, transfer, reader, blob, signal)
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
      } else if (blob.have.has(piece)) {
        memory ??= memoryFor(span)
        yield* steps(blob, { start, end }, memory)
        start = end
      }
    }
  } finally {
    transfer.readerLeft(reader)
  }
}

/** Waits for the piece, and looks whether it begins with what was given of it. @throws {Failure} `unavailable` */
async function settle(
  { piece, bytes, filled }: Arrival['doubts'][number],
  transfer: Pick<Arrival, 'piece'>,
  reader: number,
  blob: Blob,
  signal: AbortSignal,
): Promise<void> {
  while (!blob.have.has(piece)) await transfer.piece(reader, piece, signal)
  const start = pieceStart(blob.layout, piece)
  const stored = await blob.read({ start, end: start + filled })
  if (Buffer.compare(stored, bytes.subarray(0, filled)) === 0) return
  throw new Failure('unavailable', `the source broke off, and what it had sent of ${blob.digest} was wrong`)
}
