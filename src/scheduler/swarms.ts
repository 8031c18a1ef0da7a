/**
 * The scheduler's knowledge of who holds what, and the decisions it takes from it. Pure: time and chance are arguments,
 * nothing here waits. All of it is soft state: nodes announce what they hold, so a scheduler that starts anew, or takes
 * over a digest, knows again within a heartbeat. And it forgets: a node that neither holds a piece nor asks for any is
 * no longer in the swarm, and a swarm without nodes is no more.
 *
 * For each blob at most one node, the fetcher, reads it from the source: the first live seed in rendezvous order, or the
 * asking node where there is no seed. It is replaced when it leaves, gives up, or makes no progress while others stall.
 * A fetcher is always a holder too.
 *
 * One file, because every decision reads and changes all of this state together.
 */
import { LRUCache } from 'lru-cache'
import type { Random } from '../clock.ts'
import { announceEvery } from '../cluster/member-table.ts'
import type { Mode } from '../cluster/node-info.ts'
import { ownerOf } from '../cluster/rendezvous.ts'
import type { Digest } from '../oci/digest.ts'
import type { Asked, Decision, DescribedSwarm, SwarmNode } from './decision.ts'
import { failuresOf, type Holder, Holders } from './holders.ts'
import { type Candidate, rankParents } from './parents.ts'

interface Fetcher {
  readonly id: string
  /** Nodes it was named to as a parent. */
  readonly children: Set<string>
  /** When it last had more pieces than before. */
  progressAt: number
}

interface Swarm {
  readonly digest: Digest
  size?: number
  readonly holders: Holders
  fetcher?: Fetcher
  /** Seeds that failed to fetch it, and when: not named again for a while. */
  readonly failedSeeds: Map<string, number>
  readonly bornAt: number
}

const mostParents = 12
/** In the first answer of a swarm that has just begun; the others come when it is seen who else is in it. */
const firstParents = 3
const mere: readonly Mode[] = ['peer']
/** The fetcher's link carries each piece once; more children than this would only wait for each other there. */
const mostFetcherChildren = 64
/** How many holders are looked at for one decision, whatever the size of the swarm. */
const sample = 48
const fetcherPatienceMs = 5000
const fetcherPenaltyMs = 30_000
/** A node that holds nothing and has been silent about the blob for so long does not want it any more. */
const emptyMs = 60_000
const youngMs = 3000
/** Decisions kept for an operator to see: so many for each of the swarms that were asked about last. */
const decisionsKept = 8
const swarmsExplained = 256

export class Swarms {
  readonly #random: Random
  readonly #nodes = new Map<string, SwarmNode>()
  readonly #seeds = new Set<string>()
  readonly #swarms = new Map<Digest, Swarm>()
  /** Decisions so far: marks who was looked at in the last one. */
  #looks = 0
  /** Which swarms a node is in, so that its leaving costs what it held and no more. */
  readonly #memberships = new Map<string, Set<Swarm>>()
  /** Holders of no piece, the one that has been silent longest first. */
  readonly #empty = new Map<Holder, Swarm>()
  /** The last decisions about a blob, to be shown. */
  readonly #explained = new LRUCache<Digest, readonly Decision[]>({ max: swarmsExplained })

  constructor(random: Random) {
    this.#random = random
  }

  get size(): number {
    return this.#swarms.size
  }

  /** A node is alive, with this load. */
  node(node: SwarmNode): void {
    const known = this.#nodes.get(node.id)
    if (known) Object.assign(known, { zone: undefined }, node)
    else {
      const added = { ...node }
      this.#nodes.set(node.id, added)
      for (const swarm of this.#memberships.get(node.id) ?? []) swarm.holders.add(node.id, 0).node = added
    }
    if (node.seed) this.#seeds.add(node.id)
    else this.#seeds.delete(node.id)
  }

  /** It ended, or ended and started anew: a fetcher that comes back knows of no order. */
  left(id: string): void {
    this.#nodes.delete(id)
    this.#seeds.delete(id)
    for (const swarm of this.#memberships.get(id) ?? []) this.#remove(swarm, id)
    this.#memberships.delete(id)
  }

  holds(id: string, digest: Digest, size: number, pieces: number, complete: boolean, now: number): void {
    this.#forget(now)
    const swarm = this.#swarm(digest, now)
    const fetches = swarm.fetcher?.id === id
    // Whoever has all of it knows its size, then who asked the source; others may have it from a wrong manifest.
    if (complete || fetches) swarm.size = size
    else if (pieces > 0) swarm.size ??= size
    this.#update(swarm, this.#holder(swarm, id, now), pieces, complete, now)
    if (fetches && complete) delete swarm.fetcher
  }

  /** The node no longer holds the blob, or gave up getting it from its source. */
  drops(id: string, digest: Digest, now: number): void {
    const swarm = this.#swarms.get(digest)
    if (!swarm) return
    if (swarm.fetcher?.id === id) this.#failFetcher(swarm, now)
    this.#memberships.get(id)?.delete(swarm)
    this.#remove(swarm, id)
  }

  /** Everything `id` held among this scheduler's digests is what is told from now on. */
  forgetHoldings(id: string): void {
    for (const swarm of this.#memberships.get(id) ?? []) {
      const holder = swarm.holders.get(id)
      if (!holder || holder.pieces === 0) continue
      swarm.holders.update(id, 0, false)
      holder.seenAt = holder.askedAt
      this.#empty.set(holder, swarm)
    }
  }

  decide(asker: SwarmNode, asked: Asked, now: number): Decision {
    this.#forget(now)
    this.node(asker)
    const swarm = this.#swarm(asked.digest, now)
    const self = this.#holder(swarm, asker.id, now)
    self.askedAt = now
    if (asked.pieces > 0 && asked.size !== undefined) swarm.size ??= asked.size
    this.#update(swarm, self, Math.max(self.pieces, asked.pieces), self.complete, now)
    const reasons: string[] = []
    const failed = new Map(asked.failed.map(({ node, reason }) => [node, reason]))
    for (const [node, reason] of failed) this.#blame(swarm, node, reason, reasons, now)
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
      again:
        now - swarm.bornAt < youngMs && asked.connected.length + parents.length < mostParents
          ? 200
          : announceEvery(mere, this.#nodes.size),
      reasons,
      at: now,
    }
    const before = this.#explained.get(asked.digest) ?? []
    this.#explained.set(asked.digest, [...before.slice(1 - decisionsKept), decision])
    return decision
  }

  /** What an operator wants to see of one blob's swarm. */
  *describe(): Generator<DescribedSwarm> {
    for (const [digest, swarm] of this.#swarms) {
      yield {
        digest,
        ...(swarm.size !== undefined ? { size: swarm.size } : {}),
        ...(swarm.fetcher ? { fetcher: swarm.fetcher.id } : {}),
        holders: [...swarm.holders].map(({ id, pieces, complete, failures }) => ({ id, pieces, complete, failures })),
        decisions: this.#explained.peek(digest) ?? [],
      }
    }
  }

  /** Names a fetcher if the blob is not whole anywhere; returns it when it has just been named and must be told. */
  #ensureFetcher(asked: Asked, swarm: Swarm, asker: string, reasons: string[], now: number): string | undefined {
    const { fetcher } = swarm
    const refused = fetcher && asked.failed.some((f) => f.node === fetcher.id && f.refused !== undefined)
    const silent = fetcher && asked.stalled ? now - fetcher.progressAt : 0
    if (refused || silent > fetcherPatienceMs) {
      const why = refused ? 'was refused by the source' : `made no progress for ${Math.round(silent)} ms`
      reasons.push(`fetcher ${fetcher?.id} ${why}`)
      this.#failFetcher(swarm, now)
    }
    if (swarm.fetcher || this.#wholeElsewhere(swarm, asked, asker, now)) return undefined
    // Where the source turned a seed away, the asking node's own credentials may do: it is the one with the engine.
    const id = refused ? asker : this.#chooseFetcher(swarm, asker, now)
    reasons.push(`${id}${id === asker ? ', which asks,' : ''} reads the source`)
    swarm.fetcher = { id, children: new Set(), progressAt: now }
    this.#touch(swarm, this.#holder(swarm, id, now), now)
    return id === asker ? undefined : id
  }

  #chooseFetcher(swarm: Swarm, asker: string, now: number): string {
    for (const [id, failedAt] of swarm.failedSeeds) {
      if (now - failedAt > fetcherPenaltyMs) swarm.failedSeeds.delete(id)
    }
    // A seed that has all of it would have nothing to read.
    const able = [...this.#seeds].filter((id) => !swarm.failedSeeds.has(id) && !swarm.holders.get(id)?.complete)
    return ownerOf(swarm.digest, able) ?? asker
  }

  /** A copy that others could not fetch from is none for a node that gets nothing. */
  #wholeElsewhere(swarm: Swarm, asked: Asked, asker: string, now: number): boolean {
    let looks = 0
    for (const holder of swarm.holders.whole()) {
      if (++looks > sample) break
      if (holder.id === asker || !holder.node) continue
      if (!asked.stalled || failuresOf(holder, now) === 0) return true
    }
    return false
  }

  #failFetcher(swarm: Swarm, now: number): void {
    if (!swarm.fetcher) return
    if (this.#seeds.has(swarm.fetcher.id)) swarm.failedSeeds.set(swarm.fetcher.id, now)
    delete swarm.fetcher
  }

  #blame(swarm: Swarm, id: string, reason: string, reasons: string[], now: number): void {
    const holder = swarm.holders.get(id)
    if (!holder) return
    holder.failures = failuresOf(holder, now) + 1
    holder.failedAt = now
    reasons.push(`${id} was reported: ${reason}`)
  }

  #parents(swarm: Swarm, asker: SwarmNode, asked: Asked, now: number): Pick<Decision, 'parents' | 'refused'> {
    const first = asked.connected.length < firstParents && now - swarm.bornAt < youngMs && !swarm.holders.anyWhole
    const room = Math.max(0, (first ? firstParents : mostParents) - asked.connected.length)
    const look = ++this.#looks
    for (const id of [asker.id, ...asked.connected]) {
      const holder = swarm.holders.get(id)
      if (holder) holder.look = look
    }
    const failed = new Set(asked.failed.map(({ node }) => node))
    const candidates: Candidate[] = []
    const refused: { id: string; reason: string }[] = []
    const consider = (holder: Holder | undefined) => {
      const node = holder?.node
      if (!holder || !node || holder.look === look) return
      const { id, pieces, complete } = holder
      holder.look = look
      const fetcher = swarm.fetcher?.id === id
      if (failed.size > 0 && failed.has(id)) refused.push({ id, reason: 'has just failed the asking node' })
      else if (fetcher && !this.#mayAskFetcher(swarm, asker.id, asked.stalled))
        refused.push({ id, reason: 'reads from the source, and enough nodes ask it already' })
      else if (!fetcher && pieces === 0 && now - holder.seenAt > emptyMs)
        refused.push({ id, reason: 'holds no piece and asks for none' })
      else {
        const failures = failuresOf(holder, now)
        candidates.push({
          id,
          zone: node.zone,
          pieces,
          complete,
          fetcher,
          load: node.load,
          links: holder.links,
          failures,
        })
      }
    }
    if (swarm.fetcher) consider(swarm.holders.get(swarm.fetcher.id))
    if (room > 0) for (const holder of swarm.holders.sample(sample, this.#random)) consider(holder)
    const ranked = rankParents(asker, candidates, this.#random)
    for (let i = room; i < ranked.length; i++) refused.push({ id: ranked[i]!.id, reason: 'others rank higher' })
    const parents = ranked.slice(0, room)
    for (const { id } of parents) swarm.holders.get(id)!.links++
    swarm.holders.get(asker.id)!.links = asked.connected.length + parents.length
    if (swarm.fetcher && parents.some(({ id }) => id === swarm.fetcher?.id)) swarm.fetcher.children.add(asker.id)
    return { parents, refused }
  }

  #mayAskFetcher(swarm: Swarm, asker: string, stalled: boolean): boolean {
    const { children } = swarm.fetcher!
    if (stalled || children.has(asker)) return true
    return swarm.holders.size <= mostFetcherChildren || children.size < mostFetcherChildren
  }

  #swarm(digest: Digest, now: number): Swarm {
    let swarm = this.#swarms.get(digest)
    if (!swarm) {
      swarm = { digest, holders: new Holders(), failedSeeds: new Map(), bornAt: now }
      this.#swarms.set(digest, swarm)
    }
    return swarm
  }

  #holder(swarm: Swarm, id: string, now: number): Holder {
    const digests = this.#memberships.get(id)
    if (digests) digests.add(swarm)
    else this.#memberships.set(id, new Set([swarm]))
    const holder = swarm.holders.add(id, now)
    holder.node = this.#nodes.get(id)
    return holder
  }

  #update(swarm: Swarm, holder: Holder, pieces: number, complete: boolean, now: number): void {
    if (swarm.fetcher?.id === holder.id && pieces > holder.pieces) swarm.fetcher.progressAt = now
    swarm.holders.update(holder.id, pieces, complete)
    this.#touch(swarm, holder, now)
  }

  #touch(swarm: Swarm, holder: Holder, now: number): void {
    holder.seenAt = now
    this.#empty.delete(holder)
    if (holder.pieces === 0) this.#empty.set(holder, swarm)
  }

  /** Takes out who held nothing and has been silent for long. */
  #forget(now: number): void {
    for (const [holder, swarm] of this.#empty) {
      if (now - holder.seenAt <= emptyMs) break
      this.#memberships.get(holder.id)?.delete(swarm)
      this.#remove(swarm, holder.id)
    }
  }

  #remove(swarm: Swarm, id: string): void {
    if (swarm.fetcher?.id === id) delete swarm.fetcher
    swarm.fetcher?.children.delete(id)
    const holder = swarm.holders.get(id)
    if (holder) this.#empty.delete(holder)
    swarm.holders.remove(id)
    if (swarm.holders.size > 0) return
    this.#swarms.delete(swarm.digest)
    this.#explained.delete(swarm.digest)
  }
}
