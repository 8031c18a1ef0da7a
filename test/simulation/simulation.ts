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
import { mostHops } from '../../src/swarm/following.ts'
import { mostAcross } from '../../src/swarm/parent-links.ts'
import { keptBack, leastPart } from '../../src/swarm/relays.ts'
import { nextBatch, usualBatchMs } from '../../src/swarm/seeding/batch.ts'
import { patienceMs } from '../../src/swarm/seeding/uploader.ts'
import { defaultUploadTuning } from '../../src/swarm/seeding/uploads.ts'
import { leadMs } from '../../src/swarm/swarm.ts'
import { tickMs } from '../../src/swarm/transfer.ts'
import { Accountant } from './account.ts'
import { EventQueue } from './event-queue.ts'
import { type Asked, Copy, Host, type SimAsk } from './host.ts'
import { kinds } from './kinds.ts'
import { Relays, wholeAt } from './relays.ts'
import type { Outcome, Scenario } from './scenario.ts'
import { Uplinks } from './uplinks.ts'

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
  readonly #relays: Relays
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
        const stocked = (scenario.stocked ?? false) && i < this.#seeds
        const copy = new Copy(this.#copies.length, host, digests[blob]!, scenario, this.#tuning, this.#random, stocked)
        this.#copies.push(copy)
        host.add(copy)
      }
      this.hosts.push(host)
      this.#byId.set(host.id, host)
      this.#swarms.node(this.#nodeOf(host, i < this.#seeds || this.#seeds === 0))
      for (const copy of host.copies) if (copy.finishedAt !== undefined) this.#holds(copy)
    }
    const limit = (this.#blobs * scenario.blobBytes) / (scenario.rate(this.#seeds) / 1000)
    this.uplinks = new Uplinks(limit / 20, this.hosts.length)
    const looks = scenario.looks ?? 0
    this.#lookMs = limit / looks
    this.#accountant = new Accountant(1 / looks)
    this.#relays = new Relays({
      now: () => this.#queue.now,
      late: ({ slot, id }) => this.#queue.after(patienceMs, kinds.late, slot, id),
      ready: ({ slot, id }, at) => this.#queue.at(at, kinds.ready, slot, id),
      serve: (ask) => this.#offer(ask),
      brokeOff: (ask) => this.#refuse(ask, 2, this.#latency),
      grant: (host) => this.#grant(host),
    })
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

  #handle(kind: number, a: number, b: number, c: number, d: number): void {
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
        return this.#with(a, b, (ask) => this.#serve(ask))
      case kinds.cancel:
        return this.#with(a, b, (ask) => this.#withdraw(ask))
      case kinds.started:
        return this.#with(a, b, (ask) => this.#started(ask, c))
      case kinds.arrive:
        return this.#with(a, b, (ask) => this.#arrive(ask, c))
      case kinds.late:
        return this.#with(a, b, (ask) => this.#relays.late(ask))
      case kinds.ready:
        return this.#with(a, b, (ask) => this.#passOn(ask))
      case kinds.elsewhere:
        return this.#elsewhere(this.#asks[a]!, this.hosts[c]!, d)
      case kinds.left:
        return this.hosts[a]!.uploads.left(this.#copies[b]!.host.id, this.#copies[b]!.digest)
      case kinds.turn:
        this.hosts[a]!.looks = false
        return this.#grant(this.hosts[a]!)
      case kinds.think:
        this.#copies[a]!.read += b
        return this.#aim(this.#copies[a]!)
      case kinds.delivered:
        this.hosts[a]!.uploads.delivered(b, this.#queue.now)
        return this.#grant(this.hosts[a]!)
      case kinds.publish:
        return this.#publish(this.#copies[a]!)
      case kinds.news:
        return this.#newsOf(this.#copies[a]!)
      case kinds.refused:
        return this.#refused(this.#asks[a]!, c)
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
        return this.#gone(this.hosts[a]!)
    }
  }

  /** What is under way of a request comes to nothing when that is over, or told to go elsewhere. */
  #with(slot: number, id: number, handle: (ask: SimAsk) => void): void {
    const ask = this.#asks[slot]
    if (ask?.id === id && !ask.told) handle(ask)
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
        this.#relays.ended(ask, false)
        this.#queue.after(this.#latency, kinds.cancel, ask.slot, ask.id)
        return
      }
      case 'ask':
        return this.#ask(copy, command.stalled)
      case 'drop':
        this.#copyAt(command.parent, copy).subscribers.delete(copy)
        return this.#leave(copy, command.parent)
      case 'complete':
        if (copy.finishedAt === undefined && copy.host.index >= this.#seeds) this.#remaining--
        copy.finishedAt = this.#queue.now
        this.#holds(copy)
        for (const id of copy.download.parents.keys()) this.#leave(copy, id)
    }
  }

  /** The parent hears that nothing more of the blob is wanted of it. */
  #leave(copy: Copy, parent: string): void {
    this.#queue.after(this.#latency, kinds.left, this.#byId.get(parent)!.index, copy.index)
  }

  /** The next parts that are read; it has finished when there are none. */
  #aim(copy: Copy): void {
    const { pieces, atOnce, thinkMs } = this.#s.parts!
    if (!copy.host.alive) return
    const next = thinkMs
      ? pieces.slice(copy.read, copy.read + atOnce)
      : pieces.filter((piece) => !copy.have.has(piece)).slice(0, atOnce)
    if (next.length > 0 || copy.finishedAt !== undefined) {
      copy.waitsFor = next
      this.#apply(copy, { type: 'aimed', who: 'reader', runs: runsOf(next) })
      this.#tellNeeds(copy)
      return this.#think(copy)
    }
    copy.finishedAt = this.#queue.now
    copy.download.close()
    this.#remaining--
  }

  /** What the reader waits for may be there. */
  #think(copy: Copy): void {
    const { thinkMs } = this.#s.parts!
    const read = copy.waitsFor.length
    if (!thinkMs || read === 0 || copy.waitsFor.some((piece) => !copy.have.has(piece))) return
    copy.waitsFor = []
    this.#queue.after(thinkMs * (0.8 + 0.4 * this.#random()), kinds.think, copy.index, read)
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
    const parent = this.#copyAt(request.parent, child)
    const ask = this.#open({
      ...{ child, first: parent, parent, request: request.id, piece: request.piece, coming: false, hops: 1 },
      wanted: any ?? { pieces: [request.piece!] },
      background: request.ahead ?? false,
      follow: !this.#s.unread && child.download.isStep(request),
    })
    this.#queue.after(this.#latency, kinds.request, ask.slot, ask.id)
  }

  #open(asked: Asked): SimAsk {
    const slot = this.#freeAsks.pop() ?? this.#asks.length
    const { child, request } = asked
    const now = { at: 0, slot, cancelled: false, told: false, sent: false, comes: undefined, relay: undefined }
    const ask = { id: this.#nextAsk++, peer: child.host.id, digest: child.digest, passes: [], ...now, ...asked }
    this.#asks[slot] = ask
    child.open.set(request, ask)
    return ask
  }

  #serve(ask: SimAsk): void {
    const { parent, piece, child, digest, follow } = ask
    if (!parent.host.alive) return this.#refuse(ask, 2, deadMs)
    ask.at = this.#queue.now
    if (ask.coming && piece !== undefined && !parent.have.has(piece)) {
      const to = follow ? parent.host.uploads.before({ peer: child.host.id, digest }, piece, ask.at) : undefined
      if (to !== undefined) return this.#refer(ask, piece, to)
      if (this.#relays.join(ask, piece)) return
    }
    this.#offer(ask)
  }

  #offer(ask: SimAsk): void {
    const { parent, wanted } = ask
    if ('pieces' in wanted && !wanted.pieces.some((piece) => parent.have.has(piece)))
      return this.#refuse(ask, 1, this.#latency)
    const out = parent.host.uploads.ask(ask)
    if (out) this.#refuse(out, 0, this.#latency)
    if (out === ask) return
    this.#grant(parent.host)
  }

  #over(ask: SimAsk): void {
    const { child, request, slot } = ask
    if (child.open.get(request) === ask) child.open.delete(request)
    this.#asks[slot] = undefined
    this.#freeAsks.push(slot)
  }

  /** Who waits leaves the line; what is on the link already cannot be called back, and is thrown away. */
  #withdraw(ask: SimAsk): void {
    const { host } = ask.parent
    if (host.uploads.withdraw(ask.id)) return this.#over(ask)
    this.#relays.leave(ask)
    const place = host.line.findIndex((grant) => grant.ask === ask)
    if (place < 0 && (ask.sent || !ask.relay)) return
    for (const grant of place < 0 ? [] : host.line.splice(place, 1)) if (!ask.relay) host.uploads.broken(grant)
    this.#over(ask)
    this.#grant(host)
  }

  #refuse(ask: SimAsk, reason: number, delay: number): void {
    ask.told = true
    const { line } = ask.parent.host
    const place = ask.relay && !ask.sent ? line.findIndex((grant) => grant.ask === ask) : -1
    if (place >= 0) line.splice(place, 1)
    this.#queue.after(delay, kinds.refused, ask.slot, ask.id, reason)
  }

  /** Who was named instead of the parent has nothing for it: it asks the parent once more. */
  #refused(ask: SimAsk, reason: number): void {
    const { child, parent, first, request, piece } = ask
    const vain = ask.cancelled || !child.host.alive
    if (!vain && parent !== first && piece !== undefined) return this.#again(ask, first, piece)
    this.#over(ask)
    if (vain) return
    this.#relays.ended(ask, false)
    this.#apply(child, { type: 'refused', request, reason: reasons[reason]! })
  }

  #refer(ask: SimAsk, piece: number, to: string): void {
    ask.told = true
    this.#queue.after(this.#latency, kinds.elsewhere, ask.slot, ask.id, this.#byId.get(to)!.index, piece)
  }

  #elsewhere(ask: SimAsk, { id }: Host, piece: number): void {
    const { child, first } = ask
    if (ask.cancelled || !child.host.alive) return this.#over(ask)
    this.#apply(child, { type: 'bound', request: ask.request, piece })
    if (ask.cancelled) return this.#over(ask)
    this.#again(ask, child.host.banned.has(id) ? first : this.#copyAt(id, child), piece)
  }

  /** The same request, made once more: to a node that was named, or to the parent. */
  #again(before: SimAsk, parent: Copy, piece: number): void {
    this.#over(before)
    const { child, first, request, hops, background = false } = before
    const coming = parent !== first
    const ask = this.#open({
      ...{ child, first, parent, request, piece, coming, hops: hops + 1 },
      wanted: { pieces: [piece] },
      background,
      follow: coming && hops < mostHops,
    })
    this.#relays.ended(before, false)
    this.#queue.after(this.#latency, kinds.request, ask.slot, ask.id)
  }

  #grant(host: Host): void {
    if (!host.alive) return
    const now = this.#queue.now
    for (const ask of host.uploads.expire(now - patienceMs)) this.#refuse(ask, 0, this.#latency)
    for (const grant of host.uploads.grants(now)) host.line.push(grant)
    for (const { ask, piece, to } of host.uploads.referrals(now)) this.#refer(ask, piece, to)
    this.#send(host)
    if (host.uploads.waiting === 0 || host.looks) return
    // Some wait for nothing but time to pass.
    host.looks = true
    this.#queue.after(this.#batch, kinds.turn, host.index)
  }

  /** Enough of it is here. */
  #passOn(ask: SimAsk): void {
    ask.parent.host.line.push({ ask, piece: ask.piece! })
    this.#send(ask.parent.host)
  }

  /** Puts the next of what was granted on the link, unless that is in use. */
  #send(host: Host): void {
    const now = this.#queue.now
    if (host.upFree > now || !host.alive) return
    const grant = host.line.shift()
    if (!grant) return
    const { ask, piece } = grant
    const took = pieceBytes(ask.parent.layout, piece) / host.rate
    if (ask.parent.feeds || (this.#s.stocked && host.index < this.#seeds)) this.#seedSent++
    ask.sent = true
    host.upFree = now + took
    this.uplinks.used(now, took)
    this.#queue.after(this.#latency, kinds.started, ask.slot, ask.id, piece)
    this.#queue.at(host.upFree, kinds.sent, host.index)
  }

  /** The first byte is here: whatever else comes to this node comes before or after it. */
  #started(ask: SimAsk, piece: number): void {
    const { child, parent } = ask
    const { host } = child
    const now = this.#queue.now
    const bytes = pieceBytes(child.layout, piece)
    const part = (size: number) => Math.max(now + size / parent.host.rate, host.downFree + size / host.rate)
    const arrives = Math.max(part(bytes), wholeAt(ask, this.#latency))
    const begins = part(Math.min(bytes, leastPart))
    host.downFree = arrives
    ask.piece = piece
    ask.comes = { begins: bytes < leastPart + keptBack ? arrives : begins, whole: arrives }
    this.#queue.at(arrives, kinds.arrive, ask.slot, ask.id, piece)
    if (ask.cancelled) return
    this.#apply(child, { type: 'chosen', request: ask.request, piece })
    if (!ask.cancelled) this.#relays.begun(ask)
  }

  #arrive(ask: SimAsk, piece: number): void {
    const { child, parent } = ask
    if (!parent.host.alive) return this.#refused(ask, 2)
    this.#over(ask)
    if (!ask.relay) this.#queue.after(this.#latency, kinds.delivered, parent.host.index, ask.id)
    if (!child.host.alive) return
    this.#deliveries++
    if (this.#apart(child, parent)) this.#crossed++
    if (child.have.has(piece) || ask.cancelled) this.#wasted++
    if (ask.cancelled) return
    const lied = this.#s.liars?.has(parent.host.index) ?? false
    this.#relays.ended(ask, !lied)
    if (child.finishedAt !== undefined) return
    this.#apply(child, { type: 'arrived', request: ask.request, piece })
    if (lied) {
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
    if (this.#s.parts && copy.host.index >= this.#seeds)
      return this.#s.parts.thinkMs ? this.#think(copy) : this.#aim(copy)
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

  #gone(host: Host): void {
    this.#swarms.left(host.id)
    for (const other of this.hosts) if (other.alive) other.uploads.left(host.id)
    // Of who is no parent of theirs, but was named by one, their downloads know nothing.
    for (const ask of this.#asks) {
      if (ask?.parent.host !== host || ask.parent === ask.first || ask.told || ask.sent) continue
      this.#relays.leave(ask)
      this.#refuse(ask, 2, 0)
    }
    for (const copy of this.#copies) this.#apply(copy, { type: 'parent-left', parent: host.id })
  }
}

function digestOf(blob: number): Digest {
  return `sha256:${blob.toString(16).padStart(64, '5')}` as Digest
}
