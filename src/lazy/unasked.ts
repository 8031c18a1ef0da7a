/**
 * Which layers a seed makes indexes of although nobody has asked: gzip that this node has read from a source itself, so
 * that of all nodes that have it one does the work.
 */
import type { NodeId } from '../cluster/node-info.ts'
import { isOrigin } from '../oci/file.ts'
import type { Repository } from '../oci/reference.ts'
import type { Blob } from '../store/blob-store.ts'

/** RFC 1952, section 2.3.1. */
const gzip = [0x1f, 0x8b] as const
/** Lazily or not, a layer as small as this is here at once. */
const leastBytes = 64 * 1024

/** @throws {Failure} `corrupt` for a file that is not what it was */
export async function isCandidate(blob: Blob, { registry }: Repository, self: NodeId): Promise<boolean> {
  if (!blob.complete || blob.kind !== 'blob' || blob.size < leastBytes || isOrigin(registry)) return false
  if (!readHere(blob, self)) return false
  const letGo = blob.hold()
  try {
    const [first, second] = await blob.read({ start: 0, end: 2 })
    return first === gzip[0] && second === gzip[1]
  } finally {
    letGo()
  }
}

/** Whoever reads from a source states what it has read; of one piece nobody has to. */
function readHere({ layout, metainfo }: Blob, self: NodeId): boolean {
  return layout.count === 1 || metainfo.segments.some(({ signer }) => signer === self)
}
