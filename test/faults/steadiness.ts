/**
 * Does a figure stay where it is? Like is compared with like: under load memory goes up and down with every collection of
 * garbage, and open files with who asks; so the load rests now and then, and what counts is the least of each rest, after
 * the warm-up, and the line through these.
 *
 * And what a process has once needed it does not give back as a whole, for what is still in use lies scattered over it: a
 * rest after a load that needed clearly more than all before is higher, once. So where peaks are told, and some rests come
 * after the last such load, the line is through those. Who leaks a little all the time has such a load seldom, and his
 * line rises after it as before.
 *
 * In one rest of ten no garbage is collected at all, and the next is where the one before was: what comes back has not
 * grown. So the line is that of Theil and Sen, the median of the slopes between all pairs of rests, which one rest in
 * four cannot turn. Pure.
 */

export interface Sample {
  /** Of load, before the rest in which it was taken. */
  readonly seconds: number
  readonly value: number
}

export interface Steadiness {
  /** The least of each rest, warm-up included. */
  readonly rests: readonly number[]
  /** Per minute of load, by the line through the rests after the warm-up. */
  readonly slope: number
  /** What the line rises over these rests. */
  readonly rise: number
}

/** The first part of a run fills caches and compiles code. */
const warmUp = 1 / 3
/** So much more than ever before is clearly more. */
const clearly = 1.05
/** Fewer make no line. */
const leastRests = 3

/** @param peaks the most under load before each rest, where that matters */
export function steadinessOf(samples: readonly Sample[], peaks: readonly number[] = []): Steadiness {
  const least = new Map<number, number>()
  for (const { seconds, value } of samples) {
    least.set(seconds, Math.min(least.get(seconds) ?? Number.POSITIVE_INFINITY, value))
  }
  const rests = [...least].map(([seconds, value]) => [seconds / 60, value] as const).sort(([a], [b]) => a - b)
  const warm = Math.floor(rests.length * warmUp)
  const high = lastRecord(peaks)
  const judged = rests.slice(high > warm && rests.length - high >= leastRests ? high : warm)
  const slope = slopeOf(judged)
  const span = judged.length > 1 ? judged.at(-1)![0] - judged[0]![0] : 0
  return { rests: rests.map(([, value]) => value), slope, rise: slope * span }
}

/** The last of them that is clearly more than all before. */
function lastRecord(peaks: readonly number[]): number {
  let [last, most] = [0, 0]
  for (const [i, peak] of peaks.entries()) {
    if (peak <= most * clearly) continue
    last = i
    most = peak
  }
  return last
}

/** Of the line of Theil and Sen. 0 for fewer than two points. */
function slopeOf(points: readonly (readonly [number, number])[]): number {
  const slopes = points.flatMap(([x, y], i) => points.slice(i + 1).map(([later, then]) => (then - y) / (later - x)))
  slopes.sort((a, b) => a - b)
  const middle = slopes.length >> 1
  if (slopes.length % 2 === 1) return slopes[middle]!
  return slopes.length === 0 ? 0 : (slopes[middle - 1]! + slopes[middle]!) / 2
}
