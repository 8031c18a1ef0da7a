/**
 * Points: places in a compressed layer from which unpacking can begin. A gzip point lies at the beginning of a deflate
 * block, so it is a place in bits, and needs the bytes before it that the blocks after it refer to: its window.
 * A zstd point is the beginning of a frame and needs nothing.
 */
export type Compression = 'none' | 'gzip' | 'zstd'

/** How far back a deflate stream may refer: RFC 1951, section 2. */
export const mostWindowBytes = 32 * 1024

/** Columns of equal length, ascending in `at` and `from`; packed, for a large layer has thousands. */
export interface Points {
  readonly count: number
  /** Place in the unpacked layer at which the bytes after the point lie. The first is 0, unless there is no point. */
  readonly at: Float64Array
  /** Place in the compressed layer of the first byte of which every bit is unread. */
  readonly from: Float64Array
  /** How many of the high bits of the byte before `from` are unread yet: 0 to 7. */
  readonly bits: Uint8Array
  /** The windows one after the other, each packed by itself ({@link windowOf} unpacks them). */
  readonly windows: Uint8Array
  /** Where each window ends in `windows`; an empty one is no window. */
  readonly windowEnds: Float64Array
}

export const noPoints: Points = {
  count: 0,
  at: new Float64Array(0),
  from: new Float64Array(0),
  bits: new Uint8Array(0),
  windows: new Uint8Array(0),
  windowEnds: new Float64Array(0),
}

/** The packed window of a point; empty when it needs none. */
export function packedWindow({ windows, windowEnds }: Points, point: number): Uint8Array {
  return windows.subarray(point === 0 ? 0 : windowEnds[point - 1]!, windowEnds[point]!)
}
