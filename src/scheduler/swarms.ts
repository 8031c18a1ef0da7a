/**
 * The scheduler's knowledge of who holds what, and the decisions it takes from it. Pure: time and chance are arguments,
 * nothing here waits. All of it is soft state: nodes announce what they hold, so a scheduler that starts anew, or takes
 * over a digest, knows again within a heartbeat. And it forgets: a node that neither holds a piece nor asks for any is
 * no longer in the swarm, and a swarm without nodes is no more.
 *
 * For each blob at most one node, the fetcher, reads it from the source: of the live seeds that read least at the moment
 * the first in rendezvous order, or the asking node where there is no seed. It is replaced when it leaves, gives up, or
 * makes no progress while others stall. A fetcher is always a holder too. Between sites one node of each fetches for the
 * others there, see {@link Gateways}.
 *
 * One file, because every decision reads and changes all of this state together.
 */

import type { Random } from '../clock.ts'
import { announceEvery } from '../cluster/member-table.ts'
import type { Mode } from '../cluster/node-info.ts'
import { ownerOf } from '../cluster/rendezvous.ts'
import { apart } from '../cluster/zone.ts'
import { turnsAway } from '../failure.ts'
import { lru } from '../lru.ts'
import type { Digest } from '../oci/digest.ts'
import type { Asked, Decision, DescribedSwarm, SwarmNode } from './decision.ts'
import { Gateways, type Standing } from './gateways.ts'
import { failuresOf, type Holder, Holders } from './holders.ts'
import { hasRoom, isToldAnew, type Lead, leadOf, leadPatienceMs } from './lead.ts'
import { type Candidate, fetchesFar, nearness, type Ranked, rankParents, reads } from './parents.ts'

interface Swarm {
  readonly digest: Digest
  size?: number
  readonly holders: Holders
  fetcher?: Lead
  readonly gateways: Gateways
  /** Seeds that failed to fetch it, and when: not named again for a while. */
  readonly failedSeeds: Map<string, number>
  readonly bornAt: number
}

/** What was heard of a node last. */
type Known = { -readonly [Key in keyof SwarmNode]: SwarmNode[Key] }

const mostParents = 12
/** In the first answer of a swarm that has just begun; the others come when it is seen who else is in it. */
const firstParents = 3
const mere: readonly Mode[] = ['peer']
/** Parents at other sites, for the one node of a site that has such. What it waits for, its whole site waits for. */
const mostFar = 8
/** How many holders are looked at for one decision, whatever the size of the swarm. */
const sample = 48
/** Where most nodes are at other sites, more are drawn until so many near ones were seen, at most so often. */
const enoughNear = mostParents
const mostDraws = 4
/** Somebody lost it through whom all comes: after so long, two pings, it is known whether another has to be named. */
const doubtedMs = 300
const fetcherPenaltyMs = 30_000
/** A node that holds nothing and has been silent about the blob for so long does not want it any more. */
const emptyMs = 60_000
const youngMs = 3000
/** Decisions kept for an operator to see: so many for each of the swarms that were asked about last. */
const decisionsKept = 8
const swarmsExplained = 256

export class Swarms {
  readonly #random: Random
  readonly #sourceZone: string | undefined
  readonly #nodes = new Map<string, Known>()
  readonly #seeds = new Set<string>()
  readonly #swarms = new Map<Digest, Swarm>()
  /** Those of them that somebody reads from the source. */
  readonly #read = new Set<Swarm>()
  /** Decisions so far: marks who was looked at in the last one. */
  #looks = 0
  /** Which swarms a node is in, so that its leaving costs what it held and no more. */
  readonly #memberships = new Map<string, Set<Swarm>>()
  /** Holders of no piece, the one that has been silent longest first. */
  readonly #empty = new Map<Holder, Swarm>()
  /** The last decisions about a blob, to be shown. */
  readonly #explained = lru<Digest, readonly Decision[]>(swarmsExplained)

  /** @param sourceZone where sources are: seeds that are nearest to it read them */
  constructor(random: Random, sourceZone?: string) {
    this.#random = random
    this.#sourceZone = sourceZone
  }

  get size(): number {
    return this.#swarms.size
  }

  /** A node is alive, with this load. */
  node(node: SwarmNode): void {
    const known = this.#nodes.get(node.id)
    if (known) {
      known.zone = node.zone
      known.seed = node.seed
      known.load = node.load
    } else {
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
    if (complete || (fetches && !swarm.holders.anyWhole)) swarm.size = size
    else if (pieces > 0) swarm.size ??= size
    this.#update(swarm, this.#holder(swarm, id, now), pieces, complete, now)
    if (fetches && complete) this.#endsReading(swarm)
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
      swarm.gateways.lost(id)
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
    const { fetcher } = swarm
    const reader = fetcher && this.#nodes.get(fetcher.id)
    const standing = swarm.gateways.standing(asker, { stalled: asked.stalled, reasons }, reader, now)
    const { parents, refused } = this.#parents(swarm, asker, asked, standing, now)
    const decision: Decision = {
      digest: asked.digest,
      asker: asker.id,
      parents,
      refused,
      ...(fetcher ? { fetcher: fetcher.id } : {}),
      ...(order ? { order } : {}),
      ...(swarm.size !== undefined ? { size: swarm.size } : {}),
      elsewhere: fetcher ? fetcher.id !== asker.id : this.#wholeElsewhere(swarm, asked, asker.id, now),
      leads: fetcher?.id === asker.id || standing.gateway?.id === asker.id,
      again: [fetcher, standing.gateway].some((lead) => lead && failed.has(lead.id))
        ? doubtedMs
        : this.#again(swarm, asked.connected.length + parents.length, fetcher?.id === asker.id, now),
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

  #again(swarm: Swarm, parents: number, fetches: boolean, now: number): number {
    if (now - swarm.bornAt < youngMs && parents < mostParents) return 200
    // Who reads the source says by asking that it gets on with it.
    return announceEvery(mere, fetches ? 1 : this.#nodes.size)
  }

  /** Names a fetcher if the blob is not whole anywhere; returns it when it has just been named and must be told. */
  #ensureFetcher(asked: Asked, swarm: Swarm, asker: string, reasons: string[], now: number): string | undefined {
    const { fetcher } = swarm
    const refused = fetcher && asked.failed.find((f) => f.node === fetcher.id && f.refused !== undefined)
    // Who is not told to read anything makes no progress: it counts from when somebody began to wait.
    if (fetcher && !fetcher.whole && !asked.stalled) fetcher.progressAt = now
    // Two that read from a slow source would only halve what each of them gets.
    if (fetcher?.id === asker && asked.hears) fetcher.progressAt = now
    const silent = fetcher && asked.stalled ? now - fetcher.progressAt : 0
    if (refused || silent > leadPatienceMs) {
      const why = refused
        ? `is of no use to ${asker}: ${refused.reason}`
        : `made no progress for ${Math.round(silent)} ms`
      reasons.push(`fetcher ${fetcher?.id} ${why}`)
      this.#failFetcher(swarm, now)
    }
    // It was told to read before somebody announced all of it, and has nothing yet: perhaps no source has it any more.
    const vain = swarm.fetcher?.id === asker && asked.pieces === 0
    if (vain && this.#wholeElsewhere(swarm, { ...asked, stalled: true }, asker, now)) this.#endsReading(swarm)
    const named = swarm.fetcher
    if (named) {
      const anew = this.#seeds.has(named.id) && isToldAnew(named, asked.part ?? false, now)
      return anew && named.id !== asker ? named.id : undefined
    }
    if (this.#wholeElsewhere(swarm, asked, asker, now)) return undefined
    // The asking node's own credentials may do: it is the one with the engine.
    const turnedAway = turnsAway(refused?.refused) && !asked.readers
    const id = turnedAway ? asker : this.#chooseFetcher(swarm, asked, asker, now)
    reasons.push(`${id}${id === asker ? ', which asks,' : ''} reads the source`)
    swarm.fetcher = leadOf(id, now, !asked.part)
    this.#read.add(swarm)
    this.#touch(swarm, this.#holder(swarm, id, now), now)
    return id === asker ? undefined : id
  }

  #chooseFetcher(swarm: Swarm, asked: Asked, asker: string, now: number): string {
    const { readers } = asked
    for (const [id, failedAt] of swarm.failedSeeds) {
      if (now - failedAt > fetcherPenaltyMs) swarm.failedSeeds.delete(id)
    }
    // A seed that has all of it would have nothing to read.
    const able = [...this.#seeds].filter(
      (id) => !swarm.failedSeeds.has(id) && !swarm.holders.get(id)?.complete && (readers?.has(id) ?? true),
    )
    return ownerOf(swarm.digest, this.#fittest(this.#nearSource(able), swarm, asked)) ?? asker
  }

  /**
   * Those of them that read the fewest blobs: the layers of an image are wanted all at once, and none comes faster than the
   * link of the node that reads it. A node that has parents or pieces already was answered by another scheduler, which may
   * have told somebody to read it: that goes on, if it is seen, and else whoever all schedulers name first.
   */
  #fittest(seeds: readonly string[], swarm: Swarm, { pieces, connected, part }: Asked): readonly string[] {
    // Little of it is read, and by whom nodes ask for the layer's index without asking a scheduler.
    if (part) return seeds
    if (pieces > 0 || connected.length > 0) {
      const begun = seeds.filter((id) => connected.includes(id) || (swarm.holders.get(id)?.pieces ?? 0) > 0)
      return begun.length > 0 ? begun : seeds
    }
    const reads = new Map<string, number>()
    for (const { fetcher } of this.#read) if (fetcher?.whole) reads.set(fetcher.id, (reads.get(fetcher.id) ?? 0) + 1)
    const readsOf = (id: string) => reads.get(id) ?? 0
    const least = Math.min(...seeds.map(readsOf))
    return seeds.filter((id) => readsOf(id) === least)
  }

  #endsReading(swarm: Swarm): void {
    delete swarm.fetcher
    this.#read.delete(swarm)
  }

  /** Those of them whose zones agree with the sources' in most parts. */
  #nearSource(seeds: readonly string[]): readonly string[] {
    if (this.#sourceZone === undefined) return seeds
    const parts = seeds.map((id) => nearness(this.#sourceZone, this.#nodes.get(id)?.zone))
    const most = Math.max(...parts)
    return seeds.filter((_, i) => parts[i] === most)
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
    this.#endsReading(swarm)
  }

  #blame(swarm: Swarm, id: string, reason: string, reasons: string[], now: number): void {
    const holder = swarm.holders.get(id)
    if (!holder) return
    holder.failures = failuresOf(holder, now) + 1
    holder.failedAt = now
    reasons.push(`${id} was reported: ${reason}`)
  }

  #parents(
    swarm: Swarm,
    asker: SwarmNode,
    asked: Asked,
    { gateway, crosses }: Standing,
    now: number,
  ): Pick<Decision, 'parents' | 'refused'> {
    const first = asked.connected.length < firstParents && now - swarm.bornAt < youngMs && !swarm.holders.anyWhole
    const look = ++this.#looks
    let far = mostFar
    let room = (first ? firstParents : mostParents) - asked.connected.length
    for (const id of [asker.id, ...asked.connected]) {
      const holder = swarm.holders.get(id)
      if (!holder) continue
      holder.look = look
      if (!apart(asker.zone, holder.node?.zone)) continue
      // Those have places of their own.
      far--
      room++
    }
    room = Math.max(0, room)
    const failed = new Set(asked.failed.map(({ node }) => node))
    const { fetcher } = swarm
    const candidates: Candidate[] = []
    const refused: { id: string; reason: string }[] = []
    const elsewhere = `is at another site, from which ${gateway ? `${gateway.id} fetches` : 'nothing is needed'}`
    /** Candidates at other sites. */
    const distant = new Set<string>()
    let apartFrom = 0
    let near = 0
    const consider = (holder: Holder | undefined) => {
      const node = holder?.node
      if (!holder || !node || holder.look === look) return
      const { id, pieces, complete } = holder
      holder.look = look
      const isFar = apart(asker.zone, node.zone)
      if (isFar) apartFrom++
      else near++
      const lead = id === fetcher?.id ? fetcher : id === gateway?.id ? gateway : undefined
      if (failed.size > 0 && failed.has(id)) refused.push({ id, reason: 'has just failed the asking node' })
      else if (isFar && !crosses) refused.push({ id, reason: elsewhere })
      // It is told what to read by those who need it.
      else if (lead && !asked.part && !hasRoom(lead, asker.id, asked.stalled, swarm.holders.size))
        refused.push({ id, reason: `${lead === fetcher ? reads : fetchesFar}, and enough nodes ask it already` })
      else if (!lead && pieces === 0 && now - holder.seenAt > emptyMs)
        refused.push({ id, reason: 'holds no piece and asks for none' })
      else {
        const { zone, load } = node
        const failures = holder.failures === 0 ? 0 : failuresOf(holder, now)
        const reader = lead !== undefined && lead === fetcher
        const brings = lead !== undefined && lead === gateway
        if (isFar) distant.add(id)
        const { links } = holder
        candidates.push({ id, zone, pieces, complete, fetcher: reader, gateway: brings, load, links, failures })
      }
    }
    if (fetcher) consider(swarm.holders.get(fetcher.id))
    if (gateway) consider(swarm.holders.get(gateway.id))
    for (let draw = 0; (room > 0 || crosses) && draw < mostDraws && (draw === 0 || near < enoughNear); draw++) {
      for (const holder of swarm.holders.sample(sample, this.#random)) consider(holder)
      // Those are all there are; and where there are no sites, whoever was looked at is near.
      if (swarm.holders.size <= sample || apartFrom === 0) break
    }
    const ranked = rankParents(asker, candidates, this.#random)
    const parents: Ranked[] = []
    // Near ones rank higher and may be many, but without those across the line nothing comes.
    for (const one of ranked) {
      if (distant.has(one.id) ? far-- > 0 : room-- > 0) parents.push(one)
      else refused.push({ id: one.id, reason: 'others rank higher' })
    }
    for (const { id } of parents) {
      swarm.holders.get(id)!.links++
      if (id === fetcher?.id) fetcher.children.add(asker.id)
      if (id === gateway?.id) gateway.children.add(asker.id)
    }
    swarm.holders.get(asker.id)!.links = asked.connected.length + parents.length
    return { parents, refused }
  }

  #swarm(digest: Digest, now: number): Swarm {
    let swarm = this.#swarms.get(digest)
    if (!swarm) {
      swarm = { digest, holders: new Holders(), gateways: new Gateways(), failedSeeds: new Map(), bornAt: now }
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
    if (holder.node) swarm.gateways.holds(holder.node, { more: pieces > holder.pieces, whole: complete }, now)
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
    if (swarm.fetcher?.id === id) this.#endsReading(swarm)
    swarm.fetcher?.children.delete(id)
    swarm.gateways.left(id)
    const holder = swarm.holders.get(id)
    if (holder) this.#empty.delete(holder)
    swarm.holders.remove(id)
    if (swarm.holders.size > 0) return
    this.#swarms.delete(swarm.digest)
    this.#explained.delete(swarm.digest)
  }
}
