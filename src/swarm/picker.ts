/**
 * Which piece to ask a parent for next. Pure: the same view and the same dice give the same answer.
 *
 * Three tiers: pieces a reader is about to need, pieces inside the window ahead of the readers, the rest. Inside a tier
 * the rarest goes first, so that no two hosts fetch the same thing from the seed while there is something nobody has;
 * equals are chosen at random, from a random place on.
 */
import type { Random } from '../clock.ts'
import type { Bitmap } from '../piece/bitmap.ts'

export interface PieceView {
  /** By piece: 1 where it may be asked for, that is not here, not asked for, and its digest is known. */
  readonly free: Uint8Array
  /** By piece: how many parents hold it. */
  readonly availability: Uint16Array
  /** First piece each reader still misses. */
  readonly readers: readonly number[]
  readonly urgentPieces: number
  readonly windowPieces: number
}

/** The best free piece among those `held`; `undefined` when there is none. */
export function pick(view: PieceView, held: Bitmap, random: Random): number | undefined {
  const { free } = view
  const count = free.length
  const offset = Math.floor(random() * count)
  let best: number | undefined
  let least = Number.POSITIVE_INFINITY
  for (let k = 0; k < count; k++) {
    const piece = k + offset < count ? k + offset : k + offset - count
    if (free[piece] === 0 || !held.has(piece)) continue
    const rank = rankOf(view, piece)
    if (rank >= least) continue
    least = rank
    best = piece
  }
  return best
}

const tierWeight = 1 << 20

function rankOf(view: PieceView, piece: number): number {
  let tier = view.readers.length === 0 ? 1 : 2
  for (const position of view.readers) {
    const ahead = piece - position
    if (ahead < 0) continue
    if (ahead < view.urgentPieces) tier = 0
    else if (ahead < view.windowPieces && tier > 1) tier = 1
  }
  return tier * tierWeight + view.availability[piece]!
}
