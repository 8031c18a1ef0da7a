/**
 * The scheduler's knowledge of who holds what, and the decisions it takes from it. Pure: time and chance are arguments,
 * nothing here waits. All of it is soft state: nodes announce what they hold, so a scheduler that starts anew, or takes
 * over a digest, knows again within a heartbeat.
 *
 * For each blob at most one node, the fetcher, reads it from the source: the first live seed in rendezvous order, or the
 * asking node where there is no seed. It is replaced when it leaves, gives up, or makes no progress while others stall.
 */
import type { Random } from '../clock.ts'
import { rendezvous } from '../cluster/rendezvous.ts'
import type { Digest } from '../oci/digest.ts'
import { type Candidate, type Ranked, rankParents } from './parents.ts'

export interface SwarmNode {
  readonly id: string
  readonly zone?: string | undefined
  readonly seed: boolean
  /** Share of upload slots taken, 0 to 1. */
  readonly load: number
}

export interface Asked {
  readonly digest: Digest
  readonly size?: number | undefined
  readonly pieces: number
  readonly connected: readonly string[]
  readonly failed: readonly { readonly node: string; readonly reason: string }[]
  readonly stalled: boolean
}

export interface Decision {
  readonly digest: Digest
  readonly asker: string
  readonly parents: readonly (Ranked & { pieces: number; complete: boolean })[]
  /** Holders that were looked at and not named. */
  readonly refused: readonly { readonly id: string; readonly reason: string }[]
  readonly fetcher?: string
  /** Set when the fetcher has just been named and is not the asker: it has to be told. */
  readonly order?: string
  readonly size?: number
  /** Ask again after so many ms. */
  readonly again: number
  readonly reasons: readonly string[]
  readonly at: number
}

interface Holder {
  readonly id: string
  pieces: number
  complete: boolean
  failures: number
  failedAt: number
  seenAt: number
}

interface Fetcher {
  readonly id: string
  /** Nodes it was named to as a parent. */
  readonly children: Set<string>
  /** When it last had more pieces than before. */
  progressAt: number
}

interface Swarm {
  size?: number
  readonly holders: Map<string, Holder>
  /** The holders again, for picking some at random in constant time. */
  readonly order: string[]
  fetcher?: Fetcher
  /** Fetchers that failed, and when: not named again for a while. */
  readonly failedFetchers: Map<string, number>
  readonly bornAt: number
  last: Decision[]
}

const mostParents = 16
/** The fetcher's link carries each piece once; more children than this would only wait for each other there. */
const mostFetcherChildren = 20
/** How many holders are looked at for one decision, whatever the size of the swarm. */
const sample = 48
const fetcherPatienceMs = 5000
const fetcherPenaltyMs = 30_000
const failureForgottenMs = 60_000
const youngMs = 3000
const decisionsKept = 8

export class Swarms {
  readonly #random: Random
  readonly #nodes = new Map<string, SwarmNode>()
  readonly #swarms = new Map<Digest, Swarm>()
  /** Which swarms a node is in, so that its leaving costs what it held and no more. */
  readonly #memberships = new Map<string, Set<Digest>>()

  constructor(random: Random) {
    this.#random = random
  }

  get size(): number {
    return this.#swarms.size
  }

  /** A node is alive, with this load. */
  node(node: SwarmNode): void {
    this.#nodes.set(node.id, node)
  }

  left(id: string): void {
    this.#nodes.delete(id)
    for (const digest of this.#memberships.get(id) ?? []) {
      const swarm = this.#swarms.get(digest)
      if (swarm) this.#removeHolder(digest, swarm, id)
    }
    this.#memberships.delete(id)
  }

  holds(id: string, digest: Digest, size: number, pieces: number, complete: boolean, now: number): void {
    const swarm = this.#swarm(digest, now)
    swarm.size ??= size
    const holder = this.#holder(digest, swarm, id, now)
    if (swarm.fetcher?.id === id) {
      if (pieces > holder.pieces) swarm.fetcher.progressAt = now
      if (complete) delete swarm.fetcher
    }
    holder.pieces = pieces
    holder.complete = complete
    holder.seenAt = now
  }

  /** The node no longer holds the blob, or gave up getting it from its source. */
  drops(id: string, digest: Digest, now: number): void {
    const swarm = this.#swarms.get(digest)
    if (!swarm) return
    if (swarm.fetcher?.id === id) this.#failFetcher(swarm, now)
    this.#removeHolder(digest, swarm, id)
    this.#memberships.get(id)?.delete(digest)
  }

  /** Everything `id` held among this scheduler's digests is what is told from now on. */
  forgetHoldings(id: string): void {
    for (const digest of this.#memberships.get(id) ?? []) {
      const holder = this.#swarms.get(digest)?.holders.get(id)
      if (holder) {
        holder.pieces = 0
        holder.complete = false
      }
    }
  }

  decide(asker: SwarmNode, asked: Asked, now: number): Decision {
    this.node(asker)
    const swarm = this.#swarm(asked.digest, now)
    if (asked.size !== undefined) swarm.size ??= asked.size
    const self = this.#holder(asked.digest, swarm, asker.id, now)
    self.pieces = Math.max(self.pieces, asked.pieces)
    self.seenAt = now
    const reasons: string[] = []
    for (const { node, reason } of asked.failed) this.#blame(swarm, node, reason, reasons, now)
    const order = this.#ensureFetcher(asked, swarm, asker.id, reasons, now)
    const { parents, refused } = this.#parents(swarm, asker, asked, now)
    const decision: Decision = {
      digest: asked.digest,
      asker: asker.id,
      parents,
      refused,
      ...(swarm.fetcher ? { fetcher: swarm.fetcher.id } : {}),
      ...(order ? { order } : {}),
      ...(swarm.size !== undefined ? { size: swarm.size } : {}),
      again: now - swarm.bornAt < youngMs && asked.connected.length + parents.length < mostParents ? 300 : 3000,
      reasons,
      at: now,
    }
    swarm.last = [...swarm.last.slice(1 - decisionsKept), decision]
    return decision
  }

  /** What an operator wants to see of one blob's swarm. */
  *describe(): Generator<{
    digest: Digest
    size?: number
    fetcher?: string
    holders: { id: string; pieces: number; complete: boolean; failures: number }[]
    decisions: readonly Decision[]
  }> {
    for (const [digest, swarm] of this.#swarms) {
      yield {
        digest,
        ...(swarm.size !== undefined ? { size: swarm.size } : {}),
        ...(swarm.fetcher ? { fetcher: swarm.fetcher.id } : {}),
        holders: [...swarm.holders.values()].map(({ id, pieces, complete, failures }) => ({
          id,
          pieces,
          complete,
          failures,
        })),
        decisions: swarm.last,
      }
    }
  }

  /** Names a fetcher if the blob is not whole anywhere; returns it when it has just been named and must be told. */
  #ensureFetcher(asked: Asked, swarm: Swarm, asker: string, reasons: string[], now: number): string | undefined {
    const { fetcher } = swarm
    if (fetcher && !this.#nodes.has(fetcher.id)) {
      reasons.push(`fetcher ${fetcher.id} left`)
      this.#failFetcher(swarm, now)
    } else if (fetcher && asked.stalled && now - fetcher.progressAt > fetcherPatienceMs) {
      reasons.push(`fetcher ${fetcher.id} made no progress for ${Math.round(now - fetcher.progressAt)} ms`)
      this.#failFetcher(swarm, now)
    }
    if (swarm.fetcher) return undefined
    if (this.#wholeElsewhere(swarm, asker)) return undefined
    const id = this.#chooseFetcher(asked.digest, swarm, asker, now)
    reasons.push(
      this.#nodes.get(id)?.seed ? `${id} reads the source` : `no seed is left: ${id}, which asks, reads the source`,
    )
    swarm.fetcher = { id, children: new Set(), progressAt: now }
    this.#holder(asked.digest, swarm, id, now)
    return id === asker ? undefined : id
  }

  #chooseFetcher(digest: Digest, swarm: Swarm, asker: string, now: number): string {
    const seeds: string[] = []
    for (const node of this.#nodes.values()) {
      const failedAt = swarm.failedFetchers.get(node.id)
      if (node.seed && (failedAt === undefined || now - failedAt > fetcherPenaltyMs)) seeds.push(node.id)
    }
    return rendezvous(digest, seeds)[0] ?? asker
  }

  #wholeElsewhere(swarm: Swarm, asker: string): boolean {
    for (const holder of swarm.holders.values()) {
      if (holder.complete && holder.id !== asker && this.#nodes.has(holder.id)) return true
    }
    return false
  }

  #failFetcher(swarm: Swarm, now: number): void {
    if (!swarm.fetcher) return
    swarm.failedFetchers.set(swarm.fetcher.id, now)
    delete swarm.fetcher
  }

  #blame(swarm: Swarm, id: string, reason: string, reasons: string[], now: number): void {
    const holder = swarm.holders.get(id)
    if (!holder) return
    if (now - holder.failedAt > failureForgottenMs) holder.failures = 0
    holder.failures++
    holder.failedAt = now
    reasons.push(`${id} was reported: ${reason}`)
  }

  #parents(swarm: Swarm, asker: SwarmNode, asked: Asked, now: number): Pick<Decision, 'parents' | 'refused'> {
    const room = Math.max(0, mostParents - asked.connected.length)
    const known = new Set([asker.id, ...asked.connected])
    const candidates: Candidate[] = []
    const refused: { id: string; reason: string }[] = []
    const consider = (id: string) => {
      const [holder, node] = [swarm.holders.get(id), this.#nodes.get(id)]
      if (!holder || !node || known.has(id)) return
      known.add(id)
      const fetcher = swarm.fetcher?.id === id
      if (fetcher && !this.#mayAskFetcher(swarm, asked.stalled)) {
        refused.push({ id, reason: 'reads from the source, and enough nodes ask it already' })
        return
      }
      const failures = now - holder.failedAt > failureForgottenMs ? 0 : holder.failures
      const { pieces, complete } = holder
      candidates.push({ id, zone: node.zone, pieces, complete, fetcher, load: node.load, failures })
    }
    if (swarm.fetcher) consider(swarm.fetcher.id)
    if (swarm.order.length <= sample) for (const id of swarm.order) consider(id)
    else for (let i = 0; i < sample; i++) consider(swarm.order[Math.floor(this.#random() * swarm.order.length)]!)
    const ranked = rankParents(asker, candidates, this.#random)
    for (const { id } of ranked.slice(room)) refused.push({ id, reason: 'others rank higher' })
    const parents = ranked.slice(0, room).map((parent) => {
      if (parent.id === swarm.fetcher?.id) swarm.fetcher.children.add(asker.id)
      const { pieces, complete } = swarm.holders.get(parent.id)!
      return { ...parent, pieces, complete }
    })
    return { parents, refused }
  }

  #mayAskFetcher(swarm: Swarm, stalled: boolean): boolean {
    return stalled || swarm.holders.size <= mostFetcherChildren || swarm.fetcher!.children.size < mostFetcherChildren
  }

  #swarm(digest: Digest, now: number): Swarm {
    let swarm = this.#swarms.get(digest)
    if (!swarm) {
      swarm = { holders: new Map(), order: [], failedFetchers: new Map(), bornAt: now, last: [] }
      this.#swarms.set(digest, swarm)
    }
    return swarm
  }

  #holder(digest: Digest, swarm: Swarm, id: string, now: number): Holder {
    let holder = swarm.holders.get(id)
    if (!holder) {
      holder = { id, pieces: 0, complete: false, failures: 0, failedAt: Number.NEGATIVE_INFINITY, seenAt: now }
      swarm.holders.set(id, holder)
      swarm.order.push(id)
      let digests = this.#memberships.get(id)
      if (!digests) {
        digests = new Set()
        this.#memberships.set(id, digests)
      }
      digests.add(digest)
    }
    return holder
  }

  #removeHolder(digest: Digest, swarm: Swarm, id: string): void {
    if (swarm.holders.delete(id)) swarm.order.splice(swarm.order.indexOf(id), 1)
    if (swarm.holders.size === 0) this.#swarms.delete(digest)
  }
}
