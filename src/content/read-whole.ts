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

/** Reads what was not read for long; false if the disk has not kept it. */
export async function isRight(blob: Blob): Promise<boolean> {
  for (let piece = 0; piece < blob.layout.count; piece++) {
    if (!blob.sound(piece) && !(await blob.check(piece))) return false
  }
  return true
}
