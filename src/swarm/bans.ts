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
  readonly #o: { store: BlobStore; clock: Clock; log: Log; metrics: Metrics }

  constructor(options: { store: BlobStore; clock: Clock; log: Log; metrics: Metrics }) {
    this.#o = options
    this.doubts = new Doubts({ clock: options.clock, ban: (node, reason) => this.add(node, reason) })
    for (const ban of options.store.bans()) this.#bans.set(ban.node, ban)
  }

  has(node: NodeId): boolean {
    const ban = this.#bans.get(node)
    if (ban === undefined) return false
    if (ban.until > this.#o.clock.wall()) return true
    this.#bans.delete(node)
    return false
  }

  /** Those that are not over, the one that ends last first. */
  list(): Ban[] {
    return [...this.#bans.values()].filter(({ node }) => this.has(node)).sort((a, b) => b.until - a.until)
  }

  add(node: NodeId, reason: string): void {
    if (this.has(node)) return
    const until = this.#o.clock.wall() + banMs
    this.#bans.set(node, { node, reason, until })
    this.#o.store.ban(node, reason, until)
    this.#o.metrics.peersBanned.inc()
    this.#o.log.warn('node banned for an hour', { node, reason })
  }

  /** An operator knows better. False if the node was not banned. */
  lift(node: NodeId): boolean {
    if (!this.has(node)) return false
    this.#bans.delete(node)
    this.#o.store.unban(node)
    this.#o.log.info('ban lifted', { node })
    return true
  }
}
