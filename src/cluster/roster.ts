/**
 * The schedulers and seeds that a scheduler tells everyone about. The list has a version, for it is the same for many
 * heartbeats, and sending and checking it again each time would be most of what a heartbeat costs.
 */
import type { Membership } from './membership.ts'
import type { NodeInfo } from './node-info.ts'

/** As many as an answer may carry. */
const mostMembers = 512

export class Roster {
  readonly #membership: Membership
  #current: { self: NodeInfo; version: string; members: readonly NodeInfo[] } | undefined

  constructor(membership: Membership) {
    this.#membership = membership
    membership.onJoin((info) => this.#changed(info))
    membership.onLeave((info) => this.#changed(info))
  }

  /** The list, unless the asker has it already. */
  since(known: string | undefined): { version: string; members?: NodeInfo[] } {
    // What this node says of itself may be something else now.
    if (this.#current?.self !== this.#membership.self) this.#current = this.#make()
    const { version, members } = this.#current
    return known === version ? { version } : { version, members: [...members] }
  }

  #make() {
    const { self } = this.#membership
    const named = [...this.#membership.withMode('scheduler'), ...this.#membership.withMode('seed')]
    const members = [...new Map(named.map((info) => [info.id, info])).values()].slice(0, mostMembers)
    const text = members.map(({ id, epoch }) => `${id} ${epoch}`).sort()
    return { self, version: Bun.hash.xxHash64(text.join('\n')).toString(36), members }
  }

  /** Mere peers come and go by the thousand, and are not in the list. */
  #changed(info: NodeInfo): void {
    if (info.modes.some((mode) => mode !== 'peer')) this.#current = undefined
  }
}
