import { type Clock, pause } from '../../clock.ts'
import { Failure } from '../../failure.ts'

export interface EndEachOptions {
  readonly clock: Clock
  /** For each. */
  readonly mostMs: number
  readonly failed: (error: unknown) => void
}

/** Carries out one after the other. What fails, or takes longer than it may, is told, and keeps none of the others back. */
export async function endEach(
  ends: readonly (() => Promise<void>)[],
  { clock, mostMs, failed }: EndEachOptions,
): Promise<void> {
  for (const end of ends) {
    const over = new AbortController()
    try {
      await Promise.race([end(), late(clock, mostMs, over.signal)])
    } catch (error) {
      failed(error)
    } finally {
      over.abort()
    }
  }
}

async function late(clock: Clock, mostMs: number, signal: AbortSignal): Promise<never> {
  await pause(clock, mostMs, signal)
  throw new Failure('unavailable', `not all has ended after ${mostMs / 1000} s`)
}
