/** Whether an index that somebody made is that of a layer which is here. */
import { equals } from 'uint8arrays/equals'
import { type Points, packedWindow } from '../zran/points.ts'
import { unpackWindow } from '../zran/window.ts'
import { decodeIndex, factsOf } from './decode.ts'
import { maker } from './encode.ts'
import type { LayerIndex } from './layer-index.ts'

/** `unknown`: nothing in it is known to be wrong, but another release made it in a way of its own. */
export type Verdict = 'right' | 'wrong' | 'unknown'

/**
 * @param theirs as it came
 * @param own what this shoal made of the layer itself
 */
export function checkIndex(theirs: Uint8Array, own: LayerIndex): Verdict {
  let said: LayerIndex
  let by: number
  try {
    by = factsOf(theirs).said.maker
    said = decodeIndex(theirs)
  } catch {
    // One of a later version cannot be read, so nobody here believes it either.
    return 'wrong'
  }
  if (!sameLayer(said, own)) return 'wrong'
  if (equals(said.metadata, own.metadata) && samePoints(said.points, own.points)) return 'right'
  return by === maker ? 'wrong' : 'unknown'
}

/** What the layer alone decides, whoever reads it. */
function sameLayer(a: LayerIndex, b: LayerIndex): boolean {
  return (
    a.layer === b.layer &&
    a.diffId === b.diffId &&
    a.compression === b.compression &&
    a.compressedSize === b.compressedSize &&
    a.size === b.size &&
    a.chunks.count === b.chunks.count &&
    a.chunks.starts.every((start, i) => start === b.chunks.starts[i]) &&
    a.chunks.lengths.every((length, i) => length === b.chunks.lengths[i]) &&
    equals(a.chunks.digests, b.chunks.digests)
  )
}

/** Windows may be packed by different releases of zstd. */
function samePoints(a: Points, b: Points): boolean {
  if (a.count !== b.count) return false
  for (let i = 0; i < a.count; i++) {
    if (a.at[i] !== b.at[i] || a.from[i] !== b.from[i] || a.bits[i] !== b.bits[i]) return false
    const [ours, theirs] = [packedWindow(b, i), packedWindow(a, i)]
    if (!equals(ours, theirs) && !sameUnpacked(ours, theirs)) return false
  }
  return true
}

function sameUnpacked(ours: Uint8Array, theirs: Uint8Array): boolean {
  try {
    return equals(unpackWindow(ours), unpackWindow(theirs))
  } catch {
    return false
  }
}
