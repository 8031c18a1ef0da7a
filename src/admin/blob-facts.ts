/** From the store's blobs to what the API lists. */

import { formatRepository } from '../oci/reference.ts'
import { pieceBytes } from '../piece/layout.ts'
import type { Blob, BlobStore } from '../store/blob-store.ts'
import type { BlobFacts, BlobPage, BlobQuery } from './view.ts'

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

/** The page that `query` asks for, last used first. Where blobs were seen is asked of those on it alone: a store has many. */
export function pageOf(
  store: Pick<BlobStore, 'all' | 'repositoriesOf' | 'seenWhere'>,
  { filter = '', state, limit, offset }: BlobQuery,
): BlobPage {
  const text = filter.toLowerCase()
  const seen = text === '' ? undefined : store.seenWhere(text)
  const fits = ({ digest, mediaType = '' }: Blob) =>
    !seen || digest.includes(text) || mediaType.toLowerCase().includes(text) || seen.has(digest)
  const matching = [...store.all()].filter(
    (blob) => (state === undefined || blob.complete === (state === 'complete')) && fits(blob),
  )
  // Ties are broken by digest, so that pages neither repeat nor miss one.
  matching.sort((a, b) => b.usedAt - a.usedAt || (a.digest < b.digest ? -1 : 1))
  const blobs = matching.slice(offset, offset + limit).map((blob) => blobFacts(blob, store))
  return { blobs, total: matching.length, limit, offset }
}
