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
  /** By piece: how many requests whose parent has not chosen yet have it among their candidates. */
  readonly tentative: Uint8Array
  /** By piece: how many parents hold it. */
  readonly availability: Uint16Array
  /** First piece each reader still misses. */
  readonly readers: readonly number[]
  readonly urgentPieces: number
  readonly windowPieces: number
}

/**
 * What to ask the parent that holds `held` for: the best piece, or, when no other parent has it, up to `most` pieces that
 * only this parent has, best first. The parent then sends the one it has sent least, so that a seed's link carries no
 * piece twice while there is one it has not sent. Empty when there is nothing to ask for.
 */
export function pick(view: PieceView, held: Bitmap, most: number, random: Random): number[] {
  const best = ranked(view, held, 1, random)
  if (best.length === 0 || most === 1 || view.availability[best[0]!]! > 1) return best
  return ranked(view, held, most, random).filter((piece) => view.availability[piece] === 1)
}

/** Up to `most` free pieces of `held`, the best first. */
function ranked(view: PieceView, held: Bitmap, most: number, random: Random): number[] {
  const best: number[] = []
  const ranks: number[] = []
  const { free } = view
  const count = free.length
  const offset = Math.floor(random() * count)
  for (let k = 0; k < count; k++) {
    const piece = k + offset < count ? k + offset : k + offset - count
    if (free[piece] === 0 || !held.has(piece)) continue
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
  return tier * tierWeight + (view.tentative[piece]! > 0 ? tentativeWeight : 0) + view.availability[piece]!
}
