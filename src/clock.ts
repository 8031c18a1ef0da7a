/**
 * Time and chance as arguments: nothing below the composition root reads the wall clock or rolls dice by itself,
 * so that a decision can be replayed from a seed.
 */
export interface Clock {
  /** Milliseconds; monotonic, no relation to the wall clock. */
  now(): number
  /** Milliseconds since 1970, for what is stored or shown. */
  wall(): number
  /** Runs `task` once, `ms` from now. Calling the result cancels it. */
  after(ms: number, task: () => void): () => void
}

/** Runs `task` every `ms`, the first time one period from now. Calling the result stops it. */
export function every(clock: Clock, ms: number, task: () => void): () => void {
  let cancel = () => {}
  const arm = () => {
    cancel = clock.after(ms, () => {
      arm()
      task()
    })
  }
  arm()
  return () => cancel()
}

/** Resolves `ms` from now; rejects with the signal's reason when it aborts first. */
export function pause(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const abort = () => {
      cancel()
      reject(signal?.reason)
    }
    const cancel = clock.after(ms, () => {
      signal?.removeEventListener('abort', abort)
      resolve()
    })
    signal?.addEventListener('abort', abort, { once: true })
  })
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, task) {
    const timer = setTimeout(task, ms)
    return () => clearTimeout(timer)
  },
}

/** Uniform in [0, 1). */
export type Random = () => number

/** mulberry32: 32 bits of state, good enough to break ties and spread load; never for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** Fisher-Yates, in place. */
export function shuffle<T>(items: T[], random: Random): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    const swap = items[i]!
    items[i] = items[j]!
    items[j] = swap
  }
  return items
}
