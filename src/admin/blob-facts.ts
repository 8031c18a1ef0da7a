/** From the store's blobs to what the API lists. */

import { formatRepository } from '../oci/reference.ts'
import { pieceBytes } from '../piece/layout.ts'
import type { Blob, BlobStore } from '../store/blob-store.ts'
import type { BlobFacts, BlobPage } from './view.ts'

export function blobFacts(blob: Blob, store: Pick<BlobStore, 'repositoriesOf'>): BlobFacts {
  const { layout, have } = blob
  return {
    digest: blob.digest,
    kind: blob.kind,
    ...(blob.mediaType === undefined ? {} : { mediaType: blob.mediaType }),
    size: blob.size,
    bytes: bytesHeld(blob),
    complete: blob.complete,
    ...(blob.borrowed ? { borrowed: true } : {}),
    pieces: { have: have.count, total: layout.count },
    usedAt: new Date(blob.usedAt).toISOString(),
    repositories: store.repositoriesOf(blob.digest).map(formatRepository),
  }
}

/** All pieces have one length but the last. */
function bytesHeld({ layout, have }: Blob): number {
  const last = layout.count - 1
  const shorter = have.has(last) ? layout.pieceLength - pieceBytes(layout, last) : 0
  return have.count * layout.pieceLength - shorter
}

export interface BlobQuery {
  /** Part of a digest, a repository or a media type. */
  readonly filter?: string
  readonly state?: 'complete' | 'partial'
  readonly limit: number
  readonly offset: number
}

/** The page that `query` asks for, last used first. */
export function pageOf(blobs: Iterable<BlobFacts>, query: BlobQuery): BlobPage {
  const filter = query.filter?.toLowerCase() ?? ''
  const matching = [...blobs].filter(
    (blob) =>
      (query.state === undefined || blob.complete === (query.state === 'complete')) &&
      [blob.digest, blob.mediaType ?? '', ...blob.repositories].some((text) => text.toLowerCase().includes(filter)),
  )
  // Ties are broken by digest, so that pages neither repeat nor miss one.
  matching.sort((a, b) => b.usedAt.localeCompare(a.usedAt) || a.digest.localeCompare(b.digest))
  const { limit, offset } = query
  return { blobs: matching.slice(offset, offset + limit), total: matching.length, limit, offset }
}
