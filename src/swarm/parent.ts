/** What a download knows about one parent: what it holds, how fast it is, how often it failed. */
import { Meter } from '../meter.ts'
import type { Bitmap } from '../piece/bitmap.ts'
import type { Tuning } from './tuning.ts'

export interface Request {
  readonly id: number
  readonly parent: string
  /** Set once it is known which piece it brings: at once when it asks for that piece, else when the parent has chosen. */
  piece?: number
  readonly sentAt: number
}

export class Parent {
  readonly id: string
  readonly have: Bitmap
  readonly requests = new Map<number, Request>()
  /** How many of its pieces may be asked for now; kept by the download. */
  useful = 0
  failuresInRow = 0
  busyUntil = 0
  /** It reads the blob from the source: it has every piece first, and what it sends nobody else has. */
  feeding = false
  readonly meter: Meter

  constructor(id: string, have: Bitmap, now: number) {
    this.id = id
    this.have = have
    this.meter = new Meter(now)
  }

  arrived(bytes: number, now: number): void {
    this.meter.add(bytes, now)
    this.failuresInRow = 0
  }

  /** Requests this parent may have in flight: enough to keep its link busy for `pipelineMs`. */
  pipeline(tuning: Tuning, pieceLength: number, now: number): number {
    const byRate = tuning.leastPipeline + Math.floor((this.meter.perMs(now) * tuning.pipelineMs) / pieceLength)
    return Math.min(tuning.mostPipeline, byRate)
  }
}
