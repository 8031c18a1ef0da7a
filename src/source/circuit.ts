/**
 * Whether an endpoint is worth asking, where there is another. One that does not answer is out of use at once, one that
 * has problems of its own after a few in a row. Then it is looked at from time to time, more and more seldom; when it
 * answers again, one request tries it, and what becomes of that decides. Pure.
 */

export type Circuit =
  | { readonly state: 'up'; readonly failures: number }
  /** `until`: when it is looked at again; `waitMs`: how long that was. */
  | { readonly state: 'down'; readonly since: number; readonly until: number; readonly waitMs: number }
  /** It answers again, and has not shown yet that it serves. */
  | { readonly state: 'trying'; readonly since: number; readonly waitMs: number }

export type Fault = 'silent' | 'erring'

const mostErrors = 3
export const firstWaitMs = 5_000
export const mostWaitMs = 60_000

export const working: Circuit = { state: 'up', failures: 0 }

export function afterFault(circuit: Circuit, fault: Fault, now: number): Circuit {
  switch (circuit.state) {
    case 'up': {
      const failures = circuit.failures + 1
      return fault === 'silent' || failures >= mostErrors ? down(now, now, firstWaitMs) : { state: 'up', failures }
    }
    case 'trying':
      return down(circuit.since, now, longer(circuit.waitMs))
    case 'down':
      // It was asked for want of a better one: that says nothing new.
      return circuit
  }
}

/** It served something, whatever was thought of it. */
export function afterAnswer(): Circuit {
  return working
}

/** It was looked at. */
export function afterCheck(circuit: Circuit, answers: boolean, now: number): Circuit {
  if (circuit.state !== 'down') return circuit
  const { since, waitMs } = circuit
  return answers ? { state: 'trying', since, waitMs } : down(since, now, longer(waitMs))
}

function down(since: number, now: number, waitMs: number): Circuit {
  return { state: 'down', since, until: now + waitMs, waitMs }
}

function longer(waitMs: number): number {
  return Math.min(2 * waitMs, mostWaitMs)
}

/**
 * Endpoints in the order in which they are asked: those that work, in order of preference; then those that do not, for
 * where all are down asking is better than not asking. One that is being tried keeps its place for one request at a time.
 */
export function orderOf<T>(
  all: readonly T[],
  known: (each: T) => { circuit: Circuit; tried: boolean; avoid: boolean },
): T[] {
  const rank = (each: T) => {
    const { circuit, tried, avoid } = known(each)
    return (circuit.state === 'down' || (circuit.state === 'trying' && tried) ? 2 : 0) + (avoid ? 1 : 0)
  }
  return [...all].sort((a, b) => rank(a) - rank(b))
}
