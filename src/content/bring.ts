/** Content that somebody on this node wants here whole, and nobody reads. */

import { unlessAborted } from '../source/retry.ts'
import type { Location } from '../source/source.ts'
import type { Blob, BlobStore } from '../store/blob-store.ts'
import type { Swarm } from '../swarm/swarm.ts'

export interface Bringing {
  readonly store: Pick<BlobStore, 'find'>
  readonly swarm: Pick<Swarm, 'fetch'>
}

/** @throws {Failure} why it does not come; `cancelled` */
export async function bringWhole(
  { store, swarm }: Bringing,
  location: Location,
  size: number,
  signal: AbortSignal,
): Promise<Blob> {
  const held = store.find(location.digest)
  if (held?.complete) return held
  const transfer = swarm.fetch(location, size)
  const letGo = transfer.keep()
  try {
    return await unlessAborted(transfer.finished, signal)
  } finally {
    letGo()
  }
}
