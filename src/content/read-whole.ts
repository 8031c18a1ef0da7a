import type { Blob } from '../store/blob-store.ts'

/** All bytes of a blob that is whole and small, as manifests are. Eviction leaves it alone meanwhile. */
export async function readWhole(blob: Blob): Promise<Uint8Array> {
  const letGo = blob.hold()
  try {
    return await blob.read({ start: 0, end: blob.size })
  } finally {
    letGo()
  }
}
