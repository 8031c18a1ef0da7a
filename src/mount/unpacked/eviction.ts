/** Which unpacked layers go. Pure. */
import type { Digest } from '../../oci/digest.ts'

export interface Kept {
  readonly digest: Digest
  /** Bytes of the disk. */
  readonly disk: number
  readonly usedAt: number
  readonly mounted: boolean
}

/** The least recently used ones that nobody mounts, until the rest is within the limit. */
export function planRemoval(kept: readonly Kept[], limitBytes: number): Digest[] {
  let excess = kept.reduce((sum, { disk }) => sum + disk, 0) - limitBytes
  const unused = kept.filter(({ mounted }) => !mounted).sort((a, b) => a.usedAt - b.usedAt)
  const going: Digest[] = []
  for (const { digest, disk } of unused) {
    if (excess <= 0) break
    going.push(digest)
    excess -= disk
  }
  return going
}

/** Whether a write failed for want of room: another layer that goes helps with nothing else. */
export function isFull(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'ENOSPC' || code === 'EDQUOT'
}
