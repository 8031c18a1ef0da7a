/**
 * Which layers a seed makes indexes of although nobody has asked: gzip that this node has read from a source itself, so
 * that of all nodes that have it one does the work.
 */
import { isOrigin } from '../oci/file.ts'
import type { Blob, BlobStore } from '../store/blob-store.ts'

/** RFC 1952, section 2.3.1. */
const gzip = [0x1f, 0x8b] as const
/** Lazily or not, a layer as small as this is here at once. */
const leastBytes = 64 * 1024

/** @throws {Failure} `corrupt` for a file that is not what it was */
export async function isCandidate(
  blob: Blob,
  self: string,
  store: Pick<BlobStore, 'repositoriesOf'>,
): Promise<boolean> {
  if (!blob.complete || blob.kind !== 'blob' || blob.size < leastBytes || !readHere(blob, self)) return false
  if (!store.repositoriesOf(blob.digest).some(({ registry }) => !isOrigin(registry))) return false
  const letGo = blob.hold()
  try {
    const [first, second] = await blob.read({ start: 0, end: 2 })
    return first === gzip[0] && second === gzip[1]
  } finally {
    letGo()
  }
}

/** Whoever reads from a source states what it has read; of one piece nobody has to. */
function readHere({ layout, metainfo }: Blob, self: string): boolean {
  return layout.count === 1 || metainfo.segments.some(({ signer }) => signer === self)
}
