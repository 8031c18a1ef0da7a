/** What the background brings next. Pure. */
import type { ChunkTable } from './chunk-table.ts'
import type { Holdings } from './holdings.ts'

/** The missing ones of the chunks that starts are known to read first, in their order. */
export function firstReads(reads: readonly number[], holdings: Holdings): number[] {
  // Whoever made the list may have meant another index.
  const wanted = new Set(reads.filter((chunk) => chunk < holdings.table.count && !holdings.has(chunk)))
  return [...wanted]
}

/**
 * The missing chunks from `from` on, as one stretch: it ends before `hereBytes` of chunks that are here already, which it
 * would fetch in vain, and after `mostBytes`.
 */
export function nextStretch(holdings: Holdings, from: number, mostBytes: number, hereBytes: number): number[] {
  const { table } = holdings
  const chunks: number[] = []
  let bytes = 0
  let here = 0
  for (let chunk = holdings.nextMissing(from); chunk < table.count; chunk++) {
    if (holdings.has(chunk)) {
      here += table.length(chunk)
      if (here >= hereBytes) break
      continue
    }
    here = 0
    bytes += table.length(chunk)
    if (bytes > mostBytes && chunks.length > 0) break
    chunks.push(chunk)
  }
  return chunks
}

/** A start reads a part of an image. Who reads most of it is copying or searching it, and no start will do the same. */
const startShare = 0.25
const startBytes = 16 * 1024 * 1024

/** Whether what was read first since a mount is worth telling others. */
export function isStart(reads: readonly number[], table: ChunkTable): boolean {
  const bytes = reads.reduce((sum, chunk) => sum + table.length(chunk), 0)
  return reads.length > 0 && bytes <= Math.max(startBytes, table.size * startShare)
}
