/**
 * Does a figure stay where it is? Memory goes up and down with every collection of garbage, so what counts is the least
 * of each minute, after the warm-up, and the line through these. Pure.
 */

export interface Sample {
  readonly seconds: number
  readonly value: number
}

export interface Steadiness {
  /** The least of each minute, warm-up included. */
  readonly minutes: readonly number[]
  /** Per minute, by the line that fits the minutes after the warm-up best. */
  readonly slope: number
  /** What the line rises over these minutes. */
  readonly rise: number
}

/** The first part of a run fills caches and compiles code. */
const warmUp = 0.25

export function steadinessOf(samples: readonly Sample[]): Steadiness {
  const least = new Map<number, number>()
  for (const { seconds, value } of samples) {
    const minute = Math.floor(seconds / 60)
    least.set(minute, Math.min(least.get(minute) ?? Number.POSITIVE_INFINITY, value))
  }
  const minutes = [...least].sort(([a], [b]) => a - b)
  const judged = minutes.slice(Math.floor(minutes.length * warmUp))
  const slope = slopeOf(judged)
  const span = judged.length > 1 ? judged.at(-1)![0] - judged[0]![0] : 0
  return { minutes: minutes.map(([, value]) => value), slope, rise: slope * span }
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
