/**
 * Swarms in virtual time: the real {@link Download}, {@link UploadQueue} and {@link Swarms} of every node, over links that
 * carry one piece after the other. Some seeds or none, a scheduler, and N nodes that want the same blobs at once.
 *
 * The model of the network: a link sends what is put on it in order at its rate, and takes in what comes in order at its
 * rate. Control messages take `latencyMs` and no room. What the node around the decisions does (connects both ways, tells
 * its news in batches, gives up waiting children) is done here as it does it.
 *
 * Longer than most files, for it is one table of events and the handlers share the state.
 */
import { type Random, seededRandom } from '../../src/clock.ts'
import { apart } from '../../src/cluster/zone.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { pieceBytes } from '../../src/piece/layout.ts'
import type { SwarmNode } from '../../src/scheduler/decision.ts'
import { Swarms } from '../../src/scheduler/swarms.ts'
import { runsOf } from '../../src/swarm/download/aims.ts'
import type { DownloadCommand, DownloadEvent } from '../../src/swarm/download/download.ts'
import { defaultTuning, type Tuning } from '../../src/swarm/download/tuning.ts'
import { mostRanges, rangeBytes } from '../../src/swarm/feeding/range-feed.ts'
import { mostAcross } from '../../src/swarm/parent-links.ts'
import { nextBatch, usualBatchMs } from '../../src/swarm/seeding/batch.ts'
import { patienceMs } from '../../src/swarm/seeding/uploader.ts'
import { defaultUploadTuning, type UploadTuning } from '../../src/swarm/seeding/uploads.ts'
import { leadMs } from '../../src/swarm/swarm.ts'
import { tickMs } from '../../src/swarm/transfer.ts'
import { type Account, Accountant } from './account.ts'
import { EventQueue } from './event-queue.ts'
import { Copy, Host, type SimAsk } from './host.ts'
import { Uplinks } from './uplinks.ts'

export interface Scenario {
  readonly seed: number
  /** Nodes that want the blobs. */
  readonly nodes: number
  /** Nodes that only read the source and serve; they come first. 1 if not said; 0: the other nodes do it themselves. */
  readonly seeds?: number
  readonly blobBytes: number
  /** So many blobs of that size, wanted all at once. 1 if not said. */
  readonly blobs?: number
  /** Bytes per second, each direction; of node `i` (0 is the first seed). */
  rate(node: number): number
  readonly sourceRate: number
  readonly latencyMs?: number
  readonly batchMs?: number
  readonly pieceLength?: number
  /** When node `i` starts, in ms. */
  start?(node: number, random: Random): number
  /** Node ids that stop for good at a time. */
  readonly kill?: readonly { readonly node: number; readonly at: number }[]
  /** Nodes that send wrong bytes. */
  readonly liars?: ReadonlySet<number>
  /** Zone of node `i`; none if not said. What crosses from one site to another is counted, and not slower. */
  zone?(node: number): string
  /** Only these pieces are read, in this order, so many at a time by each node; they have been when all of them are there. */
  readonly parts?: { readonly pieces: readonly number[]; readonly atOnce: number }
  /** Nobody reads the blob while it arrives, so that no piece is more urgent than another. */
  readonly unread?: boolean
  readonly tuning?: Partial<Tuning>
  readonly uploads?: Partial<UploadTuning>
  /** Virtual ms after which the run is given up. */
  readonly limitMs?: number
  /** The links are looked at so often while one of them could carry the blobs once, for an account of where time goes. */
  readonly looks?: number
}

export interface Outcome {
  /** Ms from a node's start to its last piece; `undefined` if it never finished. By node, seeds left out. */
  readonly finished: (number | undefined)[]
  readonly bytesFromSource: number
  /** Pieces that those who read the source sent, over pieces there are. */
  readonly seedCopies: number
  /** Pieces that arrived and were not needed any more. */
  readonly wasted: number
  readonly deliveries: number
  /** Pieces that arrived from another site, over pieces there are. */
  readonly crossed: number
  /** Requests that were made, and that were taken back. */
  readonly requests: number
  readonly cancelled: number
  readonly events: number
  /** Pieces that the nodes have in the end, taken together; seeds left out. */
  readonly held: number
  readonly banned: number
  /** Share of all uplinks in use, for each twentieth of the time in which a link carries the blobs once. */
  readonly uplinks: readonly number[]
  /** Messages with news of pieces, each to one node. */
  readonly news: number
  /** Where the time went; if it was asked for. */
  readonly account?: Account
}

const kinds = {
  begin: 0,
  tick: 1,
  answer: 2,
  again: 3,
  request: 4,
  cancel: 5,
  started: 6,
  arrive: 7,
  delivered: 8,
  publish: 9,
  news: 10,
  refused: 11,
  fed: 12,
  die: 13,
  gone: 14,
  needs: 15,
  look: 16,
  sent: 17,
} as const

const reasons = ['busy', 'missing', 'broken'] as const
/** How long it takes to notice that another node is dead. */
const deadMs = 1000

export function simulate(scenario: Scenario): Outcome {
  return new Simulation(scenario).run()
}

export class Simulation {
  readonly #s: Scenario
  readonly #queue = new EventQueue(0.05)
  readonly #random: Random
  readonly #tuning: Tuning
  readonly hosts: Host[] = []
  readonly #copies: Copy[] = []
  readonly #byId = new Map<string, Host>()
  readonly #swarms: Swarms
  readonly #latency: number
  readonly #batch: number
  readonly #seeds: number
  readonly #blobs: number
  /** Requests that are not over, and places among them that are free. */
  readonly #asks: (SimAsk | undefined)[] = []
  readonly #freeAsks: number[] = []
  readonly uplinks: Uplinks
  readonly #accountant: Accountant
  readonly #lookMs: number
  #news = 0
  #bytesFromSource = 0
  #seedSent = 0
  #wasted = 0
  #deliveries = 0
  #crossed = 0
  #requests = 0
  #cancelled = 0
  #events = 0
  #nextAsk = 1
  #remaining: number

  constructor(scenario: Scenario) {
    this.#s = scenario
    this.#random = seededRandom(scenario.seed)
    this.#tuning = { ...defaultTuning, ...scenario.tuning }
    this.#swarms = new Swarms(this.#random)
    this.#latency = scenario.latencyMs ?? 1
    this.#batch = scenario.batchMs ?? usualBatchMs
    this.#seeds = scenario.seeds ?? 1
    this.#blobs = scenario.blobs ?? 1
    this.#remaining = scenario.nodes * this.#blobs
    const uploads = { ...defaultUploadTuning, ...scenario.uploads }
    // The same text for all: as a key in a map it is then found by its place in memory.
    const digests = Array.from({ length: this.#blobs }, (_, blob) => digestOf(blob))
    for (let i = 0; i < this.#seeds + scenario.nodes; i++) {
      const host = new Host(i, scenario.rate(i) / 1000, uploads)
      for (let blob = 0; blob < this.#blobs; blob++) {
        const copy = new Copy(this.#copies.length, host, digests[blob]!, scenario, this.#tuning, this.#random)
        this.#copies.push(copy)
        host.add(copy)
      }
      this.hosts.push(host)
      this.#byId.set(host.id, host)
      this.#swarms.node(this.#nodeOf(host, i < this.#seeds || this.#seeds === 0))
    }
    const limit = (this.#blobs * scenario.blobBytes) / (scenario.rate(this.#seeds) / 1000)
    this.uplinks = new Uplinks(limit / 20, this.hosts.length)
    const looks = scenario.looks ?? 0
    this.#lookMs = limit / looks
    this.#accountant = new Accountant(1 / looks)
  }

  get now(): number {
    return this.#queue.now
  }

  run(): Outcome {
    const { kill = [], start, limitMs = 3_600_000 } = this.#s
    for (const host of this.hosts.slice(this.#seeds)) {
      host.startedAt = start?.(host.index, this.#random) ?? 0
      for (const copy of host.copies) this.#queue.at(host.startedAt, kinds.begin, copy.index)
    }
    for (const { node, at } of kill) this.#queue.at(at, kinds.die, node)
    if (this.#s.looks) this.#queue.at(0, kinds.look)
    const handle = this.#handle.bind(this)
    while (this.#remaining > 0 && this.#queue.now < limitMs && this.#queue.step(handle)) this.#events++
    const pieces = this.#copies[0]!.layout.count * this.#blobs
    return {
      finished: this.hosts.slice(this.#seeds).map((host) => host.tookMs),
      bytesFromSource: this.#bytesFromSource,
      seedCopies: this.#seedSent / pieces,
      wasted: this.#wasted,
      deliveries: this.#deliveries,
      crossed: this.#crossed / pieces,
      requests: this.#requests,
      cancelled: this.#cancelled,
      events: this.#events,
      held: this.hosts
        .slice(this.#seeds)
        .reduce((sum, { copies }) => sum + copies.reduce((n, c) => n + c.have.count, 0), 0),
      banned: this.hosts.reduce((sum, host) => sum + host.banned.size, 0),
      uplinks: this.uplinks.shares(),
      news: this.#news,
      ...(this.#s.looks ? { account: this.#accountant.account(this.#s.nodes) } : {}),
    }
  }

  #handle(kind: number, a: number, b: number, c: number): void {
    switch (kind) {
      case kinds.begin:
        return this.#begin(this.#copies[a]!)
      case kinds.tick:
        return this.#tick(this.#copies[a]!, b)
      case kinds.answer:
        return this.#answer(this.#copies[a]!, b === 1)
      case kinds.again:
        return this.#ask(this.#copies[a]!, false)
      case kinds.request:
        return this.#serve(this.#asks[a]!)
      case kinds.cancel:
        return this.#withdraw(a, b)
      case kinds.started:
        return this.#started(this.#asks[a]!, b)
      case kinds.arrive:
        return this.#arrive(this.#asks[a]!, b)
      case kinds.delivered:
        this.hosts[a]!.uploads.delivered(b, this.#queue.now)
        return this.#grant(this.hosts[a]!)
      case kinds.publish:
        return this.#publish(this.#copies[a]!)
      case kinds.news:
        return this.#newsOf(this.#copies[a]!)
      case kinds.refused:
        return this.#apply(this.#copies[a]!, { type: 'refused', request: b, reason: reasons[c]! })
      case kinds.fed:
        return this.#fed(this.#copies[a]!, b)
      case kinds.die:
        return this.#die(this.hosts[a]!)
      case kinds.needs:
        return this.#needs(this.#copies[a]!, this.#copies[b]!)
      case kinds.sent:
        return this.#send(this.hosts[a]!)
      case kinds.look:
        this.#accountant.look(this.hosts, this.#seeds, this.#queue.now)
        return this.#queue.at((a + 1) * this.#lookMs, kinds.look, a + 1)
      case kinds.gone:
        this.#swarms.left(this.hosts[a]!.id)
        for (const copy of this.#copies) this.#apply(copy, { type: 'parent-left', parent: this.hosts[a]!.id })
    }
  }

  #begin(copy: Copy): void {
    if (!copy.host.alive) return
    this.#apply(copy, { type: 'beside', blobs: copy.host.coming })
    this.#ask(copy, false)
    if (this.#s.parts) this.#aim(copy)
    else if (!this.#s.unread) this.#apply(copy, { type: 'reader-at', reader: 1, piece: 0 })
    this.#queue.after(tickMs * this.#random(), kinds.tick, copy.index, 0)
  }

  #tick(copy: Copy, ticks: number): void {
    if (!copy.host.alive || copy.finishedAt !== undefined) return
    this.#apply(copy, { type: 'beside', blobs: copy.host.coming })
    this.#apply(copy, { type: 'tick' })
    if (ticks % (leadMs / tickMs) === 0) this.#holds(copy)
    this.#queue.after(tickMs, kinds.tick, copy.index, ticks + 1)
  }

  #holds(copy: Copy): void {
    const { have, layout } = copy
    this.#swarms.holds(copy.host.id, copy.digest, layout.size, have.count, have.complete, this.#queue.now)
  }

  #apply(copy: Copy, event: DownloadEvent): void {
    if (!copy.host.alive) return
    for (const command of copy.download.apply(event, this.#queue.now)) this.#carryOut(copy, command)
  }

  #carryOut(copy: Copy, command: DownloadCommand): void {
    switch (command.do) {
      case 'request':
        return this.#request(copy, command)
      case 'cancel': {
        const ask = copy.open.get(command.request.id)
        if (!ask) return
        copy.open.delete(ask.request)
        ask.cancelled = true
        this.#cancelled++
        this.#queue.after(this.#latency, kinds.cancel, ask.slot, ask.id)
        return
      }
      case 'ask':
        return this.#ask(copy, command.stalled)
      case 'drop':
        this.#copyAt(command.parent, copy).subscribers.delete(copy)
        return
      case 'complete':
        if (copy.finishedAt === undefined && copy.host.index >= this.#seeds) this.#remaining--
        copy.finishedAt = this.#queue.now
        this.#holds(copy)
    }
  }

  /** The next parts that are read; it has finished when there are none. */
  #aim(copy: Copy): void {
    const { pieces, atOnce } = this.#s.parts!
    const next = pieces.filter((piece) => !copy.have.has(piece)).slice(0, atOnce)
    if (next.length > 0 || copy.finishedAt !== undefined) {
      this.#apply(copy, { type: 'aimed', who: 'reader', runs: runsOf(next) })
      return this.#tellNeeds(copy)
    }
    copy.finishedAt = this.#queue.now
    this.#remaining--
  }

  /** To those through whom the blob comes; what they are told is what is so when they hear it. */
  #tellNeeds(copy: Copy): void {
    if (copy.feeds) this.#readParts(copy)
    for (const { id, feeding } of copy.download.parents.values()) {
      if (feeding) this.#queue.after(this.#latency, kinds.needs, this.#copyAt(id, copy).index, copy.index)
    }
  }

  #needs(copy: Copy, child: Copy): void {
    if (!copy.host.alive) return
    this.#apply(copy, { type: 'aimed', who: child.host.id, runs: runsOf(child.download.pieces.aimed()) })
    this.#tellNeeds(copy)
  }

  /** As the feed of ranges does: a few requests at a time, each for pieces that follow each other. */
  #readParts(copy: Copy): void {
    const most = Math.ceil(rangeBytes / copy.layout.pieceLength)
    while (copy.ranges < mostRanges) {
      const run = copy.download.pieces.nextDue(most, (piece) => copy.download.pieces.availability[piece] === 0)
      if (!run) return
      const pieces = Array.from({ length: run[1] - run[0] }, (_, i) => run[0] + i)
      this.#apply(copy, { type: 'looking', pieces })
      copy.ranges++
      let ready = this.#queue.now + 2 * this.#latency
      for (const piece of pieces) {
        const bytes = pieceBytes(copy.layout, piece)
        ready = Math.max(ready, copy.sourceFree) + (1000 * bytes) / this.#s.sourceRate
        copy.sourceFree = ready
        const here = Math.max(ready, copy.host.downFree + bytes / copy.host.rate)
        copy.host.downFree = here
        if (piece === run[1] - 1) copy.lastOf.add(piece)
        this.#queue.at(here, kinds.fed, copy.index, piece)
      }
    }
  }

  #copyAt(host: string, like: Copy): Copy {
    return this.#byId.get(host)!.copies[like.index % this.#blobs]!
  }

  #request(child: Copy, { request, any }: Extract<DownloadCommand, { do: 'request' }>): void {
    this.#requests++
    const slot = this.#freeAsks.pop() ?? this.#asks.length
    const ask: SimAsk = {
      id: this.#nextAsk++,
      peer: child.host.id,
      digest: child.digest,
      wanted: any ?? { pieces: [request.piece!] },
      at: 0,
      child,
      parent: this.#copyAt(request.parent, child),
      request: request.id,
      slot,
      cancelled: false,
    }
    this.#asks[slot] = ask
    child.open.set(request.id, ask)
    this.#queue.after(this.#latency, kinds.request, slot)
  }

  #serve(ask: SimAsk): void {
    const { parent, wanted } = ask
    if (!parent.host.alive) return this.#refuse(ask, 2, deadMs)
    if ('pieces' in wanted && !wanted.pieces.some((piece) => parent.have.has(piece)))
      return this.#refuse(ask, 1, this.#latency)
    ask.at = this.#queue.now
    const out = parent.host.uploads.ask(ask)
    if (out) this.#refuse(out, 0, this.#latency)
    if (out === ask) return
    this.#grant(parent.host)
  }

  #over(ask: SimAsk): void {
    ask.child.open.delete(ask.request)
    this.#asks[ask.slot] = undefined
    this.#freeAsks.push(ask.slot)
  }

  /** Who waits leaves the line; what is on the link already cannot be called back, and is thrown away. */
  #withdraw(slot: number, id: number): void {
    const ask = this.#asks[slot]
    if (ask?.id !== id) return
    const { host } = ask.parent
    if (host.uploads.withdraw(id)) return this.#over(ask)
    const place = host.line.findIndex((grant) => grant.ask === ask)
    if (place < 0) return
    for (const grant of host.line.splice(place, 1)) host.uploads.broken(grant)
    this.#over(ask)
    this.#grant(host)
  }

  #refuse(ask: SimAsk, reason: number, delay: number): void {
    this.#over(ask)
    this.#queue.after(delay, kinds.refused, ask.child.index, ask.request, reason)
  }

  #grant(host: Host): void {
    if (!host.alive) return
    const now = this.#queue.now
    for (const ask of host.uploads.expire(now - patienceMs)) this.#refuse(ask, 0, this.#latency)
    for (const grant of host.uploads.grants(now)) host.line.push(grant)
    this.#send(host)
  }

  /** Puts the next of what was granted on the link, unless that is in use. */
  #send(host: Host): void {
    const now = this.#queue.now
    if (host.upFree > now || !host.alive) return
    const grant = host.line.shift()
    if (!grant) return
    const { ask, piece } = grant
    const took = pieceBytes(ask.parent.layout, piece) / host.rate
    if (ask.parent.feeds) this.#seedSent++
    host.upFree = now + took
    this.uplinks.used(now, took)
    this.#queue.after(this.#latency, kinds.started, ask.slot, piece)
    this.#queue.at(host.upFree, kinds.sent, host.index)
  }

  /** The first byte is here: whatever else comes to this node comes before or after it. */
  #started(ask: SimAsk, piece: number): void {
    const { child, parent } = ask
    const now = this.#queue.now
    const bytes = pieceBytes(child.layout, piece)
    const arrives = Math.max(now + bytes / parent.host.rate, child.host.downFree + bytes / child.host.rate)
    child.host.downFree = arrives
    this.#queue.at(arrives, kinds.arrive, ask.slot, piece)
    if (!ask.cancelled) this.#apply(child, { type: 'chosen', request: ask.request, piece })
  }

  #arrive(ask: SimAsk, piece: number): void {
    const { child, parent } = ask
    this.#over(ask)
    if (!parent.host.alive) {
      if (!ask.cancelled) this.#apply(child, { type: 'refused', request: ask.request, reason: 'broken' })
      return
    }
    this.#queue.after(this.#latency, kinds.delivered, parent.host.index, ask.id)
    if (!child.host.alive) return
    this.#deliveries++
    if (this.#apart(child, parent)) this.#crossed++
    if (child.have.has(piece) || ask.cancelled) this.#wasted++
    if (ask.cancelled || child.finishedAt !== undefined) return
    this.#apply(child, { type: 'arrived', request: ask.request, piece })
    if (this.#s.liars?.has(parent.host.index)) {
      child.host.banned.add(parent.host.id)
      parent.subscribers.delete(child)
      this.#apply(child, { type: 'rejected', piece, parent: parent.host.id })
      return
    }
    this.#store(child, piece, 'stored')
  }

  #store(copy: Copy, piece: number, type: 'stored' | 'fed'): void {
    if (copy.have.set(piece)) {
      if (copy.fresh.length === 0) {
        this.#queue.at(nextBatch(this.#queue.now, copy.toldAt, this.#batch), kinds.publish, copy.index)
      }
      copy.fresh.push(piece)
    }
    this.#grant(copy.host)
    this.#apply(copy, { type, piece })
    if (this.#s.parts && copy.host.index >= this.#seeds) return this.#aim(copy)
    if (piece !== copy.reader || this.#s.unread) return
    copy.reader = copy.have.nextMissing(piece)
    if (copy.reader < copy.layout.count) this.#apply(copy, { type: 'reader-at', reader: 1, piece: copy.reader })
  }

  #publish(copy: Copy): void {
    copy.toldAt = this.#queue.now
    const pieces = copy.fresh
    copy.fresh = []
    if (!copy.host.alive || copy.subscribers.size === 0) return
    copy.told.push(pieces)
    this.#queue.after(this.#latency, kinds.news, copy.index)
  }

  #newsOf(copy: Copy): void {
    const event = { type: 'parent-has', parent: copy.host.id, pieces: copy.told.shift()! } as const
    for (const subscriber of copy.subscribers) {
      if (subscriber.finishedAt === undefined && subscriber.host.alive) {
        this.#news++
        this.#apply(subscriber, event)
      } else copy.subscribers.delete(subscriber)
    }
  }

  #ask(copy: Copy, stalled: boolean): void {
    if (copy.asking || copy.finishedAt !== undefined) return
    copy.asking = true
    this.#queue.after(2 * this.#latency, kinds.answer, copy.index, stalled ? 1 : 0)
  }

  #answer(copy: Copy, stalled: boolean): void {
    copy.asking = false
    if (!copy.host.alive || copy.finishedAt !== undefined) return
    const connected = [...copy.download.parents.keys()]
    const decision = this.#swarms.decide(
      this.#nodeOf(copy.host, this.#seeds === 0),
      {
        ...{ digest: copy.digest, pieces: copy.have.count, connected, failed: [], stalled },
        ...(this.#s.parts ? { part: true } : {}),
      },
      this.#queue.now,
    )
    const led = copy.feeding
    copy.leads = decision.leads
    if (copy.feeding && !led) this.#lead(copy)
    for (const { id } of decision.parents) this.#connect(copy, this.#copyAt(id, copy))
    const fetcher = decision.fetcher === undefined ? undefined : this.#copyAt(decision.fetcher, copy)
    if (fetcher && (decision.order || fetcher === copy)) this.#feed(fetcher)
    this.#queue.after(decision.again, kinds.again, copy.index)
  }

  /** A session: either side learns what the other holds, as in the node. */
  #connect(child: Copy, parent: Copy): void {
    this.#subscribe(child, parent)
    if (parent.finishedAt !== undefined || parent.host.index < this.#seeds || this.#apart(child, parent)) return
    this.#subscribe(parent, child)
  }

  #nodeOf({ id, index }: Host, seed: boolean): SwarmNode {
    const zone = this.#s.zone?.(index)
    return { id, seed, load: 0, ...(zone === undefined ? {} : { zone }) }
  }

  #apart(one: Copy, other: Copy): boolean {
    return apart(this.#s.zone?.(one.host.index), this.#s.zone?.(other.host.index))
  }

  /** Its children hear that it will have every piece first. */
  #lead({ host, have, subscribers }: Copy): void {
    for (const child of subscribers) {
      if (child.host.alive && child.finishedAt === undefined)
        this.#apply(child, { type: 'parent-joined', parent: host.id, have, feeding: true })
      if (this.#s.parts) this.#tellNeeds(child)
    }
  }

  #subscribe(child: Copy, parent: Copy): void {
    const { parents } = child.download
    if (parents.has(parent.host.id) || child === parent || child.host.banned.has(parent.host.id)) return
    const most = this.#tuning.mostParents + (this.#apart(child, parent) ? mostAcross : 0)
    if (parents.size >= most || child.finishedAt !== undefined || !parent.host.alive) return
    parent.subscribers.add(child)
    this.#apply(child, { type: 'parent-joined', parent: parent.host.id, have: parent.have, feeding: parent.feeding })
    if (this.#s.parts) this.#tellNeeds(child)
  }

  #feed(copy: Copy): void {
    if (copy.feeds || !copy.host.alive) return
    copy.feeds = true
    if (this.#s.parts) {
      this.#lead(copy)
      return this.#readParts(copy)
    }
    this.#readSource(copy, 0)
  }

  #readSource(copy: Copy, from: number): void {
    const piece = copy.have.nextMissing(from)
    if (piece >= copy.layout.count) return this.#apply(copy, { type: 'feed', from: 0, to: 0 })
    this.#apply(copy, { type: 'feed', from: piece, to: copy.layout.count })
    const bytes = pieceBytes(copy.layout, piece)
    const here = Math.max(
      this.#queue.now + (1000 * bytes) / this.#s.sourceRate,
      copy.host.downFree + bytes / copy.host.rate,
    )
    copy.host.downFree = here
    this.#queue.at(here, kinds.fed, copy.index, piece)
  }

  #fed(copy: Copy, piece: number): void {
    if (!copy.host.alive) return
    this.#bytesFromSource += pieceBytes(copy.layout, piece)
    this.#store(copy, piece, this.#s.parts ? 'stored' : 'fed')
    this.#holds(copy)
    if (this.#s.parts) {
      if (copy.lastOf.delete(piece)) copy.ranges--
      return this.#readParts(copy)
    }
    this.#readSource(copy, piece + 1)
  }

  #die(host: Host): void {
    host.alive = false
    for (const copy of host.copies) {
      if (host.index >= this.#seeds && copy.finishedAt === undefined) this.#remaining--
    }
    this.#queue.after(deadMs, kinds.gone, host.index)
  }
}

function digestOf(blob: number): Digest {
  return `sha256:${blob.toString(16).padStart(64, '5')}` as Digest
}
