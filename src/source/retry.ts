/** When to try again, and how long to wait before it. */
import { type Clock, pause, type Random } from '../clock.ts'
import { Failure, type FailureCode } from '../failure.ts'

export interface RetryPolicy {
  /** Tries in all, the first included. */
  readonly attempts: number
  /** Before the second try; doubles with each further one. */
  readonly firstMs: number
  readonly maxMs: number
  /** A server that asks for a longer wait than this is not waited for. */
  readonly patienceMs: number
}

export const defaultRetry: RetryPolicy = { attempts: 4, firstMs: 250, maxMs: 5_000, patienceMs: 30_000 }

/** A failure that may be gone at the next try. */
export class Transient extends Failure {
  /** What the server asked for, in ms. */
  readonly waitMs: number | undefined

  constructor(code: FailureCode, message: string, detail: Record<string, string | number> = {}, waitMs?: number) {
    super(code, message, { detail: waitMs === undefined ? detail : { ...detail, waitMs } })
    this.waitMs = waitMs
  }
}

/**
 * Ms to wait after try number `tried` (from 1): exponential, and between half and all of it by chance, so that nodes
 * that failed together do not come back together. What the server asked for is the least; undefined means give up.
 */
export function waitAfter(
  tried: number,
  asked: number | undefined,
  policy: RetryPolicy,
  random: Random,
): number | undefined {
  if (tried >= policy.attempts || (asked !== undefined && asked > policy.patienceMs)) return undefined
  const backoff = Math.min(policy.maxMs, policy.firstMs * 2 ** (tried - 1)) * (0.5 + random() / 2)
  return Math.max(asked ?? 0, backoff)
}

/** Ms that a Retry-After header (RFC 9110 section 10.2.3: seconds or a date) asks to wait. */
export function parseRetryAfter(header: string | null, wallNow: number): number | undefined {
  const text = header?.trim()
  if (!text) return undefined
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000
  const date = /^[A-Za-z]{3},/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(date) ? undefined : Math.max(0, date - wallNow)
}

export interface RetryTools {
  readonly policy: RetryPolicy
  readonly clock: Clock
  readonly random: Random
}

/** Calls `attempt` until it succeeds, fails for good, or the policy gives up; then its last failure is thrown. */
export async function retrying<T>(
  { policy, clock, random }: RetryTools,
  signal: AbortSignal | undefined,
  attempt: () => Promise<T>,
): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await attempt()
    } catch (error) {
      const wait = error instanceof Transient ? waitAfter(tried, error.waitMs, policy, random) : undefined
      if (wait === undefined) throw error
      await pauseOrCancel(clock, wait, signal)
    }
  }
}

/** @throws {Failure} `cancelled` when the signal aborts first */
export async function pauseOrCancel(clock: Clock, ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await pause(clock, ms, signal)
  } catch {
    throw cancelled()
  }
}

export function cancelled(): Failure {
  return new Failure('cancelled', 'the request to the source was given up by whoever made it')
}
