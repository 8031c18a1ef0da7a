/** A run in a few numbers: how long nodes took, as multiples of the time in which a link carries the blob once. */
import type { Outcome, Scenario } from './simulation.ts'

/** What no node can be faster than. */
export function limitMs(blobBytes: number, bytesPerSecond: number): number {
  return (1000 * blobBytes) / bytesPerSecond
}

export interface Summary {
  readonly p50: number
  readonly p99: number
  readonly max: number
  /** Nodes that were to finish, and did not. */
  readonly unfinished: number
}

export function summaryOf(scenario: Scenario, { finished }: Outcome): Summary {
  const limit = limitMs(scenario.blobBytes, scenario.rate(1))
  const excused = new Set(scenario.kill?.map(({ node }) => node))
  const expected = finished.filter((time, i) => time !== undefined || !excused.has(i + 1))
  const times = expected.filter((time) => time !== undefined).sort((a, b) => a - b)
  const at = (share: number) => (times[Math.ceil(share * times.length) - 1] ?? Number.NaN) / limit
  return { p50: at(0.5), p99: at(0.99), max: at(1), unfinished: expected.length - times.length }
}
