/** Nodes that sent wrong bytes are left alone for a while; the store remembers them across restarts. */
import type { Clock } from '../clock.ts'
import type { NodeId } from '../cluster/node-info.ts'
import type { Ban, BlobStore } from '../store/blob-store.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { Doubts } from './doubts.ts'

const banMs = 60 * 60 * 1000

export class Bans {
  /** What is not clear enough for a ban. */
  readonly doubts: Doubts
  readonly #bans = new Map<NodeId, Ban>()
  /** What others who share a database have banned. */
  readonly #learned = new Map<NodeId, Ban>()
  readonly #banned: ((ban: Ban) => void)[] = []
  readonly #lifted: ((node: NodeId) => void)[] = []
  readonly #o: { store: BlobStore; clock: Clock; log: Log; metrics: Metrics }

  constructor(options: { store: BlobStore; clock: Clock; log: Log; metrics: Metrics }) {
    this.#o = options
    this.doubts = new Doubts({ clock: options.clock, ban: (node, reason) => this.add(node, reason) })
    for (const ban of options.store.bans()) this.#bans.set(ban.node, ban)
  }

  has(node: NodeId): boolean {
    return [this.#bans, this.#learned].some((bans) => {
      const ban = bans.get(node)
      if (ban === undefined) return false
      if (ban.until > this.#o.clock.wall()) return true
      bans.delete(node)
      return false
    })
  }

  /** Those that are not over, the one that ends last first. */
  list(): Ban[] {
    const all = new Map([...this.#learned, ...this.#bans])
    return [...all.values()].filter(({ node }) => this.has(node)).sort((a, b) => b.until - a.until)
  }

  add(node: NodeId, reason: string): void {
    if (this.has(node)) return
    const until = this.#o.clock.wall() + banMs
    this.#bans.set(node, { node, reason, until })
    this.#o.store.ban(node, reason, until)
    for (const listener of this.#banned) listener({ node, reason, until })
    this.#o.metrics.peersBanned.inc()
    this.#o.log.warn('node banned for an hour', { node, reason })
  }

  /** An operator knows better. False if the node was not banned. */
  lift(node: NodeId): boolean {
    if (!this.has(node)) return false
    this.forget(node)
    for (const listener of this.#lifted) listener(node)
    return true
  }

  /** Somebody else has lifted it. */
  forget(node: NodeId): void {
    this.#learned.delete(node)
    this.#bans.delete(node)
    this.#o.store.unban(node)
    this.#o.log.info('ban lifted', { node })
  }

  /** Those of this node itself. */
  own(): Ban[] {
    return [...this.#bans.values()].filter(({ until }) => until > this.#o.clock.wall())
  }

  /** All that those who share a database have banned, from now on. */
  learn(bans: readonly Ban[]): void {
    this.#learned.clear()
    for (const ban of bans) this.#learned.set(ban.node, ban)
  }

  /** This node has banned it. */
  onBanned(listener: (ban: Ban) => void): void {
    this.#banned.push(listener)
  }

  onLifted(listener: (node: NodeId) => void): void {
    this.#lifted.push(listener)
  }
}
