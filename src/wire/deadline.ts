/** Work that must be over in time. */
import type { Clock } from '../clock.ts'
import { Failure } from '../failure.ts'

/**
 * Runs `work` with a signal that aborts after `ms` or with `signal`, and rejects then even if the work ignores it.
 * @throws {Failure} `unavailable` with `late` when time ran out; `cancelled` when `signal` aborted
 */
export async function deadline<T>(
  clock: Clock,
  ms: number,
  late: string,
  work: (signal: AbortSignal) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const controller = new AbortController()
  const { promise: over, reject } = Promise.withResolvers<never>()
  const stop = (failure: Failure) => {
    reject(failure)
    controller.abort(failure)
  }
  const cancelled = () => stop(new Failure('cancelled', 'given up by the caller', { cause: signal?.reason }))
  if (signal?.aborted) cancelled()
  signal?.addEventListener('abort', cancelled, { once: true })
  const cancelTimer = clock.after(ms, () => stop(new Failure('unavailable', late)))
  try {
    return await Promise.race([work(controller.signal), over])
  } finally {
    cancelTimer()
    signal?.removeEventListener('abort', cancelled)
  }
}
