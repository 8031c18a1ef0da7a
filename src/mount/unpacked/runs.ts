/** Which bytes of a compressed layer to ask for, so that wanted chunks come out of them. Pure. */
import type { Points } from '../../zran/points.ts'
import { type Span, spanOf } from '../../zran/span.ts'
import type { ChunkTable } from './chunk-table.ts'

export interface Compressed {
  readonly table: ChunkTable
  readonly points: Points
  readonly compressedSize: number
}

/** Compressed bytes that are asked for at once, and unpacked as one stream. */
export interface Run extends Span {
  /** The wanted chunks that come out of it, ascending. */
  readonly chunks: readonly number[]
}

export interface Merging {
  /** Two that are no further apart than this are asked for as one: compressed bytes. */
  readonly gap: number
  /** No run grows past this by merging: compressed bytes. A single chunk may be longer. */
  readonly most: number
}

/**
 * The runs for the wanted chunks, in the order of the layer.
 * @param wanted ascending
 * @param from place of the first byte of a chunk that is missing: behind its start where its head came before
 */
export function runsOf(
  wanted: Iterable<number>,
  { table, points, compressedSize }: Compressed,
  { gap, most }: Merging,
  from: (chunk: number) => number = (chunk) => table.start(chunk),
): Run[] {
  const layer = { size: table.size, compressedSize }
  const runs: Run[] = []
  let open: (Span & { chunks: number[] }) | undefined
  const close = () => {
    if (open) runs.push(open)
  }
  for (const chunk of wanted) {
    const span = spanOf(points, layer, from(chunk), table.end(chunk))
    if (open && span.from <= open.to + gap && span.to - open.from <= most) {
      open.chunks.push(chunk)
      open = { ...open, to: Math.max(open.to, span.to), until: Math.max(open.until, span.until) }
    } else {
      close()
      open = { ...span, chunks: [chunk] }
    }
  }
  close()
  return runs
}
