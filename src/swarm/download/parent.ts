/** What a download knows about one parent: what it holds, how fast it is, how often it failed. */
import { Meter } from '../../meter.ts'
import type { Bitmap } from '../../piece/bitmap.ts'
import type { Tuning } from './tuning.ts'

export interface Request {
  readonly id: number
  readonly parent: string
  /** Set once it is known which piece it brings: at once when it asks for that piece, else when the parent has chosen. */
  piece?: number
  sentAt: number
  /** A limit of this node's own keeps it back: it has not been sent yet, and nobody owes what it is for. */
  queued?: boolean
  /** Its piece is being sent. */
  started?: boolean
  /** Of one for just anything: pieces that it is not to bring. */
  readonly unwanted?: Bitmap
  /** It is for what somebody waits for, and nothing else. */
  readonly aimed?: boolean
  /** Of a part, and nobody waits for it yet. */
  readonly ahead?: boolean
}

export class Parent {
  readonly id: string
  readonly have: Bitmap
  readonly requests = new Map<number, Request>()
  failuresInRow = 0
  busyUntil = 0
  /** It reads the blob from the source: it has every piece first, and what it sends nobody else has. */
  feeding = false
  readonly meter: Meter
  /** It first said what it holds. */
  readonly since: number

  /** Requests it may have in flight. */
  pipeline: number

  constructor(id: string, have: Bitmap, pipeline: number, now: number) {
    this.id = id
    this.have = have
    this.pipeline = pipeline
    this.since = now
    this.meter = new Meter(now)
  }

  arrived(bytes: number, now: number): void {
    this.meter.add(bytes, now)
    this.failuresInRow = 0
  }

  /**
   * As many requests may be in flight as keep its link busy for `pipelineMs`; more where there are few parents, unless so
   * many blobs come beside this one that its line would be full of requests for them.
   */
  adapt(tuning: Tuning, parents: number, blobs: number, pieceLength: number, now: number): void {
    const least = Math.max(tuning.leastPipeline, Math.ceil(tuning.leastInFlight / (parents * blobs)))
    const byRate = least + Math.floor((this.meter.perMs(now) * tuning.pipelineMs) / pieceLength)
    this.pipeline = Math.min(tuning.mostPipeline, byRate)
  }
}
