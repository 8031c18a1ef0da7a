/**
 * How a blob is cut into pieces: a function of its size alone, so that two nodes that read the same blob from the
 * source make the same metainfo and serve the same swarm.
 */
export interface Layout {
  readonly size: number
  readonly pieceLength: number
  readonly count: number
}

const KiB = 1024
const smallest = 256 * KiB
/**
 * Sizes above which pieces are twice as long. Short pieces spread sooner, and each costs the same work however long it is:
 * of a large blob that work is what bounds a fast host, of a small one the time until a piece can be passed on.
 */
const steps = [16 * KiB * KiB, 512 * KiB * KiB] as const
/** At most this many pieces while the length may still grow: a bitmap of 1 KiB, an announce that fits a packet. */
const mostPieces = 8192
const largest = 4 * KiB * KiB

/** A larger blob is not shared: its bitmap would not fit a frame. */
export const mostBlobBytes = 65_536 * largest

export function layoutOf(size: number): Layout {
  let pieceLength = smallest
  for (const above of steps) if (size > above) pieceLength *= 2
  while (size / pieceLength > mostPieces && pieceLength < largest) pieceLength *= 2
  // An empty blob has one empty piece: everything that counts pieces then works unchanged.
  return { size, pieceLength, count: Math.max(1, Math.ceil(size / pieceLength)) }
}

export function pieceStart(layout: Layout, piece: number): number {
  return piece * layout.pieceLength
}

/** Length of one piece; the last is shorter. */
export function pieceBytes(layout: Layout, piece: number): number {
  return Math.min(layout.pieceLength, layout.size - piece * layout.pieceLength)
}

/** The piece that holds the byte at `offset`. */
export function pieceAt(layout: Layout, offset: number): number {
  return Math.min(Math.floor(offset / layout.pieceLength), layout.count - 1)
}
