/**
 * A body that outlives its connections. When one breaks or stalls, the next asks for `Range: bytes=<n>-`; a server that
 * ignores ranges sends everything again, and what is already here is skipped: an empty chunk says so, or who reads would
 * take it for silent. One may also send less than it was asked for and say so (RFC 9110 section 15.3.7): it is asked on.
 * Exactly the promised bytes come out, or a failure does.
 */
import { Failure } from '../failure.ts'
import type { Answer } from './answer.ts'
import { parseContentLength, parseContentRange } from './content-range.ts'
import { pauseAfter, type RetryTools, Transient, unlessAborted } from './retry.ts'

export interface BodyPlan {
  /** For messages: `blob sha256:0123456789ab of docker.io/library/debian`. */
  readonly about: string
  readonly size: number
  readonly start: number
  /** No byte from here on is wanted; all of it where this is not said. */
  readonly end?: number
  /** A connection that has been opened already, at `start` or at 0. */
  readonly first: Answer
  /** Asks again, from `start` on. */
  readonly reopen: (start: number) => Promise<Answer>
  /** Called with every run of bytes that arrives, skipped ones too; the next is read when it resolves. */
  readonly received: (bytes: number, from: Answer) => Promise<void>
  /** Told of a connection that broke off or brought what cannot be; true: there is another place to ask, at once. */
  readonly elsewhere?: (from: Answer, error: Failure) => boolean
  readonly retry: RetryTools
  readonly signal: AbortSignal | undefined
}

/** A connection that brings less than this counts as a failed try, so that a broken server is not asked for ever. */
const progressBytes = 1024 * 1024
const skipped = new Uint8Array()

/** @throws {Failure} `corrupt`, `unavailable`, `too-many`, `denied`, `no-blob`, `no-manifest`, `cancelled` */
export async function* resumedBody(plan: BodyPlan): AsyncGenerator<Uint8Array, void, undefined> {
  const end = Math.min(plan.end ?? plan.size, plan.size)
  let position = plan.start
  let from = plan.start
  let failed = 0
  let answer: Answer | undefined = plan.first
  try {
    while (true) {
      try {
        answer ??= await plan.reopen(position)
        const sent = spanOf(answer, position, plan)
        let at = sent.start
        for await (const batch of answer.batches()) {
          const length = batch.reduce((sum, chunk) => sum + chunk.length, 0)
          await unlessAborted(plan.received(length, answer), plan.signal)
          if (at + length <= position) yield skipped
          for (const chunk of batch) {
            const fresh = at < position ? chunk.subarray(position - at) : chunk
            at += chunk.length
            if (fresh.length === 0) continue
            if (position + fresh.length > plan.size) throw tooLong(plan)
            const wanted = fresh.subarray(0, end - position)
            position += wanted.length
            if (wanted.length > 0) yield wanted
            // A server that ignores ranges sends the rest as well.
            if (wanted.length < fresh.length) return
          }
        }
        if (position === end) return
        const message = `${plan.about} ended after ${position} of ${end} bytes`
        if (position !== sent.end) throw new Failure('corrupt', message)
        if (position - from < progressBytes) throw new Transient('unavailable', `${message}: it comes in small parts`)
        answer = undefined
        failed = 0
        from = position
      } catch (error) {
        const broken = answer
        answer?.close()
        answer = undefined
        // All bytes are here; how the connection ended no longer matters.
        if (error instanceof Transient && position === end) return
        if (broken && error instanceof Failure && error.code !== 'cancelled' && plan.elsewhere?.(broken, error))
          continue
        failed = position - from >= progressBytes ? 1 : failed + 1
        from = position
        await pauseAfter(failed, error, plan.retry, plan.signal)
      }
    }
  } finally {
    answer?.close()
  }
}

/** What of the content the answer's body is. @throws {Failure} `corrupt` when that can begin neither at `wanted` nor at 0 */
function spanOf(answer: Answer, wanted: number, plan: BodyPlan): { readonly start: number; readonly end: number } {
  if (answer.status === 206) {
    const header = answer.headers.get('content-range')
    const range = parseContentRange(header)
    if (range?.start === wanted && (range.size === undefined || range.size === plan.size)) return range
    throw new Failure(
      'corrupt',
      `${plan.about}: asked for bytes ${wanted}- of ${plan.size}, got "${(header ?? 'no Content-Range').slice(0, 80)}"`,
    )
  }
  const length = parseContentLength(answer.headers.get('content-length'))
  if (length === undefined || length === plan.size) return { start: 0, end: plan.size }
  throw new Failure('corrupt', `${plan.about}: its size changed from ${plan.size} to ${length} bytes`)
}

function tooLong(plan: BodyPlan): Failure {
  return new Failure('corrupt', `${plan.about} is longer than the ${plan.size} bytes it was said to have`)
}
