/**
 * When news about pieces is told: soon after a rest, so that what is rare is passed on at once; and not often, for every
 * neighbour reads every message. Pure; in ms.
 */

/** What comes together is told together. */
const gatherMs = 10
/** Shortest time between two batches: the simulation takes as long with it as with half of it, and nodes work less. */
export const usualBatchMs = 100

/** Time of the next batch, when there is news `now` and the last batch was at `last`. */
export function nextBatch(now: number, last: number, batchMs = usualBatchMs): number {
  return Math.max(now + Math.min(gatherMs, batchMs), last + batchMs)
}
