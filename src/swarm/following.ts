/**
 * A request for a piece that may be answered with another node's name: whoever is being sent the piece passes it on as it
 * comes. That node is asked instead, and may name the next; where nothing comes of it, the parent is asked once more, and
 * then for the piece itself.
 */
import type { NodeCard } from '../cluster/node-info.ts'
import { Bitmap } from '../piece/bitmap.ts'
import { Elsewhere, type PieceAnswer, type WantedPieces } from '../wire/wire.ts'

/** Who is asked names another, which names another: so many times. */
export const mostHops = 8

export interface Following {
  readonly parent: NodeCard
  readonly wanted: WantedPieces
  /** Pieces of the blob. */
  readonly count: number
  readonly signal: AbortSignal
  ask(node: NodeCard, wanted: WantedPieces): Promise<PieceAnswer>
  /** What that node sends is taken. */
  may(node: NodeCard): boolean
  /** That piece will come, whoever brings it. */
  bound(piece: number): void
}

/** Who brought it, with it. @throws {Failure} what the parent's answer was in the end, as `Outbound.piece` */
export async function follow(following: Following): Promise<{ from: NodeCard; answer: PieceAnswer }> {
  const { parent, wanted, signal, ask, may, bound } = following
  const { background = false, bytes } = wanted
  const named = (piece: number) => ({ pieces: [piece], background, ...(bytes !== undefined && { bytes }) })
  let from = parent
  let what = wanted
  let piece: number | undefined
  for (let hops = 1; ; hops++) {
    try {
      return { from, answer: await ask(from, what) }
    } catch (error) {
      const told = what.follow && error instanceof Elsewhere && isWanted(error.piece, following) ? error : undefined
      if (signal.aborted || (from === parent && !told)) throw error
      piece ??= told?.piece
      if (piece === undefined) throw error
      // Others may be told to ask for it here, and what came of it in vain is not what comes now.
      bound(piece)
      if (told && told.piece === piece && told.node.id !== parent.id && may(told.node)) {
        from = told.node
        what = { ...named(piece), coming: true, ...(hops < mostHops && wanted.follow && { follow: wanted.follow }) }
      } else {
        from = parent
        what = named(piece)
      }
    }
  }
}

function isWanted(piece: number, { wanted, count }: Following): boolean {
  if ('pieces' in wanted) return wanted.pieces.includes(piece)
  return piece < count && !new Bitmap(count, wanted.unwanted).has(piece)
}
