/**
 * Does a figure stay where it is? Like is compared with like: under load memory goes up and down with every collection of
 * garbage, and open files with who asks; so the load rests now and then, and what counts is the least of each rest, after
 * the warm-up, and the line through these. Pure.
 */

export interface Sample {
  /** Of load, before the rest in which it was taken. */
  readonly seconds: number
  readonly value: number
}

export interface Steadiness {
  /** The least of each rest, warm-up included. */
  readonly rests: readonly number[]
  /** Per minute of load, by the line that fits the rests after the warm-up best. */
  readonly slope: number
  /** What the line rises over these rests. */
  readonly rise: number
}

/** The first part of a run fills caches and compiles code. */
const warmUp = 1 / 3

export function steadinessOf(samples: readonly Sample[]): Steadiness {
  const least = new Map<number, number>()
  for (const { seconds, value } of samples) {
    least.set(seconds, Math.min(least.get(seconds) ?? Number.POSITIVE_INFINITY, value))
  }
  const rests = [...least].map(([seconds, value]) => [seconds / 60, value] as const).sort(([a], [b]) => a - b)
  const judged = rests.slice(Math.floor(rests.length * warmUp))
  const slope = slopeOf(judged)
  const span = judged.length > 1 ? judged.at(-1)![0] - judged[0]![0] : 0
  return { rests: rests.map(([, value]) => value), slope, rise: slope * span }
}

/** Least squares. 0 for fewer than two points. */
function slopeOf(points: readonly (readonly [number, number])[]): number {
  const mean = (of: (point: readonly [number, number]) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length
  const [meanX, meanY] = [mean(([x]) => x), mean(([, y]) => y)]
  const variance = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0)
  if (points.length < 2 || variance === 0) return 0
  return points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / variance
}
