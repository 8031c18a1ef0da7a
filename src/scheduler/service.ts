/**
 * The scheduler as a service: feeds {@link Swarms} with what members announce, answers requests for parents, and tells
 * the named seed to go to the source.
 */
import type { Clock } from '../clock.ts'
import type { Membership } from '../cluster/membership.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import type { Repository } from '../oci/reference.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Announce, FetchOrder, Parent, Schedule, ScheduleReply } from '../wire/messages.ts'
import { orderOf } from '../wire/order.ts'
import type { Outbound } from '../wire/wire.ts'
import type { SwarmNode } from './decision.ts'
import type { Swarms } from './swarms.ts'

export interface SchedulerOptions {
  readonly swarms: Swarms
  readonly membership: Membership
  readonly outbound: Pick<Outbound, 'order'>
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  /** Seeds that can read the repository; undefined: any. */
  readonly readers?: (repository: Repository) => ReadonlySet<string> | undefined
  /** Carries out an order for this node itself. */
  orderSelf(order: FetchOrder): void
}

export class Scheduler {
  readonly #o: SchedulerOptions
  readonly #loads = new Map<string, number>()
  /** Who has told everything since it joined. */
  readonly #told = new Set<string>()

  constructor(options: SchedulerOptions) {
    this.#o = options
    options.membership.onJoin((info) => options.swarms.node(this.#nodeOf(info)))
    options.membership.onLeave((info) => {
      this.#loads.delete(info.id)
      this.#told.delete(info.id)
      options.swarms.left(info.id)
    })
    for (const { info } of options.membership.all()) options.swarms.node(this.#nodeOf(info))
  }

  /** @returns false where it has to say all that it holds, for it was taken for gone here and does not know that */
  announce(announce: Announce): boolean {
    const { swarms, clock, membership } = this.#o
    const { node, uploads, uploadSlots } = announce
    // Who is no member, because it said goodbye, would never leave again.
    if (announce.leaving || !membership.find(node.id)) {
      swarms.left(node.id)
      return true
    }
    this.#loads.set(node.id, uploadSlots > 0 ? Math.min(1, uploads / uploadSlots) : 1)
    swarms.node(this.#nodeOf(node))
    if (announce.full) {
      swarms.forgetHoldings(node.id)
      this.#told.add(node.id)
    }
    const now = clock.now()
    for (const holding of announce.holdings) {
      swarms.holds(node.id, holding.digest, holding.size, holding.pieces, holding.complete, now)
    }
    for (const digest of announce.gone) swarms.drops(node.id, digest, now)
    return this.#told.has(node.id)
  }

  schedule(request: Schedule): ScheduleReply {
    const { swarms, membership, clock, metrics, log } = this.#o
    const started = clock.now()
    for (const node of new Set(request.failed.map((failed) => failed.node))) membership.doubt(node)
    const decision = swarms.decide(
      this.#nodeOf(request.node),
      {
        digest: request.location.digest,
        size: request.size,
        pieces: request.pieces,
        connected: request.connected,
        failed: request.failed,
        stalled: request.stalled,
        part: request.part,
        hears: request.hears,
        readers: this.#o.readers?.(request.location.repository),
      },
      started,
    )
    if (!membership.find(request.node.id)) swarms.left(request.node.id)
    if (decision.order) this.#order(decision.order, orderOf(request))
    const parents: Parent[] = []
    for (const { id, pieces, complete } of decision.parents) {
      const info = membership.find(id)
      if (!info) continue
      const { url, zone } = info
      parents.push({ node: { id, url, ...(zone ? { zone } : {}) }, pieces, complete })
    }
    metrics.schedulerDecisions.inc()
    metrics.schedulerDecisionSeconds.observe((clock.now() - started) / 1000)
    if (decision.reasons.length > 0) {
      log.debug('scheduled', { digest: request.location.digest, asker: request.node.id, reasons: decision.reasons })
    }
    return {
      parents,
      ...(decision.fetcher ? { fetcher: decision.fetcher } : {}),
      ...(decision.size !== undefined ? { size: decision.size } : {}),
      elsewhere: decision.elsewhere,
      leads: decision.leads,
      again: decision.again,
    }
  }

  #order(id: string, order: FetchOrder): void {
    const { membership, outbound, swarms, clock, log } = this.#o
    const seed = membership.find(id)
    if (!seed) return swarms.left(id)
    const told = id === membership.self.id ? this.#orderSelf(order) : outbound.order(seed, order)
    told.catch((error: Error) => {
      log.warn('a seed did not take an order; another one is chosen', { seed: id, url: seed.url, error: error.message })
      membership.doubt(id)
      swarms.drops(id, order.location.digest, clock.now())
    })
  }

  async #orderSelf(order: FetchOrder): Promise<void> {
    this.#o.orderSelf(order)
  }

  #nodeOf(info: NodeInfo): SwarmNode {
    return { id: info.id, zone: info.zone, seed: info.modes.includes('seed'), load: this.#loads.get(info.id) ?? 0 }
  }
}
