/**
 * Holds a layer that is complete against the digest of what it unpacks to: the index said what its chunks are, and whoever
 * made it may have lied.
 */
import { setImmediate } from 'node:timers/promises'
import { algorithmOf, type Digest, hexOf } from '../../oci/digest.ts'
import type { ChunkTable } from './chunk-table.ts'

const stepBytes = 1024 * 1024

/**
 * @param read verified bytes of chunks, anything between them
 * @param gaps bytes outside of chunks, counted by themselves
 */
export async function unpacksTo(
  diffId: Digest,
  table: ChunkTable,
  read: (at: number, length: number) => Promise<Uint8Array>,
  gaps: (at: number, length: number) => Promise<Uint8Array>,
): Promise<boolean> {
  const hasher = new Bun.CryptoHasher(algorithmOf(diffId))
  for (let at = 0; at < table.size; at += stepBytes) {
    const end = Math.min(table.size, at + stepBytes)
    const bytes = await read(at, end - at)
    await fill(bytes, at, end, table, gaps)
    hasher.update(bytes)
    // Nobody waits for this, and others wait for this thread.
    await setImmediate()
  }
  return hasher.digest('hex') === hexOf(diffId)
}

async function fill(
  bytes: Uint8Array,
  at: number,
  end: number,
  table: ChunkTable,
  gaps: (at: number, length: number) => Promise<Uint8Array>,
): Promise<void> {
  const from = table.gapBytesUpTo(at)
  const rest = await gaps(from, table.gapBytesUpTo(end) - from)
  let [used, place] = [0, at]
  const take = (to: number) => {
    if (to <= place) return
    bytes.set(rest.subarray(used, used + to - place), place - at)
    used += to - place
  }
  const [first, last] = table.within(at, end)
  for (let chunk = first; chunk < last; chunk++) {
    take(table.start(chunk))
    place = Math.max(place, table.end(chunk))
  }
  take(end)
}
