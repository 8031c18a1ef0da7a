/**
 * One simulated node, as its scheduler sees it. What it says, and when, is decided by the code of a real node
 * (`Heartbeat`, `Asking`); only the pieces are made up, which arrive at a steady rate once there is a parent.
 */
import type { Clock, Random } from '../../src/clock.ts'
import { MemberTable } from '../../src/cluster/member-table.ts'
import type { NodeId, NodeInfo } from '../../src/cluster/node-info.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { repositoryOf } from '../../src/oci/reference.ts'
import { Asking } from '../../src/swarm/asking.ts'
import { defaultTuning } from '../../src/swarm/download/tuning.ts'
import { silentLog } from '../../src/telemetry/log.ts'
import { Seldom } from '../../src/telemetry/seldom.ts'
import { Heartbeat } from '../../src/wire/heartbeat.ts'
import type { Announce, AnnounceReply, Holding, Schedule, ScheduleReply } from '../../src/wire/messages.ts'
import type { LoadBlob } from './population.ts'

export interface PeerWorld {
  readonly clock: Clock
  readonly random: Random
  readonly scheduler: NodeInfo
  announce(announce: Announce): Promise<AnnounceReply>
  schedule(request: Schedule): Promise<ScheduleReply>
  /** False for a node that ended: whoever connects to it fails. */
  alive(id: NodeId): boolean
  /** How many have ended so far: while none has, nobody's parents have to be looked at. */
  ended(): number
  /** Its place in the round of images. */
  nextImage(random: Random): readonly LoadBlob[]
}

interface Pull {
  readonly blob: LoadBlob
  readonly asking: Asking
  readonly parents: Set<NodeId>
  /** How many nodes had ended when it was last seen that its parents live. */
  ended: number
  feeds: boolean
  beganAt: number | undefined
  pieces: number
}

const repository = repositoryOf('docker.io', 'library/load')
/** What a link of 1 Gbit/s brings in a ms. */
const bytesPerMs = 125_000
const atOnce = 3
const imagesKept = 3
const uploadSlots = 64

export class SimulatedPeer {
  readonly info: NodeInfo
  readonly #w: PeerWorld
  readonly #heartbeat: Heartbeat
  readonly #pulls = new Map<Digest, Pull>()
  /** Whole blobs, by image in the order they came. */
  readonly #images: Map<Digest, LoadBlob>[] = []
  readonly #dirty = new Set<Digest>()
  #waiting: LoadBlob[] = []
  #pullAt = Number.POSITIVE_INFINITY
  #tickedAt = 0

  constructor(info: NodeInfo, world: PeerWorld) {
    this.info = info
    this.#w = world
    const { clock, random, scheduler } = world
    const table = new MemberTable(info, () => clock.now())
    this.#heartbeat = new Heartbeat({
      table,
      source: () => ({
        uploads: () => Math.floor(random() * uploadSlots),
        uploadSlots,
        changes: (_, full) => this.#changes(full),
      }),
      announce: (_, announce) => world.announce(announce),
      linked: () => false,
      clock,
      random,
      log: silentLog,
      seldom: new Seldom(clock),
    })
    table.heard(scheduler, clock.now())
  }

  get pulling(): boolean {
    return this.#pulls.size > 0
  }

  join(): void {
    this.#heartbeat.start()
  }

  leave(): Promise<void> {
    this.#pulls.clear()
    this.#waiting = []
    return this.#heartbeat.close()
  }

  pullAt(time: number): void {
    this.#pullAt = time
  }

  /** The scheduler told it to read that blob from its source. */
  order(blob: LoadBlob): void {
    if (this.#whole(blob.digest)) return
    const pull = this.#begin(blob)
    pull.feeds = true
    pull.asking.ask()
  }

  /** To be called four times a second, as a transfer's own tick is. */
  tick(now: number): void {
    const ms = now - this.#tickedAt
    this.#tickedAt = now
    if (now >= this.#pullAt) this.#pullImage()
    for (const pull of this.#pulls.values()) this.#progress(pull, now, ms)
    while (this.#pulls.size < atOnce && this.#waiting.length > 0) {
      const pull = this.#begin(this.#waiting.shift()!)
      pull.asking.ask()
    }
  }

  #pullImage(): void {
    this.#pullAt = Number.POSITIVE_INFINITY
    this.#waiting = this.#w.nextImage(this.#w.random).filter(({ digest }) => !this.#whole(digest))
    this.#images.push(new Map())
    const dropped = this.#images.length > imagesKept ? this.#images.shift()! : new Map<Digest, LoadBlob>()
    for (const digest of dropped.keys()) this.#changed(digest, true)
  }

  #begin(blob: LoadBlob): Pull {
    const running = this.#pulls.get(blob.digest)
    if (running) return running
    const parents = new Set<NodeId>()
    const location = { repository, kind: 'blob' as const, digest: blob.digest }
    const asking = new Asking(
      (request) => this.#w.schedule(request),
      {
        question: (stalled) => {
          if (!stalled && parents.size >= defaultTuning.mostParents) return undefined
          return { node: this.info, location, size: blob.size, pieces: pull.pieces, connected: [...parents], stalled }
        },
        answer: (reply) => this.#answered(pull, reply),
      },
      { clock: this.#w.clock, log: silentLog },
    )
    const pull: Pull = { blob, asking, parents, ended: this.#w.ended(), feeds: false, beganAt: undefined, pieces: 0 }
    this.#pulls.set(blob.digest, pull)
    this.#changed(blob.digest, true)
    return pull
  }

  #answered(pull: Pull, reply: ScheduleReply): void {
    for (const { node } of reply.parents) {
      if (this.#w.alive(node.id)) pull.parents.add(node.id)
      else pull.asking.failed(node.id, 'it did not answer')
    }
    if (reply.fetcher === this.info.id) pull.feeds = true
  }

  #progress(pull: Pull, now: number, ms: number): void {
    const { blob, asking, parents } = pull
    asking.tick()
    if (pull.ended !== this.#w.ended()) this.#leaveDead(pull)
    if (!pull.feeds && parents.size === 0) return
    pull.beganAt ??= now - ms
    const share = (bytesPerMs * (now - pull.beganAt)) / atOnce / blob.size
    const pieces = Math.min(blob.pieces, Math.floor(share * blob.pieces))
    if (pieces === pull.pieces) return
    pull.pieces = pieces
    const whole = pieces === blob.pieces
    if (whole) {
      this.#pulls.delete(blob.digest)
      if (this.#images.length === 0) this.#images.push(new Map())
      this.#images.at(-1)!.set(blob.digest, blob)
    }
    this.#changed(blob.digest, whole)
  }

  #leaveDead(pull: Pull): void {
    const { asking, parents } = pull
    pull.ended = this.#w.ended()
    for (const id of parents) {
      if (this.#w.alive(id)) continue
      parents.delete(id)
      asking.failed(id, 'the connection was closed')
      asking.ask()
    }
  }

  #changed(digest: Digest, soon: boolean): void {
    this.#dirty.add(digest)
    if (soon) this.#heartbeat.changed(this.#w.scheduler.id)
  }

  #whole(digest: Digest): LoadBlob | undefined {
    for (const image of this.#images) if (image.has(digest)) return image.get(digest)
    return undefined
  }

  #changes(full: boolean): { holdings: Holding[]; gone: Digest[] } {
    if (full) {
      for (const image of this.#images) for (const digest of image.keys()) this.#dirty.add(digest)
      for (const digest of this.#pulls.keys()) this.#dirty.add(digest)
    }
    const holdings: Holding[] = []
    const gone: Digest[] = []
    for (const digest of this.#dirty) {
      const pull = this.#pulls.get(digest)
      const whole = this.#whole(digest)
      if (pull) holdings.push({ digest, size: pull.blob.size, pieces: pull.pieces, complete: false })
      else if (whole) holdings.push({ digest, size: whole.size, pieces: whole.pieces, complete: true })
      else gone.push(digest)
    }
    this.#dirty.clear()
    return { holdings, gone }
  }
}
