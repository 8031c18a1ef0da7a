/**
 * What a node moved, over the last day: readings of its counters, close together for the last half hour, far apart
 * before. Kept in memory, and gone with the process, like the counters themselves. Pure but for {@link readTotals}.
 */
import type { Metrics } from './metrics.ts'

/** Bytes since the node started. */
export interface Totals {
  /** Given to engines. */
  readonly engines: number
  /** Read at sources. */
  readonly source: number
  /** From other nodes, and to them. */
  readonly received: number
  readonly sent: number
}

export interface Sample extends Totals {
  /** Milliseconds since 1970. */
  readonly at: number
}

export const spans = {
  '30m': { everyMs: 5_000, keptMs: 30 * 60_000 },
  '24h': { everyMs: 300_000, keptMs: 24 * 3_600_000 },
} as const
export type Span = keyof typeof spans

const slackMs = 1000

export class History {
  readonly #samples: Record<Span, Sample[]> = { '30m': [], '24h': [] }

  /** To be called as often as the closest span wants it. */
  add(sample: Sample): void {
    for (const span of Object.keys(spans) as Span[]) {
      const { everyMs, keptMs } = spans[span]
      const kept = this.#samples[span]
      const last = kept.at(-1)
      // Before it on a clock that was set back: what is there has no order any more.
      if (last && sample.at < last.at) kept.length = 0
      // Timers are late, never early, but the wall clock is not theirs.
      else if (last && sample.at - last.at < everyMs - slackMs) continue
      kept.push(sample)
      const tooOld = kept.findIndex(({ at }) => sample.at - at <= keptMs)
      kept.splice(0, tooOld)
    }
  }

  /** Oldest first, the present last. */
  read(span: Span, present: Sample): Sample[] {
    return [...this.#samples[span].filter(({ at }) => at < present.at), present]
  }
}

export async function readTotals(metrics: Metrics): Promise<Totals> {
  const sum = async (counter: { get(): Promise<{ values: { value: number }[] }> }) =>
    (await counter.get()).values.reduce((total, { value }) => total + value, 0)
  const [engines, source, received, sent] = await Promise.all([
    sum(metrics.registrySentBytes),
    sum(metrics.sourceBytes),
    sum(metrics.peerReceivedBytes),
    sum(metrics.peerSentBytes),
  ])
  return { engines, source, received, sent }
}
