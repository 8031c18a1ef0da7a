/**
 * What starts of containers read first of a layer: the numbers of its chunks, in the order in which to bring them. Each
 * start tells its own order; what few of many starts read is not worth bringing beforehand. Pure.
 */

/** A start reads a few hundred chunks of 256 KiB; more than these are a gigabyte. */
export const mostReads = 4096
/** A chunk counts when one of so many starts has read it. */
const oneOf = 4
/** After so many starts half of what they told is forgotten: images are started otherwise than they were. */
const memory = 32

export interface KnownReads {
  /** How many starts have told. */
  readonly starts: number
  readonly chunks: ReadonlyMap<number, ChunkReads>
}

export interface ChunkReads {
  /** How many starts have read it. */
  readonly starts: number
  /** Its mean place in their order. */
  readonly place: number
}

export const noReads: KnownReads = { starts: 0, chunks: new Map() }

/** With what one more start has read, in its order; doubles count once, and what is too much is left out. */
export function withStart(known: KnownReads, start: readonly number[]): KnownReads {
  const read = [...new Set(start)].slice(0, mostReads)
  if (read.length === 0) return known
  const chunks = new Map(known.chunks)
  for (const [place, chunk] of read.entries()) {
    const before = chunks.get(chunk)
    const starts = (before?.starts ?? 0) + 1
    chunks.set(chunk, { starts, place: ((before?.place ?? 0) * (starts - 1) + place) / starts })
  }
  return within(known.starts + 1 < memory ? { starts: known.starts + 1, chunks } : halved(known.starts + 1, chunks))
}

/** In which order to bring them. */
export function orderOf({ starts, chunks }: KnownReads): number[] {
  return [...chunks]
    .filter(([, read]) => read.starts * oneOf >= starts)
    .sort(([a, x], [b, y]) => x.place - y.place || a - b)
    .slice(0, mostReads)
    .map(([chunk]) => chunk)
}

function halved(starts: number, chunks: ReadonlyMap<number, ChunkReads>): KnownReads {
  const half = [...chunks].map(([chunk, read]) => [chunk, { ...read, starts: Math.floor(read.starts / 2) }] as const)
  return { starts: Math.floor(starts / 2), chunks: new Map(half.filter(([, read]) => read.starts > 0)) }
}

/** Those that most starts read stay, and of these the first. */
function within({ starts, chunks }: KnownReads): KnownReads {
  if (chunks.size <= mostReads) return { starts, chunks }
  const best = [...chunks].sort(([, x], [, y]) => y.starts - x.starts || x.place - y.place)
  return { starts, chunks: new Map(best.slice(0, mostReads)) }
}
