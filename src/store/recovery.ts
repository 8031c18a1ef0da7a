/**
 * What is believed of the catalog when a store is opened. A process that is killed leaves its writes in the page cache,
 * so a recorded piece is in the file; a machine that goes down takes unwritten pages with it, so pieces of incomplete
 * blobs are checked again. Complete ones were brought to the disk before they were recorded; only a file that has
 * another time than the one noted then is read again.
 */
import { Bitmap } from '../piece/bitmap.ts'
import { layoutOf, pieceBytes, pieceStart } from '../piece/layout.ts'
import type { BlobRow } from './catalog.ts'

export interface FileFacts {
  readonly size: number
  /** Whole ms. */
  readonly mtime: number
}

export type Verdict =
  | { readonly do: 'keep' }
  | { readonly do: 'check pieces' }
  | { readonly do: 'check whole'; readonly reason: string }
  | { readonly do: 'forget'; readonly reason: string; readonly lost: boolean }

/** `trusted`: no write that the catalog knows of can have been lost. Pure. */
export function judge(row: BlobRow, file: FileFacts | undefined, trusted: boolean): Verdict {
  const forget = (reason: string, lost = true): Verdict => ({ do: 'forget', reason, lost })
  if (row.state === 'complete') {
    if (!file) return forget('its file is missing')
    if (file.size !== row.size) return forget(`its file has ${file.size} bytes instead of ${row.size}`)
    return file.mtime === row.mtime
      ? { do: 'keep' }
      : { do: 'check whole', reason: 'its file was touched after it was completed' }
  }
  const layout = layoutOf(row.size)
  const have = new Bitmap(layout.count, row.bitmap ?? undefined)
  const last = [...have.indexes()].at(-1)
  const end = last === undefined ? 0 : pieceStart(layout, last) + pieceBytes(layout, last)
  if (end === 0) return forget('nothing of it had arrived', false)
  if (!file) return forget('its file is missing')
  if (file.size < end) return forget(`its file ends at byte ${file.size}, before the last recorded piece`)
  if (!trusted) return { do: 'check pieces' }
  // It was about to be completed; no piece is missing whose arrival would make somebody do it.
  return have.complete ? { do: 'check whole', reason: 'all its pieces are there' } : { do: 'keep' }
}
