/** What is to become of a file in an engine's content store. Pure. */
import type { Blob } from '../store/blob-store.ts'

/** A whole, committed blob of the engine, as its file is now. */
export interface Found {
  readonly size: number
  /** When anything of the file last changed, wall ms. */
  readonly changedAt: number
}

export type Held = Pick<Blob, 'complete' | 'borrowed' | 'kind' | 'size'>

export interface Circumstances {
  /** Wall ms. */
  readonly now: number
  /** Somebody asked that the blob stays on this node. */
  readonly pinned: boolean
  /** Some repository is known to have it. */
  readonly known: boolean
  /** The file as it was when it was last found wrong, or its blob was removed here: its `changedAt` then. */
  readonly refused: number | undefined
  /** Its `changedAt` when it was borrowed. */
  readonly borrowedAt: number | undefined
}

export type Verdict =
  /** The blob is here, and came through this node: its own file can go. */
  | { readonly do: 'borrow' }
  /** The blob is not here. Only once its registry has shown that it has it may it be given to others. */
  | { readonly do: 'prove' }
  /** It is borrowed, and somebody asked that it stays: the engine may remove its file at any time. */
  | { readonly do: 'take back' }
  /** It is borrowed, and the file is another one now. */
  | { readonly do: 'give back'; readonly reason: string }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'leave'; readonly reason: string }

/** Smaller ones are kept twice: manifests and configs, which the node should still have when the engine drops an image. */
export const leastBytes = 64 * 1024
/** An engine that keeps no layers once they are unpacked removes them by then, in ms. */
export const settleMs = 3000

export function judge(found: Found, held: Held | undefined, circumstances: Circumstances): Verdict {
  const { now, pinned, known, refused, borrowedAt } = circumstances
  const leave = (reason: string): Verdict => ({ do: 'leave', reason })
  if (held?.borrowed) {
    if (found.size !== held.size || (borrowedAt !== undefined && borrowedAt !== found.changedAt)) {
      return { do: 'give back', reason: 'the engine has another file of it now' }
    }
    return pinned ? { do: 'take back' } : leave('it is read there')
  }
  if (found.size < leastBytes || held?.kind === 'manifest') return leave('it is small')
  if (refused === found.changedAt) return leave('it is not to be used')
  if (held && !held.complete) return leave('it is on its way to this node')
  if (held && held.size !== found.size) return leave('its size is not that of the blob')
  // What has to stay stays here: of the other file the engine alone decides.
  if (pinned) return leave('it is pinned')
  if (!held && !known) return leave('nothing is known of where it comes from')
  const age = now - found.changedAt
  // A time in the future is of a clock that was wrong.
  if (age >= 0 && age < settleMs) return { do: 'wait', ms: settleMs - age }
  return held ? { do: 'borrow' } : { do: 'prove' }
}
