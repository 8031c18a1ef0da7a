/** How far apart points are, and the points as they are kept. */
import type { Points } from './points.ts'

export interface Point {
  readonly at: number
  readonly from: number
  readonly bits: number
  /** Packed. */
  window: Uint8Array
}

/** A point is taken where a block begins when this much has come since the last one. */
export interface Spacing {
  /** Compressed bytes: what a read may have to fetch in vain. */
  readonly compressed: number
  /** Unpacked bytes: what a read may have to inflate in vain. */
  readonly unpacked: number
}

/**
 * Measured on a Debian tree of 1.42 GB, 516 MB as gzip: with points every 128 KiB the index is
 * 9.1 MB, every 256 KiB 5.3 MB, which take 0.73 and 0.43 s of a link of 100 Mbit/s before it can be mounted. Nearer points
 * should save little that makes up for it, which was not measured: a node fetches pieces of 256 KiB to 1 MiB, however
 * short the range is.
 * What packs very well has a point every MiB, so that no read inflates for more than some milliseconds in vain.
 */
export const standardSpacing: Spacing = { compressed: 256 * 1024, unpacked: 1024 * 1024 }

/** More points are not kept: every other one is left out, and they are twice as far apart from there on. */
export const mostPoints = 65_536

export class PointList {
  #points: Point[] = []
  #spacing: Spacing
  readonly #most: number

  constructor(spacing: Spacing, most = mostPoints) {
    this.#spacing = spacing
    this.#most = most
  }

  /** Whether a point is wanted here; it must not be where the last one is. */
  wants(at: number, from: number): boolean {
    const last = this.#points.at(-1)
    if (!last) return true
    if (at <= last.at) return false
    return from - last.from >= this.#spacing.compressed || at - last.at >= this.#spacing.unpacked
  }

  add(point: Point): void {
    if (this.#points.length >= this.#most) {
      this.#points = this.#points.filter((_, index) => index % 2 === 0)
      this.#spacing = { compressed: this.#spacing.compressed * 2, unpacked: this.#spacing.unpacked * 2 }
    }
    this.#points.push(point)
  }

  packed(): Points {
    const points = this.#points
    const windows = new Uint8Array(points.reduce((sum, point) => sum + point.window.length, 0))
    const windowEnds = new Float64Array(points.length)
    let end = 0
    points.forEach((point, index) => {
      windows.set(point.window, end)
      end += point.window.length
      windowEnds[index] = end
    })
    return {
      count: points.length,
      at: Float64Array.from(points, (point) => point.at),
      from: Float64Array.from(points, (point) => point.from),
      bits: Uint8Array.from(points, (point) => point.bits),
      windows,
      windowEnds,
    }
  }
}
