/**
 * Which piece to ask a parent for next. Pure: the same view and the same dice give the same answer.
 *
 * Three tiers: pieces a reader is about to need, pieces inside the window ahead of the readers, the rest. Inside a tier
 * the rarest goes first, so that no two hosts fetch the same thing from the seed while there is something nobody has;
 * equals are chosen at random, from a random place on. Eight pieces are passed over at a time where there is nothing to
 * pick, for most of the time there is little.
 */
import type { Random } from '../clock.ts'
import type { Bitmap } from '../piece/bitmap.ts'

export interface PieceView {
  /** Pieces that may be asked for, that are not here, not asked for, and whose digest is known. */
  readonly free: Bitmap
  /** By piece: how many parents hold it. */
  readonly availability: Uint16Array
  /** First piece each reader still misses. */
  readonly readers: readonly number[]
  readonly urgentPieces: number
  readonly windowPieces: number
}

/** The best free piece among those `held`; `undefined` when there is none. */
export function pick(view: PieceView, held: Bitmap, random: Random): number | undefined {
  const free = view.free.bytes
  const have = held.bytes
  const count = free.length
  const dice = Math.floor(random() * 8 * count)
  const [offset, turn] = [dice >> 3, dice & 7]
  let best: number | undefined
  let least = Number.POSITIVE_INFINITY
  for (let k = 0; k < count; k++) {
    const byte = k + offset < count ? k + offset : k + offset - count
    const both = free[byte]! & have[byte]!
    if (both === 0) continue
    for (let i = turn; i < turn + 8; i++) {
      if ((both & (1 << (i & 7))) === 0) continue
      const piece = 8 * byte + (i & 7)
      const rank = rankOf(view, piece)
      if (rank >= least) continue
      least = rank
      best = piece
    }
  }
  return best
}

const tierWeight = 1 << 20

function rankOf(view: PieceView, piece: number): number {
  const { readers } = view
  let tier = readers.length === 0 ? 1 : 2
  for (let i = 0; i < readers.length; i++) {
    const ahead = piece - readers[i]!
    if (ahead < 0) continue
    if (ahead < view.urgentPieces) tier = 0
    else if (ahead < view.windowPieces && tier > 1) tier = 1
  }
  return tier * tierWeight + view.availability[piece]!
}
