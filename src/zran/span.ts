/** Which compressed bytes give which unpacked ones. */
import type { Points } from './points.ts'

export interface Span {
  /** The point unpacking begins at; -1 when the layer is not compressed. */
  readonly point: number
  /** The compressed bytes to fetch: from `from` to before `to`. */
  readonly from: number
  readonly to: number
  /** Place in the unpacked layer of the first byte that comes out of them. */
  readonly at: number
  /** Place in the unpacked layer behind the last byte that comes out of them. */
  readonly until: number
}

/** What has to be fetched to have the unpacked bytes from `start` to before `end`; both lie in the layer. */
export function spanOf(
  points: Points,
  layer: { readonly size: number; readonly compressedSize: number },
  start: number,
  end: number,
): Span {
  if (points.count === 0) return { point: -1, from: start, to: end, at: start, until: end }
  const point = Math.max(0, firstAbove(points.at, start) - 1)
  const next = firstAbove(points.at, end - 1)
  // The bits that precede a point in its byte lie in the byte before `from`.
  const from = points.from[point]! - (points.bits[point]! > 0 ? 1 : 0)
  const last = next >= points.count
  return {
    point,
    from,
    to: last ? layer.compressedSize : points.from[next]!,
    at: points.at[point]!,
    until: last ? layer.size : points.at[next]!,
  }
}

/** Index of the first that is greater than `value`. */
function firstAbove(ascending: Float64Array, value: number): number {
  let low = 0
  let high = ascending.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ascending[middle]! > value) high = middle
    else low = middle + 1
  }
  return low
}
