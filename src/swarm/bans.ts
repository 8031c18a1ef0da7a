/** Nodes that sent wrong bytes are left alone for a while; the store remembers them across restarts. */
import type { Clock } from '../clock.ts'
import type { NodeId } from '../cluster/node-info.ts'
import type { BlobStore } from '../store/blob-store.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'

const banMs = 60 * 60 * 1000

export class Bans {
  readonly #until = new Map<NodeId, number>()
  readonly #o: { store: BlobStore; clock: Clock; log: Log; metrics: Metrics }

  constructor(options: { store: BlobStore; clock: Clock; log: Log; metrics: Metrics }) {
    this.#o = options
    for (const { node, until } of options.store.bans()) this.#until.set(node, until)
  }

  has(node: NodeId): boolean {
    const until = this.#until.get(node)
    if (until === undefined) return false
    if (until > this.#o.clock.wall()) return true
    this.#until.delete(node)
    return false
  }

  add(node: NodeId, reason: string): void {
    if (this.has(node)) return
    const until = this.#o.clock.wall() + banMs
    this.#until.set(node, until)
    this.#o.store.ban(node, reason, until)
    this.#o.metrics.peersBanned.inc()
    this.#o.log.warn('node banned for an hour', { node, reason })
  }
}
