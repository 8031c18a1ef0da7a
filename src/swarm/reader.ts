/** Verified bytes of a blob in order, as they arrive. */
import { pieceAt } from '../piece/layout.ts'
import type { Blob, Span } from '../store/blob-store.ts'
import type { Transfer } from './transfer.ts'

/** As much of a {@link Transfer} as its readers need. */
export type Arrival = Pick<Transfer, 'bytes' | 'begun' | 'finished' | 'piece' | 'reader' | 'readerLeft'>

/** A complete blob is read in steps of this many bytes. */
const stepBytes = 512 * 1024

export async function* readComplete(blob: Blob, span: Span): AsyncGenerator<Uint8Array> {
  for (let start = span.start; start < span.end; start += stepBytes) {
    yield await blob.read({ start, end: Math.min(start + stepBytes, span.end) })
  }
}

/**
 * Reads `span` while `transfer` brings it, at most one piece at a time. The piece that ends the blob is handed out only when the whole digest was
 * verified, so no reader ever gets all of a blob that is wrong.
 * @throws {Failure} why the transfer ended without the bytes
 */
export async function* readArriving(
  transfer: Pick<Arrival, 'piece' | 'reader' | 'readerLeft'>,
  blob: Blob,
  span: Span,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const reader = transfer.reader()
  try {
    for (let start = span.start; start < span.end; ) {
      const piece = pieceAt(blob.layout, start)
      await transfer.piece(reader, piece, signal)
      const end = Math.min((piece + 1) * blob.layout.pieceLength, span.end)
      yield await blob.read({ start, end })
      start = end
    }
  } finally {
    transfer.readerLeft(reader)
  }
}
