/**
 * Which piece to ask a parent for next. Pure: the same view and the same dice give the same answer.
 *
 * Four tiers: pieces a reader is about to need, pieces of a part that somebody waits for, pieces inside the window ahead of
 * the readers, the rest. Inside a tier
 * the rarest goes first, so that no two hosts fetch the same thing from the seed while there is something nobody has;
 * equals are chosen at random, from a random place on. A tier is looked at only when those before it have nothing, and
 * eight pieces are passed over at a time where there is nothing to pick, for most of the time there is little.
 */
import type { Random } from '../../clock.ts'
import type { Bitmap, ReadonlyBitmap } from '../../piece/bitmap.ts'

export interface PieceView {
  /** Pieces that may be asked for, that are not here, not asked for, and whose digest is known. */
  readonly free: ReadonlyBitmap
  /** Those of them that somebody waits for who wants a part of the blob. */
  readonly awaited?: ReadonlyBitmap
  /** By piece: how many parents hold it. */
  readonly availability: ArrayLike<number>
  /** First piece each reader still misses. */
  readonly readers: readonly number[]
  readonly urgentPieces: number
  readonly windowPieces: number
}

/** The best free piece among those `held`; `undefined` when there is none. */
export function pick(view: PieceView, held: Bitmap, random: Random): number | undefined {
  const { readers, free, urgentPieces, windowPieces } = view
  const dice = random()
  if (readers.length === 0) return waitedFor(view, held, dice) ?? rarest(view, held, 0, free.length, dice, undefined)
  return (
    ahead(view, held, urgentPieces, dice) ??
    waitedFor(view, held, dice) ??
    ahead(view, held, windowPieces, dice) ??
    rarest(view, held, 0, free.length, dice, undefined)
  )
}

function waitedFor({ awaited, availability }: PieceView, held: Bitmap, dice: number): number | undefined {
  if (!awaited || awaited.count === 0) return undefined
  return rarest({ free: awaited, availability }, held, 0, awaited.length, dice, undefined)
}

/** The rarest of the pieces up to so far ahead of any reader. */
function ahead(view: PieceView, held: Bitmap, far: number, dice: number): number | undefined {
  const { readers, free } = view
  const place = dice * readers.length
  const offset = Math.floor(place)
  let best: number | undefined
  for (let k = 0; k < readers.length; k++) {
    const reader = readers[(k + offset) % readers.length]!
    best = rarest(view, held, reader, Math.min(reader + far, free.length), place - offset, best)
  }
  return best
}

/** The rarest of pieces `from` up to `to` (exclusive), unless `best` is as rare. */
function rarest(
  { free, availability }: Pick<PieceView, 'free' | 'availability'>,
  held: Bitmap,
  from: number,
  to: number,
  dice: number,
  best: number | undefined,
): number | undefined {
  const [wanted, have] = [free.bytes, held.bytes]
  const start = from + Math.floor(dice * (to - from))
  let rare = best
  let least = best === undefined ? Number.POSITIVE_INFINITY : availability[best]!
  // From a random place to the end, then what is before that place.
  for (let lap = 0; lap < 2; lap++) {
    const end = lap === 0 ? to : start
    for (let piece = lap === 0 ? start : from; piece < end; piece++) {
      const both = wanted[piece >> 3]! & have[piece >> 3]!
      if (both === 0) piece |= 7
      else if ((both & (1 << (piece & 7))) !== 0 && availability[piece]! < least) {
        // Rarer than what one parent alone holds there is nothing.
        if (availability[piece]! <= 1) return piece
        least = availability[piece]!
        rare = piece
      }
    }
  }
  return rare
}

/** The rarest of these that may be picked, the first of equals. */
export function rarestOf(
  pieces: readonly number[],
  may: (piece: number) => boolean,
  availability: ArrayLike<number>,
): number | undefined {
  let best: number | undefined
  for (const piece of pieces)
    if (may(piece) && (best === undefined || availability[piece]! < availability[best]!)) best = piece
  return best
}
