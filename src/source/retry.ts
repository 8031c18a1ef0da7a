/** When to try again, and how long to wait before it. */
import { type Clock, pause, type Random } from '../clock.ts'
import { Failure, type FailureCode } from '../failure.ts'
import type { Log } from '../telemetry/log.ts'

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
  readonly log: Log
}

/** Calls `attempt` until it succeeds, fails for good, or the policy gives up; then its last failure is thrown. */
export async function retrying<T>(
  tools: RetryTools,
  signal: AbortSignal | undefined,
  attempt: () => Promise<T>,
): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await attempt()
    } catch (error) {
      await pauseAfter(tried, error, tools, signal)
    }
  }
}

/**
 * Waits before the next try, after try number `tried` failed with `error`.
 * @throws the error itself when there is to be no next try; {Failure} `cancelled` when the signal aborts first
 */
export async function pauseAfter(
  tried: number,
  error: unknown,
  { policy, clock, random, log }: RetryTools,
  signal: AbortSignal | undefined,
): Promise<void> {
  const wait = error instanceof Transient ? waitAfter(tried, error.waitMs, policy, random) : undefined
  if (wait === undefined || !(error instanceof Transient)) throw error
  log.info(`${error.message}; trying again in ${(wait / 1000).toFixed(1)} s`, { tried })
  await pause(clock, wait, signal).catch(() => {
    throw cancelled()
  })
}

/**
 * What `promise` gives, or at once the failure `cancelled` when the signal aborts first, or had before. How the promise ends
 * is then nobody's concern: a rejection that nobody looks at would end the process.
 */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = () => reject(cancelled())
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort, { once: true })
  return Promise.race([aborted, promise]).finally(() => signal.removeEventListener('abort', abort))
}

export function cancelled(): Failure {
  return new Failure('cancelled', 'the request to the source was given up by whoever made it')
}
