/**
 * A swarm in virtual time: the real {@link Download}, {@link UploadQueue} and {@link Swarms} of every node, over links
 * that carry one piece after the other. One seed, a scheduler, and N nodes that want the same blob.
 *
 * The model of the network: a link sends what is put on it in order at its rate, so a piece leaves when the sender's link is free, and
 * is there when the receiver's link has taken it. Control messages take `latencyMs` and no room.
 */
import { type Random, seededRandom } from '../../src/clock.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { Bitmap } from '../../src/piece/bitmap.ts'
import { type Layout, layoutOf, pieceBytes } from '../../src/piece/layout.ts'
import { Swarms } from '../../src/scheduler/swarms.ts'
import { Download, type DownloadCommand, type DownloadEvent } from '../../src/swarm/download.ts'
import type { Request } from '../../src/swarm/parent.ts'
import { defaultTuning, type Tuning } from '../../src/swarm/tuning.ts'
import { defaultUploadTuning, type Grant, UploadQueue } from '../../src/swarm/uploads.ts'
import { EventQueue } from './event-queue.ts'

export interface Scenario {
  readonly seed: number
  readonly nodes: number
  readonly blobBytes: number
  /** Bytes per second, each direction; of node `i` (0 is the seed). */
  rate(node: number): number
  readonly sourceRate: number
  readonly latencyMs?: number
  readonly batchMs?: number
  /** When node `i` starts, in ms. */
  start?(node: number, random: Random): number
  /** Node ids that stop for good at a time. */
  readonly kill?: readonly { readonly node: number; readonly at: number }[]
  /** Nodes that send wrong bytes. */
  readonly liars?: ReadonlySet<number>
  readonly tuning?: Partial<Tuning>
  /** Virtual ms after which the run is given up. */
  readonly limitMs?: number
}

export interface Outcome {
  /** Ms from a node's start to its last piece; `undefined` if it never finished. By node, the seed left out. */
  readonly finished: (number | undefined)[]
  readonly bytesFromSource: number
  /** Pieces the seed sent, over pieces there are. */
  readonly seedCopies: number
  /** Pieces that arrived and were not needed any more. */
  readonly wasted: number
  readonly events: number
  readonly banned: number
}

const digest = `sha256:${'5'.repeat(64)}` as Digest

class SimNode {
  readonly id: string
  readonly have: Bitmap
  readonly stated: Bitmap
  readonly uploads: UploadQueue
  readonly asks = new Map<number, { child: SimNode; request: Request }>()
  readonly subscribers = new Set<SimNode>()
  readonly cancelled = new Set<number>()
  readonly banned = new Set<string>()
  download: Download
  fresh: number[] = []
  upFree = 0
  downFree = 0
  alive = true
  startedAt = 0
  finishedAt: number | undefined
  feeding = false
  asking = false

  constructor(
    readonly index: number,
    readonly rate: number,
    download: Download,
    layout: Layout,
  ) {
    this.id = `node-${index}`
    this.have = new Bitmap(layout.count)
    this.stated = new Bitmap(layout.count)
    this.download = download
    this.uploads = new UploadQueue(defaultUploadTuning, () => ({
      layout,
      have: this.have,
      feeding: this.feeding && !this.have.complete,
    }))
  }
}

export function simulate(scenario: Scenario): Outcome {
  return new Simulation(scenario).run()
}

class Simulation {
  readonly #s: Scenario
  readonly #queue = new EventQueue()
  readonly #random: Random
  readonly #layout: Layout
  readonly #tuning: Tuning
  readonly #nodes: SimNode[] = []
  readonly #byId = new Map<string, SimNode>()
  readonly #swarms: Swarms
  readonly #latency: number
  readonly #batch: number
  #bytesFromSource = 0
  #seedSent = 0
  #wasted = 0
  #events = 0
  #nextAsk = 1
  #remaining: number

  constructor(scenario: Scenario) {
    this.#s = scenario
    this.#random = seededRandom(scenario.seed)
    this.#layout = layoutOf(scenario.blobBytes)
    this.#tuning = { ...defaultTuning, ...scenario.tuning }
    this.#swarms = new Swarms(this.#random)
    this.#latency = scenario.latencyMs ?? 1
    this.#batch = scenario.batchMs ?? 50
    this.#remaining = scenario.nodes
    for (let i = 0; i <= scenario.nodes; i++) {
      const empty = new Bitmap(this.#layout.count)
      const download = new Download(this.#layout, empty, empty, this.#tuning, this.#random, 0)
      const node = new SimNode(i, scenario.rate(i) / 1000, download, this.#layout)
      this.#nodes.push(node)
      this.#byId.set(node.id, node)
      this.#swarms.node({ id: node.id, seed: i === 0, load: 0 })
    }
  }

  run(): Outcome {
    const { kill = [], start, limitMs = 3_600_000 } = this.#s
    for (const node of this.#nodes.slice(1)) {
      node.startedAt = start?.(node.index, this.#random) ?? 0
      this.#queue.at(node.startedAt, () => this.#begin(node))
    }
    for (const { node, at } of kill) this.#queue.at(at, () => this.#die(this.#nodes[node]!))
    while (this.#remaining > 0 && this.#queue.now < limitMs && this.#queue.step()) this.#events++
    return {
      finished: this.#nodes.slice(1).map((n) => (n.finishedAt === undefined ? undefined : n.finishedAt - n.startedAt)),
      bytesFromSource: this.#bytesFromSource,
      seedCopies: this.#seedSent / this.#layout.count,
      wasted: this.#wasted,
      events: this.#events,
      banned: this.#nodes.reduce((sum, node) => sum + node.banned.size, 0),
    }
  }

  #begin(node: SimNode): void {
    if (!node.alive) return
    this.#ask(node, false)
    const tick = () => {
      if (!node.alive || node.finishedAt !== undefined) return
      this.#apply(node, { type: 'tick' })
      this.#swarms.holds(node.id, digest, this.#layout.size, node.have.count, node.have.complete, this.#queue.now)
      this.#queue.after(250, tick)
    }
    this.#queue.after(250, tick)
  }

  #apply(node: SimNode, event: DownloadEvent): void {
    if (!node.alive) return
    for (const command of node.download.apply(event, this.#queue.now)) this.#carryOut(node, command)
  }

  #carryOut(node: SimNode, command: DownloadCommand): void {
    switch (command.do) {
      case 'request':
        this.#queue.after(this.#latency, () => this.#serve(node, command.request, command.any))
        break
      case 'ask':
        this.#ask(node, command.stalled)
        break
      case 'drop':
        this.#byId.get(command.parent)?.subscribers.delete(node)
        break
      case 'complete':
        node.finishedAt = this.#queue.now
        if (node.index !== 0) this.#remaining--
        this.#swarms.holds(node.id, digest, this.#layout.size, node.have.count, true, this.#queue.now)
        break
      case 'cancel':
        this.#cancel(node, command.request)
        break
    }
  }

  #serve(child: SimNode, request: Request, any: { unwanted: Bitmap; from: number } | undefined): void {
    const parent = this.#byId.get(request.parent)!
    if (!parent.alive) return this.#refuse(child, request, 'broken', 1000)
    const wanted = any ?? { pieces: [request.piece!] }
    if ('pieces' in wanted && !parent.have.has(request.piece!))
      return this.#refuse(child, request, 'missing', this.#latency)
    const id = this.#nextAsk++
    parent.asks.set(id, { child, request })
    parent.uploads.ask({ id, peer: child.id, digest, wanted, at: this.#queue.now })
    this.#grant(parent)
  }

  /** Who waits leaves the line; what is on the link already cannot be called back, and is thrown away. */
  #cancel(child: SimNode, request: Request): void {
    const parent = this.#byId.get(request.parent)!
    for (const [id, asked] of parent.asks) {
      if (asked.child !== child || asked.request.id !== request.id) continue
      parent.uploads.withdraw(id)
      parent.asks.delete(id)
      return
    }
    child.cancelled.add(request.id)
  }

  #refuse(child: SimNode, request: Request, reason: 'busy' | 'missing' | 'broken', delay: number): void {
    this.#queue.after(delay, () => this.#apply(child, { type: 'refused', request: request.id, reason }))
  }

  #grant(parent: SimNode): void {
    const now = this.#queue.now
    for (const ask of parent.uploads.expire(now - 3000)) {
      const { child, request } = parent.asks.get(ask.id)!
      parent.asks.delete(ask.id)
      this.#refuse(child, request, 'busy', this.#latency)
    }
    for (const grant of parent.uploads.grants(now)) this.#send(parent, grant)
  }

  #send(parent: SimNode, grant: Grant): void {
    const { child, request } = parent.asks.get(grant.ask.id)!
    parent.asks.delete(grant.ask.id)
    const { piece } = grant
    if (parent.index === 0) this.#seedSent++
    const bytes = pieceBytes(this.#layout, piece)
    const leaves = Math.max(this.#queue.now, parent.upFree)
    parent.upFree = leaves + bytes / parent.rate
    const arrives = Math.max(parent.upFree + this.#latency, child.downFree + bytes / child.rate)
    child.downFree = arrives
    this.#queue.at(leaves + this.#latency, () => this.#apply(child, { type: 'chosen', request: request.id, piece }))
    this.#queue.at(arrives, () => {
      if (!parent.alive && parent.upFree > this.#queue.now) return this.#refuse(child, request, 'broken', 0)
      this.#queue.after(this.#latency, () => {
        parent.uploads.delivered(grant.ask.id, this.#queue.now)
        this.#grant(parent)
      })
      this.#arrive(child, parent, request.id, piece)
    })
  }

  #arrive(child: SimNode, parent: SimNode, request: number, piece: number): void {
    if (!child.alive || child.finishedAt !== undefined) return
    if (child.have.has(piece) || child.cancelled.has(request)) this.#wasted++
    if (child.cancelled.delete(request)) return
    this.#apply(child, { type: 'arrived', request, piece })
    if (this.#s.liars?.has(parent.index)) {
      child.banned.add(parent.id)
      parent.subscribers.delete(child)
      this.#apply(child, { type: 'rejected', piece, parent: parent.id })
      return
    }
    this.#store(child, piece)
  }

  #store(node: SimNode, piece: number, type: 'stored' | 'fed' = 'stored'): void {
    if (node.have.set(piece)) {
      if (node.fresh.length === 0) this.#queue.after(this.#batch, () => this.#publish(node))
      node.fresh.push(piece)
    }
    this.#grant(node)
    this.#apply(node, { type, piece })
  }

  #publish(node: SimNode): void {
    const pieces = node.fresh
    node.fresh = []
    if (!node.alive) return
    for (const subscriber of node.subscribers) {
      if (subscriber.finishedAt !== undefined || !subscriber.alive) {
        node.subscribers.delete(subscriber)
        continue
      }
      this.#queue.after(this.#latency, () => {
        this.#state(subscriber, pieces)
        this.#apply(subscriber, { type: 'parent-has', parent: node.id, pieces })
      })
    }
  }

  #state(node: SimNode, pieces: Iterable<number>): void {
    for (const piece of pieces) {
      if (node.stated.set(piece)) this.#apply(node, { type: 'stated', from: piece, to: piece + 1 })
    }
  }

  #ask(node: SimNode, stalled: boolean): void {
    if (node.asking || node.finishedAt !== undefined) return
    node.asking = true
    this.#queue.after(2 * this.#latency, () => {
      node.asking = false
      if (!node.alive || node.finishedAt !== undefined) return
      const connected = [...node.download.parents.keys()]
      const decision = this.#swarms.decide(
        { id: node.id, seed: false, load: 0 },
        { digest, pieces: node.have.count, connected, failed: [], stalled },
        this.#queue.now,
      )
      for (const { id } of decision.parents) this.#connect(node, this.#byId.get(id)!)
      const fetcher = decision.fetcher && this.#byId.get(decision.fetcher)
      if (fetcher && (decision.order || fetcher === node)) this.#feed(fetcher)
      this.#queue.after(decision.again, () => this.#ask(node, false))
    })
  }

  /** A session: either side learns what the other holds, as in the node. */
  #connect(child: SimNode, parent: SimNode): void {
    this.#subscribe(child, parent)
    if (parent.finishedAt === undefined && parent.index !== 0) this.#subscribe(parent, child)
  }

  #subscribe(child: SimNode, parent: SimNode): void {
    if (child.download.parents.has(parent.id) || child === parent || child.banned.has(parent.id) || !parent.alive)
      return
    if (child.download.parents.size >= this.#tuning.mostParents || child.finishedAt !== undefined) return
    parent.subscribers.add(child)
    this.#state(child, parent.have.indexes())
    const feeding = parent.feeding && !parent.have.complete
    this.#apply(child, { type: 'parent-joined', parent: parent.id, have: parent.have.copy(), feeding })
  }

  #feed(node: SimNode): void {
    if (node.feeding || !node.alive) return
    node.feeding = true
    const rate = this.#s.sourceRate / 1000
    const next = (from: number) => {
      const piece = node.have.nextMissing(from)
      if (piece >= this.#layout.count || !node.alive) return
      const bytes = pieceBytes(this.#layout, piece)
      const here = Math.max(this.#queue.now + bytes / rate, node.downFree + bytes / node.rate)
      node.downFree = here
      this.#queue.at(here, () => {
        if (!node.alive) return
        this.#bytesFromSource += bytes
        this.#store(node, piece, 'fed')
        this.#swarms.holds(node.id, digest, this.#layout.size, node.have.count, node.have.complete, this.#queue.now)
        next(piece + 1)
      })
    }
    next(0)
  }

  #die(node: SimNode): void {
    node.alive = false
    if (node.index !== 0 && node.finishedAt === undefined) this.#remaining--
    this.#queue.after(1000, () => {
      this.#swarms.left(node.id)
      for (const other of this.#nodes) this.#apply(other, { type: 'parent-left', parent: node.id })
    })
  }
}
