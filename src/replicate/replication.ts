/** Replication as a whole: one stream for each rule, and what an operator sees of them. */

import { type Clock, every } from '../clock.ts'
import type { ReplicationRule } from '../config/rules.ts'
import { Gate } from '../rate.ts'
import type { RegistryWriterOptions } from '../source/registry-writer.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { progressOf } from './feed.ts'
import type { Progress, Replicating } from './progress.ts'
import { Stream, type StreamParts } from './stream.ts'
import { Target } from './target.ts'
import { kindOf } from './task.ts'

export interface ReplicationParts extends Omit<StreamParts, 'target' | 'metrics'> {
  readonly rules: readonly ReplicationRule[]
  /** Bytes per second, to all targets together. */
  readonly rate?: number | undefined
  readonly writer: Omit<RegistryWriterOptions, 'upstreams' | 'clock' | 'random' | 'log' | 'metrics' | 'limit'>
  readonly metrics: Metrics
}

const mostShown = 20
const measureEveryMs = 5000

export class Replication implements Replicating {
  readonly #o: ReplicationParts
  readonly #targets: readonly Target[]
  readonly #streams: readonly Stream[]
  #stopMeasuring = () => {}

  constructor(parts: ReplicationParts) {
    const { clock, random, log, rate, metrics } = parts
    this.#o = parts
    const gate = rate === undefined ? undefined : new Gate({ clock, bytesPerSecond: rate })
    const limit = async (bytes: number) => {
      await gate?.enter(bytes, { of: 'replication', background: true })
      gate?.leave()
    }
    this.#targets = parts.rules.map(
      (rule) => new Target(rule, { ...parts.writer, clock, random, log, metrics, ...(gate ? { limit } : {}) }),
    )
    this.#streams = this.#targets.map((target) => new Stream({ ...parts, target }))
  }

  start(): void {
    for (const stream of this.#streams) stream.start()
    this.#stopMeasuring = every(this.#o.clock, measureEveryMs, () => void this.#measure())
  }

  async close(): Promise<void> {
    this.#stopMeasuring()
    await Promise.all(this.#streams.map((stream) => stream.close()))
  }

  progress(): Promise<Progress[]> {
    return Promise.all(this.#targets.map((target) => progressAt(target, this.#o)))
  }

  async #measure(): Promise<void> {
    const { metrics } = this.#o
    // What was measured last stands while nobody can be asked.
    const all = await this.progress().catch(() => [])
    for (const { pattern, target, waiting, lagMs } of all) {
      const labels = { target: `${pattern}=${target}` }
      metrics.replicationWaiting.set(labels, waiting)
      metrics.replicationLagSeconds.set(labels, lagMs / 1000)
    }
  }
}

async function progressAt(
  target: Target,
  { state, clock }: { state: StreamParts['state']; clock: Clock },
): Promise<Progress> {
  const kind = kindOf(target.id)
  const { pattern, target: where, deletes } = target.rule
  const [{ waiting, oldestAt }, list, [feed]] = await Promise.all([
    state.work.count(kind),
    state.work.list(kind, mostShown),
    state.jobs.list(kind, 1),
  ])
  // What the feed has not come to yet waits too.
  const [untold] = feed
    ? (await state.tags.changes(progressOf(feed).tags, 100)).filter((change) => target.matches(change.repository))
    : []
  const since = Math.min(oldestAt ?? Number.POSITIVE_INFINITY, untold?.at ?? Number.POSITIVE_INFINITY)
  return {
    pattern,
    target: where,
    deletes,
    waiting: waiting + (untold ? 1 : 0),
    lagMs: Number.isFinite(since) ? Math.max(0, clock.wall() - since) : 0,
    oldest: list.map(({ key, addedAt, dueAt, tries, lastError }) => ({
      ...{ what: key, addedAt, dueAt, tries },
      ...(lastError === undefined ? {} : { lastError }),
    })),
  }
}
