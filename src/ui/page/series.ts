/** From the counters that a node kept to lines of a chart. Pure. */
import type { ClusterHistoryFacts, HistoryFacts } from '../../admin/view.ts'

/** Seconds since 1970, then one line each. */
export type Series = readonly [readonly number[], ...(readonly (number | null)[])[]]

/** Bytes per second from peers, from sources, and to peers, between each sample and the one before. */
export function rates({ samples }: HistoryFacts): Series {
  const at: number[] = []
  const lines: [number[], number[], number[]] = [[], [], []]
  for (const [i, sample] of samples.entries()) {
    const before = samples[i - 1]
    if (!before) continue
    const seconds = Math.max(0.001, (Date.parse(sample.at) - Date.parse(before.at)) / 1000)
    at.push(Date.parse(sample.at) / 1000)
    for (const [line, name] of (['received', 'source', 'sent'] as const).entries()) {
      lines[line]!.push(Math.max(0, sample[name] - before[name]) / seconds)
    }
  }
  return [at, ...lines]
}

/** What engines got, and what nodes read at sources for it: what lies between was saved. */
export function savings({ samples }: ClusterHistoryFacts): Series {
  const first = samples[0]
  if (!first) return [[], [], []]
  return [
    samples.map(({ at }) => Date.parse(at) / 1000),
    samples.map(({ engines }) => engines - first.engines),
    samples.map(({ source }) => source - first.source),
  ]
}
