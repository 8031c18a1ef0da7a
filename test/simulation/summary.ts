/** A run in a few numbers: how long nodes took, as multiples of the time in which a link carries the blobs once. */
import type { Outcome, Scenario } from './scenario.ts'

/** What no node can be faster than. */
export function limitMs(bytes: number, bytesPerSecond: number): number {
  return (1000 * bytes) / bytesPerSecond
}

export interface Summary {
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
  /** Nodes that were to finish, and did not. */
  readonly unfinished: number
}

export function summaryOf(scenario: Scenario, { finished }: Outcome): Summary {
  const seeds = scenario.seeds ?? 1
  const limit = limitMs(scenario.blobBytes * (scenario.blobs ?? 1), scenario.rate(seeds))
  const excused = new Set(scenario.kill?.map(({ node }) => node))
  const expected = finished.filter((time, i) => time !== undefined || !excused.has(i + seeds))
  const times = expected.filter((time) => time !== undefined).sort((a, b) => a - b)
  const at = (share: number) => (times[Math.ceil(share * times.length) - 1] ?? Number.NaN) / limit
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1), unfinished: expected.length - times.length }
}
