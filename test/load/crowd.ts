/** All simulated nodes of one run: their clock, their connections to the scheduler, and the port they answer at. */
import { type Clock, type Random, seededRandom } from '../../src/clock.ts'
import type { NodeId, NodeInfo } from '../../src/cluster/node-info.ts'
import type { AnnounceReply, ScheduleReply } from '../../src/wire/messages.ts'
import { headers, routes } from '../../src/wire/rules.ts'
import { Connections } from './connections.ts'
import { type PeerWorld, SimulatedPeer } from './peer.ts'
import { type LoadBlob, type Population, populate } from './population.ts'
import { Samples } from './samples.ts'

export interface CrowdInit {
  readonly scheduler: NodeInfo
  readonly peers: number
  readonly blobs: number
  readonly seed: number
  /** Connections to the scheduler. */
  readonly sockets: number
  /** How much faster than the host's clock that of the nodes runs: few nodes then say as much as many. */
  readonly speed: number
  /** Seconds of the nodes' clock within which all begin to pull an image. */
  readonly spread: number
}

/** What happened since the last {@link Crowd.tally}. Latencies are the callers', in ms. */
export interface Tally {
  readonly announces: Samples
  readonly schedules: Samples
  /** Calls that failed, or that a node would have given up after 2 s. */
  failed: number
  /** Nodes that answers named as parents. */
  parents: number
  bytes: number
}

/** Times in ms of the nodes' clock. */
const tickMs = 250
const leastRoundMs = 30_000
const betweenRoundsMs = 20_000

export class Crowd {
  readonly #init: CrowdInit
  readonly #random: Random
  readonly #roundMs: number
  readonly #clock: Clock
  readonly #connections: Connections
  readonly #server: Bun.Server<undefined>
  readonly #population: Population
  readonly #peers: SimulatedPeer[]
  readonly #seeds: SimulatedPeer[]
  readonly #alive = new Set<NodeId>()
  #ended = 0
  readonly #byHost = new Map<string, NodeInfo>()
  readonly #blobs = new Map<string, LoadBlob>()
  #tally: Tally = newTally()
  #stopTicking = () => {}
  #pullsAt = Number.POSITIVE_INFINITY

  constructor(init: CrowdInit) {
    this.#init = init
    this.#random = seededRandom(init.seed)
    this.#roundMs = Math.max(leastRoundMs, init.spread * 1000 + betweenRoundsMs)
    const { speed } = init
    this.#clock = {
      now: () => performance.now() * speed,
      wall: () => Date.now(),
      after(ms, task) {
        const timer = setTimeout(task, ms / speed)
        return () => clearTimeout(timer)
      },
    }
    this.#connections = new Connections(init.scheduler.url, init.sockets)
    this.#server = Bun.serve({ hostname: '0.0.0.0', port: 0, fetch: (request) => this.#asked(request) })
    this.#population = populate({ ...init, port: this.#server.port! })
    for (const blob of this.#population.images.flat()) this.#blobs.set(blob.digest, blob)
    const world = this.#world()
    const make = (info: NodeInfo) => {
      this.#byHost.set(new URL(info.url).host, info)
      return new SimulatedPeer(info, world)
    }
    this.#peers = this.#population.peers.map(make)
    this.#seeds = this.#population.seeds.map(make)
  }

  /** Nodes that run, seeds included. */
  get alive(): number {
    return this.#alive.size
  }

  /** They start, at even distances over so many ms of the host's clock. */
  async join(ms: number): Promise<void> {
    const all = [...this.#seeds, ...this.#peers]
    const began = performance.now()
    for (const [i, peer] of all.entries()) {
      if (performance.now() < began + (ms * i) / all.length) await Bun.sleep(1)
      this.#alive.add(peer.info.id)
      peer.join()
    }
    this.#startTicking()
  }

  /** From now on they pull: all of them within the spread, and the next image 20 s after that. */
  pull(): void {
    this.#pullsAt = this.#clock.now()
    for (const peer of this.#peers) this.#nextPull(peer, 0, this.#random())
  }

  /** That share of the nodes ends; every second one says goodbye. */
  async leave(share: number): Promise<void> {
    const leaving = this.#peers.splice(0, Math.floor(this.#peers.length * share))
    const told = leaving.filter((_, i) => i % 2 === 0)
    const goodbyes = told.map((peer) => peer.leave())
    for (const { info } of leaving) this.#alive.delete(info.id)
    this.#ended += leaving.length
    await Promise.allSettled(goodbyes)
  }

  /** What was counted since the last time. */
  tally(): Tally {
    const tally = this.#tally
    this.#tally = newTally()
    return tally
  }

  close(): void {
    this.#stopTicking()
    this.#alive.clear()
    this.#connections.close()
    void this.#server.stop(true)
  }

  #nextPull(peer: SimulatedPeer, round: number, place: number): void {
    const at = this.#pullsAt + round * this.#roundMs + place * this.#init.spread * 1000
    peer.pullAt(at)
    this.#clock.after(at + this.#roundMs / 2 - this.#clock.now(), () => {
      if (this.#alive.has(peer.info.id)) this.#nextPull(peer, round + 1, place)
    })
  }

  /** Ten times within a tick, a tenth of the nodes each time. */
  #startTicking(): void {
    let turn = 0
    const timer = setInterval(
      () => {
        const now = this.#clock.now()
        turn = (turn + 1) % 10
        for (const peers of [this.#peers, this.#seeds]) {
          for (let i = turn; i < peers.length; i += 10) peers[i]!.tick(now)
        }
      },
      tickMs / 10 / this.#init.speed,
    )
    this.#stopTicking = () => clearInterval(timer)
  }

  #world(): PeerWorld {
    const { images } = this.#population
    const popular = () => Math.max(0, Math.floor((this.#clock.now() - this.#pullsAt) / this.#roundMs))
    return {
      clock: this.#clock,
      random: this.#random,
      scheduler: this.#init.scheduler,
      alive: (id) => this.#alive.has(id),
      ended: () => this.#ended,
      // Half of the nodes roll out the same image.
      nextImage: (random) => images[random() < 0.5 ? popular() % images.length : Math.floor(random() * images.length)]!,
      announce: async (announce) => {
        if (!announce.leaving && !this.#alive.has(announce.node.id)) return new Promise(() => {})
        return this.#call<AnnounceReply>(routes.announce, announce.node.id, announce, this.#tally.announces)
      },
      schedule: async (request) => {
        const reply = await this.#call<ScheduleReply>(routes.schedule, request.node.id, request, this.#tally.schedules)
        this.#tally.parents += reply.parents.length
        return reply
      },
    }
  }

  async #call<T>(route: string, node: NodeId, message: object, samples: Samples): Promise<T> {
    const began = performance.now()
    const body = JSON.stringify(message)
    this.#tally.bytes += body.length
    try {
      const answer = await this.#connections.post(route, node, body)
      if (answer.status !== 200) throw new Error(`${route} answered ${answer.status}: ${answer.body.slice(0, 300)}`)
      const reply = JSON.parse(answer.body) as T
      const ms = performance.now() - began
      samples.add(ms)
      if (ms > 2000) this.#tally.failed++
      return reply
    } catch (error) {
      this.#tally.failed++
      throw error
    }
  }

  /** What a scheduler asks of nodes: whether they live, and of seeds to read a blob. */
  async #asked(request: Request): Promise<Response> {
    const url = new URL(request.url)
    const info = this.#byHost.get(url.host)
    if (!info || !this.#alive.has(info.id)) return new Response(null, { status: 503 })
    if (url.pathname === routes.ping) return new Response(null, { status: 204, headers: { [headers.node]: info.id } })
    if (url.pathname !== routes.fetch) return new Response(null, { status: 404 })
    const { location } = (await request.json()) as { location: { digest: string } }
    const blob = this.#blobs.get(location.digest)
    if (blob) this.#seeds.find((seed) => seed.info.id === info.id)?.order(blob)
    return new Response(null, { status: 202 })
  }
}

function newTally(): Tally {
  return { announces: new Samples(), schedules: new Samples(), failed: 0, parents: 0, bytes: 0 }
}
