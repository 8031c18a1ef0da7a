/** Figures of several runs as one, and whether it is what was wanted. */
import type { Figure, Reach } from './scenario.ts'

export interface Summary extends Omit<Figure, 'value'> {
  readonly median: number
  readonly min: number
  readonly max: number
  readonly values: readonly number[]
}

/** The middle value, or the mean of the two in the middle. @throws when there is none */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle]
  if (upper === undefined) throw new Error('no values, so no median')
  return sorted.length % 2 === 1 ? upper : (sorted[middle - 1]! + upper) / 2
}

/** The value that a share `p` of the values does not exceed (nearest rank). @throws when there is none */
export function quantile(values: readonly number[], p: number): number {
  const found = [...values].sort((a, b) => a - b)[Math.max(0, Math.ceil(p * values.length) - 1)]
  if (found === undefined) throw new Error('no values, so no quantile')
  return found
}

/** By name, in the order of their first appearance. Samples are those of the run nearest to the median. */
export function summarize(runs: readonly (readonly Figure[])[]): Summary[] {
  const groups = Map.groupBy(runs.flat(), ({ name }) => name)
  return [...groups.values()].map((figures) => {
    const values = figures.map(({ value }) => value)
    const middle = median(values)
    const distance = ({ value }: Figure) => Math.abs(value - middle)
    const { value: _, ...rest } = figures.reduce((best, figure) => (distance(figure) < distance(best) ? figure : best))
    return { ...rest, median: middle, min: Math.min(...values), max: Math.max(...values), values }
  })
}

export function isMet({ atMost, atLeast }: Reach, value: number): boolean {
  return value <= (atMost ?? Number.POSITIVE_INFINITY) && value >= (atLeast ?? Number.NEGATIVE_INFINITY)
}

/** How much of its reach a figure takes: 1 is just met, 2 is twice the time, or half the throughput, that was wanted. */
export function shareOfReach({ atMost, atLeast }: Reach, value: number): number {
  return Math.max(atMost === undefined ? 0 : value / atMost, atLeast === undefined ? 0 : atLeast / value)
}
