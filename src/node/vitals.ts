/**
 * What moves in the cluster, for an operator's eyes: this node's own vitals, told to whoever is a member, and those of
 * the others, asked of them when somebody looks and not before.
 */

import pLimit from 'p-limit'
import { z } from 'zod'
import { type ClusterFacts, type ClusterHistoryFacts, type HistorySpan, historySpans } from '../admin/view.ts'
import type { Clock } from '../clock.ts'
import type { Membership } from '../cluster/membership.ts'
import { type NodeInfo, nodeIdSchema } from '../cluster/node-info.ts'
import { lru } from '../lru.ts'
import type { Meter } from '../meter.ts'
import type { Swarm } from '../swarm/swarm.ts'
import { type History, readTotals, type Sample, spans } from '../telemetry/history.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Call } from '../wire/calls.ts'
import type { Outbound } from '../wire/wire.ts'
import { downloadFacts } from './view.ts'

const amount = z.number().int().min(0)

const vitalsSchema = z.object({
  /** Bytes per second. */
  rates: z.object({ received: amount, sent: amount, source: amount }),
  /** Bytes since the start: given to engines, read at sources, from other nodes and to them. */
  totals: z.object({ engines: amount, source: amount, received: amount, sent: amount }),
  /** All that is fetched now, taken together; of what has no size yet nothing is counted. */
  pulling: z.object({ size: amount, have: amount }).optional(),
  /** Bytes per second from nodes, and from the `source`. */
  flows: z.array(z.object({ from: z.union([nodeIdSchema, z.literal('source')]), rate: amount })).max(64),
  /** How many ms ago, then totals at that time: given to engines, read at sources. Oldest first. */
  history: z
    .array(z.tuple([amount, amount, amount]))
    .max(100)
    .optional(),
})
export type Vitals = z.infer<typeof vitalsSchema>

const vitalsRequestSchema = z.object({ history: z.enum(historySpans).optional() })
export type VitalsRequest = z.infer<typeof vitalsRequestSchema>

/** What do you move right now, and, if asked, what did you of late? For an operator's eyes. */
export const vitalsCall: Call<VitalsRequest, Vitals> = {
  name: 'vitals',
  request: vitalsRequestSchema,
  reply: vitalsSchema,
}

export interface VitalsParts {
  readonly membership: Membership
  readonly outbound: Pick<Outbound, 'call'>
  readonly swarm: Pick<Swarm, 'transfers'>
  readonly history: History
  readonly metrics: Metrics
  readonly rates: { readonly received: Meter; readonly sent: Meter; readonly source: Meter }
  readonly clock: Clock
}

type Readings = readonly (readonly [agoMs: number, engines: number, source: number])[]

/** In a larger cluster a picture of all of them shows nothing any more. */
export const mostAsked = 64
const atOnce = 16
/** However many look: nobody is asked more often. */
const keptMs = 900
const historyKeptMs = 5000
const believedMs = 15_000
/** Less is what is left of a measure that forgets. */
const noticed = 1024
const mostFlows = 64
const mostReadings = 90

export class ClusterVitals {
  readonly #o: VitalsParts
  readonly #answers = new Map<string, { readonly answer: Promise<Answers>; readonly at: number }>()

  readonly #last = lru<string, { readonly told: Told; readonly at: number }>(4 * mostAsked)

  constructor(parts: VitalsParts) {
    this.#o = parts
  }

  /** This node's own. */
  async own({ history }: VitalsRequest): Promise<Vitals> {
    const { swarm, rates, metrics, clock } = this.#o
    const now = clock.now()
    const totals = await readTotals(metrics)
    const downloads = [...swarm.transfers()].map((transfer) => downloadFacts(transfer, () => ''))
    const sum = (of: (download: (typeof downloads)[number]) => number) =>
      downloads.reduce((all, download) => all + of(download), 0)
    const held = ({ size = 0, pieces }: (typeof downloads)[number]) =>
      pieces.total === 0 ? 0 : Math.round((size * pieces.have) / pieces.total)
    const flows = new Map<string, number>()
    for (const { id, rate } of downloads.flatMap(({ parents }) => parents)) flows.set(id, (flows.get(id) ?? 0) + rate)
    return {
      rates: {
        received: rates.received.perSecond(now),
        sent: rates.sent.perSecond(now),
        source: rates.source.perSecond(now),
      },
      totals,
      ...(downloads.length > 0 ? { pulling: { size: sum(({ size = 0 }) => size), have: sum(held) } } : {}),
      flows: [...flows]
        .map(([from, rate]) => ({ from, rate: Math.round(rate) }))
        .filter(({ rate }) => rate >= noticed)
        .sort((a, b) => b.rate - a.rate)
        .slice(0, mostFlows),
      ...(history
        ? { history: readings(this.#o.history.read(history, { at: clock.wall(), ...totals }), mostReadings) }
        : {}),
    }
  }

  async now(): Promise<ClusterFacts> {
    const { nodes, silent, unasked } = await this.#ask({}, keptMs)
    return { nodes: nodes.map(({ id, vitals: { history, ...vitals } }) => ({ id, ...vitals })), silent, unasked }
  }

  async history(span: HistorySpan): Promise<ClusterHistoryFacts> {
    const { nodes, silent, unasked } = await this.#ask({ history: span }, historyKeptMs)
    const told = nodes.flatMap(({ vitals }) => (vitals.history ? [vitals.history] : []))
    const wall = this.#o.clock.wall()
    const samples = together(told, spans[span].keptMs, mostReadings).map(([ago, engines, source]) => ({
      at: new Date(wall - ago).toISOString(),
      engines,
      source,
    }))
    return { samples, silent, unasked }
  }

  #ask(request: VitalsRequest, forMs: number): Promise<Answers> {
    const key = request.history ?? ''
    const now = this.#o.clock.now()
    const known = this.#answers.get(key)
    if (known && now - known.at < forMs) return known.answer
    const answer = this.#askAll(request)
    this.#answers.set(key, { answer, at: now })
    return answer
  }

  async #askAll(request: VitalsRequest): Promise<Answers> {
    const { membership } = this.#o
    const others = membership.all().filter(({ info }) => info.id !== membership.self.id)
    const asked = others.slice(0, mostAsked)
    const limit = pLimit(atOnce)
    const answers = await Promise.all(asked.map(({ info }) => limit(() => this.#askOne(info, request))))
    const nodes = answers.filter((answer) => answer !== undefined)
    return {
      nodes: [{ id: membership.self.id, vitals: await this.own(request) }, ...nodes],
      // Older versions do not know the question.
      silent: asked.length - nodes.length,
      unasked: others.length - asked.length,
    }
  }

  /** Its last word counts for a while: sums that drop whenever a busy node is late would be no sums. */
  async #askOne(info: NodeInfo, request: VitalsRequest): Promise<Told | undefined> {
    const { outbound, clock } = this.#o
    const key = `${info.id} ${request.history ?? ''}`
    try {
      const told = { id: info.id, vitals: await outbound.call(info, vitalsCall, request) }
      this.#last.set(key, { told, at: clock.now() })
      return told
    } catch {
      const last = this.#last.get(key)
      return last && clock.now() - last.at < believedMs ? last.told : undefined
    }
  }
}

interface Told {
  readonly id: string
  readonly vitals: Vitals
}

interface Answers {
  readonly nodes: readonly Told[]
  readonly silent: number
  readonly unasked: number
}

/** How long ago, not when: clocks of hosts differ. At most so many, the last one among them. */
export function readings(samples: readonly Sample[], most: number): [number, number, number][] {
  const last = samples.at(-1)
  if (!last) return []
  const step = Math.ceil(samples.length / most)
  return samples
    .filter((_, i) => (samples.length - 1 - i) % step === 0)
    .map(({ at, engines, source }) => [Math.max(0, last.at - at), engines, source])
}

/** Sums at so many moments, evenly spread. Between two readings of a node the earlier one holds; before the first, that. */
export function together(told: readonly Readings[], spanMs: number, moments: number): [number, number, number][] {
  const oldest = Math.min(spanMs, Math.max(0, ...told.map((readings) => readings[0]?.[0] ?? 0)))
  return Array.from({ length: moments }, (_, i): [number, number, number] => {
    const ago = Math.round(oldest * (1 - i / (moments - 1)))
    let [engines, source] = [0, 0]
    for (const readings of told) {
      const reading = readings.findLast(([at]) => at >= ago) ?? readings[0]
      engines += reading?.[1] ?? 0
      source += reading?.[2] ?? 0
    }
    return [ago, engines, source]
  })
}
