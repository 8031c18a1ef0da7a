/**
 * Whether this process knows all nodes that are there. One that has just started, or has just come to the others, knows a
 * few of them, who must not be taken for all: each says by itself that it is there, when its turn comes. Pure.
 */
import type { Clock } from '../clock.ts'
import { announceEvery, memberTimes } from './member-table.ts'
import type { Membership } from './membership.ts'

/** For how long, ms, who meets a cluster of that size has to be in it before the slowest node has announced itself. */
export function acquaintedAfter(members: number): number {
  return memberTimes.goneAfter + announceEvery(['peer'], members)
}

export class Acquaintance {
  readonly #membership: Pick<Membership, 'all'>
  readonly #clock: Pick<Clock, 'now'>
  #since: number
  #met = false

  /** To be made when the process starts. */
  constructor(membership: Pick<Membership, 'all' | 'onJoin'>, clock: Pick<Clock, 'now'>) {
    this.#membership = membership
    this.#clock = clock
    this.#since = clock.now()
    membership.onJoin(() => {
      // The network may have come long after the process.
      if (!this.#met) this.#since = clock.now()
      this.#met = true
    })
  }

  get complete(): boolean {
    return this.#clock.now() - this.#since >= acquaintedAfter(this.#membership.all().length)
  }
}
