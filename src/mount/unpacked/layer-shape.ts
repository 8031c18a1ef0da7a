/** A layer as its index has it. */
import type { LayerIndex } from '../../layer-index/layer-index.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Compression } from '../../zran/points.ts'
import { ChunkTable } from './chunk-table.ts'

/** What the index says, without what only the kernel reads. */
export interface LayerShape {
  readonly digest: Digest
  readonly diffId: Digest
  readonly table: ChunkTable
  readonly compression: Compression
  readonly compressedSize: number
  /** Of the index's file. */
  readonly index: Digest
  /** Why it was fetched whole. */
  readonly reason: string | undefined
}

export function shapeOf(index: LayerIndex, digest: Digest, reason: string | undefined): LayerShape {
  return {
    digest: index.layer,
    diffId: index.diffId,
    // The digests alone: they are a part of all that the index is.
    table: new ChunkTable({ ...index.chunks, digests: index.chunks.digests.slice() }, index.size),
    compression: index.compression,
    compressedSize: index.compressedSize,
    index: digest,
    reason,
  }
}
