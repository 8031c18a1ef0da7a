/**
 * Reads from the source the parts of a blob that somebody waits for, each by a request of its own, a few at a time: beside
 * the stream that brings all of it in order, or alone where nobody wants all of it. Then it waits until somebody wants
 * more, and costs nothing.
 */
import type { Clock } from '../../clock.ts'
import { Failure } from '../../failure.ts'
import { type Layout, pieceBytes, pieceStart } from '../../piece/layout.ts'
import type { Location, Source } from '../../source/source.ts'
import type { Blob } from '../../store/blob-store.ts'
import type { Run } from '../download/aims.ts'
import type { Intake } from './intake.ts'

export interface RangeHost {
  /** The pieces to read next, of those that somebody waits for and that come from nowhere else; `most` at most. */
  next(most: number): Run | undefined
  /** These pieces are on their way: nobody else is asked for them. */
  reading(pieces: readonly number[]): void
  /** The piece is stored, or was not to be had after all. */
  over(piece: number, stored: boolean): void
  /** The source has sent something. */
  heard(): void
  /** It sends all of it, whatever part is asked for: that is not for here. */
  sentAll(): void
}

export interface RangeFeedOptions {
  readonly source: Source
  readonly location: Location
  readonly blob: Blob
  readonly clock: Clock
  readonly intake: Intake
  readonly host: RangeHost
}

/** Each costs the source a request and waits for a round trip; more at once would only share its link. */
export const mostRanges = 4
/** Asked for at a time, for others wait as well. */
export const rangeBytes = 4 * 1024 * 1024

export class RangeFeed {
  readonly #o: RangeFeedOptions
  readonly #layout: Layout
  readonly #reading = new Set<Promise<void>>()
  /** Pieces that this has brought, and that it is bringing. */
  readonly #brought = new Set<number>()
  readonly #coming = new Set<number>()
  #signal: AbortSignal | undefined
  #fail: (error: unknown) => void = () => {}

  constructor(options: RangeFeedOptions) {
    this.#o = options
    this.#layout = options.blob.layout
  }

  /** Something is on its way. */
  get busy(): boolean {
    return this.#reading.size > 0
  }

  /** The source has sent something in parts. */
  get any(): boolean {
    return this.#coming.size + this.#brought.size > 0
  }

  isComing(piece: number): boolean {
    return this.#coming.has(piece)
  }

  /** The source has sent it in answer to a request for a part, or is about to. */
  has(piece: number): boolean {
    return this.#coming.has(piece) || this.#brought.has(piece)
  }

  /** Reads what is needed until `signal` aborts. @throws {Failure} what the source said */
  async run(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    signal.addEventListener('abort', () => resolve(), { once: true })
    if (signal.aborted) return
    this.#signal = signal
    this.#fail = reject
    this.look()
    try {
      await promise
    } finally {
      this.#signal = undefined
      await Promise.allSettled(this.#reading)
    }
  }

  /** Something else may be needed now. */
  look(): void {
    const signal = this.#signal
    const most = Math.max(1, Math.floor(rangeBytes / this.#layout.pieceLength))
    while (signal && !signal.aborted && this.#reading.size < mostRanges) {
      const run = this.#o.host.next(most)
      if (!run) return
      this.#begin(run, signal)
    }
  }

  /** Resolves when nothing is on its way, or when less is than a moment ago. */
  async settled(): Promise<void> {
    if (this.#reading.size > 0) await Promise.race(this.#reading)
  }

  #begin(run: Run, signal: AbortSignal): void {
    const left = new Set<number>()
    for (let piece = run[0]; piece < run[1]; piece++) left.add(piece)
    for (const piece of left) this.#coming.add(piece)
    this.#o.host.reading([...left])
    const over = (piece: number, stored: boolean) => {
      if (!left.delete(piece)) return
      this.#coming.delete(piece)
      if (stored) this.#brought.add(piece)
      this.#o.host.over(piece, stored)
    }
    const reading = this.#read(run, signal, over)
      .catch((error: unknown) => {
        if (!signal.aborted) this.#fail(error)
      })
      .finally(() => {
        this.#reading.delete(reading)
        for (const piece of left) over(piece, false)
        this.look()
      })
    this.#reading.add(reading)
  }

  async #read([from, to]: Run, signal: AbortSignal, over: (piece: number, stored: boolean) => void): Promise<void> {
    const { source, location, blob, intake, host } = this.#o
    const layout = this.#layout
    const stop = new AbortController()
    const end = Math.min(to * layout.pieceLength, layout.size)
    try {
      const either = AbortSignal.any([signal, stop.signal])
      const answer = await source.open(location, pieceStart(layout, from), either, end)
      if (answer.size !== layout.size) {
        throw new Failure(
          'corrupt',
          `the source says ${blob.digest} has ${answer.size} bytes, ${layout.size} were expected`,
          { detail: { size: answer.size } },
        )
      }
      if (answer.ranged === false) return host.sentAll()
      let piece = from
      let bytes = this.#memory(piece)
      let filled = 0
      const written: Promise<void>[] = []
      for await (const chunk of answer.body) {
        host.heard()
        let at = 0
        while (at < chunk.length && piece < to) {
          const part = chunk.subarray(at, at + bytes.length - filled)
          bytes.set(part, filled)
          filled += part.length
          at += part.length
          if (filled < bytes.length) continue
          const taken = piece++
          const { promise, resolve } = Promise.withResolvers<void>()
          written.push(promise)
          await intake.take(taken, bytes, (stored) => {
            over(taken, stored)
            resolve()
          })
          if (piece < to) bytes = this.#memory(piece)
          filled = 0
        }
        // A source that cannot stop there goes on; of one that can the end is read, so that its connection can be used again.
        if (at < chunk.length) break
      }
      await Promise.all(written)
      if (piece < to && !signal.aborted) {
        const got = pieceStart(layout, piece) + filled
        throw new Failure('corrupt', `the source ended after ${got} of ${layout.size} bytes of ${blob.digest}`)
      }
    } finally {
      stop.abort()
    }
  }

  #memory(piece: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(Buffer.allocUnsafeSlow(pieceBytes(this.#layout, piece)).buffer)
  }
}
