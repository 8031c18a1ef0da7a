/**
 * Whom to ask for parents. The digest's owner is the first live scheduler in rendezvous order; when it does not answer
 * the next one is asked. Without any scheduler: the providers that Kademlia knows, then a seed that is told to fetch,
 * then this node goes to the source itself.
 */
import type { Membership } from '../cluster/membership.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { rendezvous } from '../cluster/rendezvous.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Schedule, ScheduleReply } from '../wire/messages.ts'
import { orderOf } from '../wire/order.ts'
import type { Directory, Outbound } from '../wire/wire.ts'

export interface PlannerOptions {
  readonly membership: Membership
  readonly outbound: Pick<Outbound, 'schedule' | 'order'>
  readonly directory: Directory
  readonly log: Log
  readonly metrics?: Pick<Metrics, 'schedulersSilent'>
  /** This node's own scheduler, if it is one. */
  readonly local?: (request: Schedule) => ScheduleReply | Promise<ScheduleReply>
}

/** How many schedulers are tried before doing without, and how many seeds before this node goes to the source. */
const mostOwners = 3
const mostSeeds = 3

export class Planner {
  readonly #o: PlannerOptions

  constructor(options: PlannerOptions) {
    this.#o = options
  }

  /** Schedulers in the order in which they own `key`. */
  owners(key: string): NodeInfo[] {
    const schedulers = new Map(this.#o.membership.withMode('scheduler').map((info) => [info.id, info]))
    return rendezvous(key, [...schedulers.keys()]).map((id) => schedulers.get(id)!)
  }

  async plan(request: Schedule): Promise<ScheduleReply> {
    const { membership, outbound, local, log } = this.#o
    for (const owner of this.owners(request.location.digest).slice(0, mostOwners)) {
      if (owner.id === membership.self.id) {
        if (local) return await local(request)
        continue
      }
      try {
        return await outbound.schedule(owner, request)
      } catch (error) {
        membership.doubt(owner.id)
        log.debug('scheduler did not answer', { scheduler: owner.id, url: owner.url, error: (error as Error).message })
      }
    }
    this.#o.metrics?.schedulersSilent.inc()
    return this.#without(request)
  }

  async #without(request: Schedule): Promise<ScheduleReply> {
    const { membership, outbound, directory, log } = this.#o
    const failed = new Set(request.failed.map((f) => f.node))
    const connected = new Set(request.connected)
    const providers = (await directory.find(request.location.digest)).filter(
      (p) => !failed.has(p.id) && !connected.has(p.id),
    )
    const parents = providers.map(({ id, url, zone }) => ({
      node: { id, url, ...(zone ? { zone } : {}) },
      pieces: 0,
      complete: false,
    }))
    if (parents.length > 0 && !request.stalled) return { parents, again: 2000 }
    const seeds = new Map(membership.withMode('seed').map((info) => [info.id, info]))
    const able = [...seeds.keys()].filter((id) => !failed.has(id))
    for (const id of rendezvous(request.location.digest, able).slice(0, mostSeeds)) {
      const seed = seeds.get(id)!
      if (id === membership.self.id) break
      try {
        await outbound.order(seed, orderOf(request))
        const node = { id, url: seed.url, ...(seed.zone ? { zone: seed.zone } : {}) }
        return { parents: [{ node, pieces: 0, complete: false }, ...parents], fetcher: id, again: 2000 }
      } catch (error) {
        membership.doubt(id)
        log.debug('seed did not answer', { seed: id, url: seed.url, error: (error as Error).message })
      }
    }
    return { parents, fetcher: membership.self.id, again: 2000 }
  }
}
