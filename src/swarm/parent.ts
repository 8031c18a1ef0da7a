/** What a download knows about one parent: what it holds, how fast it is, how often it failed. */
import { Meter } from '../meter.ts'
import type { Bitmap } from '../piece/bitmap.ts'
import type { Tuning } from './tuning.ts'

export interface Request {
  readonly id: number
  readonly parent: string
  /** In order of preference; the parent chooses one. */
  readonly candidates: readonly number[]
  /** Set once the parent has chosen (at once when there is one candidate). */
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
