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
  readonly count: number
  /** Pieces that may be asked for: not here, digest known, not asked for by anyone. */
  free(piece: number): boolean
  /** Pieces that are among the candidates of a request whose parent has not chosen yet. */
  tentative(piece: number): boolean
  /** How many parents hold the piece. */
  availability(piece: number): number
  /** First piece each reader still misses. */
  readonly readers: readonly number[]
  readonly urgentPieces: number
  readonly windowPieces: number
}

/** Up to `most` pieces of `held`, the best first. */
export function pick(view: PieceView, held: Bitmap, most: number, random: Random): number[] {
  const best: number[] = []
  const ranks: number[] = []
  const { count } = view
  const offset = Math.floor(random() * count)
  for (let k = 0; k < count; k++) {
    const piece = k + offset < count ? k + offset : k + offset - count
    if (!held.has(piece) || !view.free(piece)) continue
    const rank = rankOf(view, piece)
    if (best.length === most && rank >= ranks[most - 1]!) continue
    let at = best.length
    while (at > 0 && ranks[at - 1]! > rank) at--
    best.splice(at, 0, piece)
    ranks.splice(at, 0, rank)
    if (best.length > most) {
      best.pop()
      ranks.pop()
    }
  }
  return best
}

const tierWeight = 1 << 20
const tentativeWeight = 1 << 18

function rankOf(view: PieceView, piece: number): number {
  let tier = view.readers.length === 0 ? 1 : 2
  for (const position of view.readers) {
    const ahead = piece - position
    if (ahead < 0) continue
    if (ahead < view.urgentPieces) tier = 0
    else if (ahead < view.windowPieces && tier > 1) tier = 1
  }
  return tier * tierWeight + (view.tentative(piece) ? tentativeWeight : 0) + view.availability(piece)
}
