/** What a node answers others on its peer port, each question by the part that knows. */
import type { Membership } from '../cluster/membership.ts'
import type { Mode } from '../cluster/node-info.ts'
import { Roster } from '../cluster/roster.ts'
import type { Parts } from '../content/parts.ts'
import type { Tags } from '../content/tags.ts'
import { Failure } from '../failure.ts'
import type { Rights } from '../rights/rights.ts'
import type { Scheduler } from '../scheduler/service.ts'
import type { Seeder } from '../swarm/seeding/seeder.ts'
import type { Swarm } from '../swarm/swarm.ts'
import type { Inbound } from '../wire/wire.ts'

export interface Answering {
  readonly modes: readonly Mode[]
  readonly membership: Membership
  readonly swarm: Swarm
  readonly seeder: Seeder
  /** Absent on a node that is none. */
  readonly scheduler: Scheduler | undefined
  readonly schedule: Inbound['schedule']
  readonly rights: Rights
  readonly tags: Tags
  readonly parts: Parts
}

export function inboundOf(answering: Answering): Inbound {
  const { modes, membership, swarm, seeder, scheduler, schedule, rights, tags, parts } = answering
  const roster = new Roster(membership)
  return {
    opened: () => swarm.opened(),
    frame: (session, frame) => swarm.frame(session, frame),
    closed: (session, reason) => swarm.closed(session, reason),
    offer: (digest, wanted, peer, signal) => seeder.offer(digest, wanted, peer, signal),
    passOn: (digest, wanted, peer, signal) => seeder.passOn(digest, wanted, peer, signal),
    order: (order) => {
      if (!modes.includes('seed')) throw new Failure('no-name', 'this node is not a seed')
      rights.ordered(order.location)
      swarm.order(order.location, order.part, order.size)
    },
    schedule,
    announce: (announce) => {
      const told = scheduler?.announce(announce) ?? true
      return { epoch: membership.self.epoch, ...(told ? {} : { all: true }), ...roster.since(announce.known) }
    },
    resolve: (request) => ('tag' in request ? tags.answer(request) : parts.answer(request)),
  }
}
