/** A node of a {@link SwarmNetwork}: the real swarm, seeder and planner over a store in memory. */
import { seededRandom } from '../../src/clock.ts'
import { MemberTable } from '../../src/cluster/member-table.ts'
import type { Mode } from '../../src/cluster/node-info.ts'
import type { Digest } from '../../src/oci/digest.ts'
import type { Repository } from '../../src/oci/reference.ts'
import type { Gate } from '../../src/rate.ts'
import { Scheduler } from '../../src/scheduler/service.ts'
import { Swarms } from '../../src/scheduler/swarms.ts'
import type { Location } from '../../src/source/source.ts'
import { Bans } from '../../src/swarm/bans.ts'
import { defaultTuning } from '../../src/swarm/download/tuning.ts'
import { Planner } from '../../src/swarm/planner.ts'
import { readArriving } from '../../src/swarm/reader.ts'
import { Seeder } from '../../src/swarm/seeding/seeder.ts'
import { Swarm } from '../../src/swarm/swarm.ts'
import type { Transfer } from '../../src/swarm/transfer.ts'
import { silentLog } from '../../src/telemetry/log.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { Hearing } from '../../src/wire/hearing.ts'
import type { ScheduleReply } from '../../src/wire/messages.ts'
import type { FakeClock } from './clock.ts'
import { infoOf } from './members.ts'
import { MemoryStore } from './memory-store.ts'
import { FakeSource } from './source.ts'
import type { SwarmNetwork } from './swarm-network.ts'

export interface SwarmNodeOptions {
  readonly modes?: Mode[]
  /** False: it believes whatever it read from the source, and goes on serving it. */
  readonly checkWhole?: boolean
  readonly zone?: string
  /** Of its store. */
  readonly limitBytes?: number
}

export class SwarmNode {
  readonly id: string
  readonly source = new FakeSource()
  readonly metrics = createMetrics()
  readonly membership: MemberTable
  readonly clock: FakeClock
  readonly store: MemoryStore
  readonly seeder: Seeder
  readonly bans: Bans
  readonly swarm: Swarm
  readonly scheduler: Scheduler | undefined
  alive = true
  /** When it had something to tell its scheduler that should not wait for a heartbeat. */
  readonly soonAt: number[] = []
  /** What it sends in place of a piece. */
  forge: (piece: number, bytes: Uint8Array) => Uint8Array = (_, bytes) => bytes
  /** Told which private repositories have a blob. */
  owned: (digest: Digest, repositories: readonly Repository[]) => void = () => {}
  /** Its limit on what comes from other nodes. */
  limit: Gate | undefined
  /** It tells nobody what it holds to be the digests of pieces. */
  mute = false
  readonly #network: SwarmNetwork
  readonly #hearing = new Hearing()
  readonly #changed = new Set<Digest>()

  constructor(network: SwarmNetwork, index: number, options: SwarmNodeOptions) {
    const { modes = ['peer'], zone, checkWhole = true, limitBytes = Number.POSITIVE_INFINITY } = options
    this.#network = network
    this.id = idOf(index)
    const { clock } = network
    this.clock = clock
    const { metrics } = this
    const log = silentLog
    this.membership = new MemberTable(infoOf(this.id, { modes, ...(zone ? { zone } : {}) }), () => clock.now())
    this.store = new MemoryStore({ clock, checkWhole, limitBytes })
    const { store, membership } = this
    this.seeder = new Seeder({
      store,
      clock,
      feeding: (digest) => this.swarm.find(digest)?.leads ?? false,
      part: (digest) => this.swarm.find(digest)?.part ?? false,
    })
    this.bans = new Bans({ store, clock, log, metrics })
    const outbound = network.outboundOf(this)
    const directory = { provide: () => {}, withdraw: () => {}, find: async () => [] }
    this.scheduler = modes.includes('scheduler')
      ? new Scheduler({
          swarms: new Swarms(seededRandom(network.seed + index)),
          membership,
          outbound,
          clock,
          log,
          metrics,
          orderSelf: (order) => this.swarm.order(order.location, order.part, order.size),
        })
      : undefined
    const { scheduler } = this
    this.swarm = new Swarm({
      store,
      outbound,
      membership,
      planner: new Planner({
        membership,
        outbound,
        directory,
        log,
        ...(scheduler ? { local: (request) => scheduler.schedule(request) } : {}),
      }),
      source: this.source,
      signer: { id: this.id, sign: (payload) => network.sign(this.id, payload) },
      bans: this.bans,
      clock,
      random: seededRandom(network.seed * 1000 + index),
      log,
      metrics,
      tuning: defaultTuning,
      seeder: this.seeder,
      directory,
      verify: (node, payload, signature) => Buffer.compare(network.sign(node, payload), signature) === 0,
      owned: (digest, repositories) => this.owned(digest, repositories),
      changed: (digest, soon) => {
        if (soon) this.soonAt.push(clock.now())
        this.#announce(digest)
      },
    })
  }

  /** Starts to fetch, as a pull would; the result settles when it is over. */
  fetch(location: Location, size?: number): Transfer {
    return this.swarm.fetch(location, size)
  }

  /** Reads the blob from its start, as an engine does. `read` grows while bytes come. */
  reader(location: Location, signal = new AbortController().signal): Reader {
    const transfer = this.swarm.fetch(location)
    // The first piece is wanted from now on, before the size is known.
    const reader: Reader = { read: [], outcome: undefined, over: false }
    const run = async () => {
      const blob = await transfer.begun
      for await (const bytes of readArriving(transfer, blob, { start: 0, end: blob.size }, signal)) {
        reader.read.push(bytes.slice())
      }
    }
    run().then(
      () => {
        reader.over = true
      },
      (error) => {
        reader.outcome = error
        reader.over = true
      },
    )
    return reader
  }

  /** Another node asks it for parents: its scheduler is told what the wire makes of that. */
  hearSchedule(text: string): ScheduleReply {
    const question = this.#hearing.schedule(text)
    this.#hearing.remember(question.node)
    return this.scheduler!.schedule(question)
  }

  hearAnnounce(text: string): void {
    const announce = this.#hearing.announce(text)
    this.#hearing.remember(announce.node)
    this.scheduler!.announce(announce)
  }

  complete(digest: Digest): boolean {
    return this.store.find(digest)?.complete ?? false
  }

  /** The scheduler hears of changes a moment later, many at once. */
  #announce(digest: Digest): void {
    if (this.#changed.size === 0) this.#network.clock.after(100, () => this.#network.announce(this, this.#take()))
    this.#changed.add(digest)
  }

  #take(): Digest[] {
    const digests = [...this.#changed]
    this.#changed.clear()
    return digests
  }
}

/** As long as those of real nodes are, or the wire refuses it. */
function idOf(index: number): string {
  return `node${'x'.repeat(40)}${String(index).padStart(3, '0').replaceAll('0', 'z')}`
}

export interface Reader {
  readonly read: Uint8Array[]
  /** Why it ended before its end. */
  outcome: unknown
  over: boolean
}
