/** A node's part in the swarm, put together: who gives it what, what it gives others, and what it decides as a scheduler. */
import type { Clock, Random } from '../clock.ts'
import type { Identity } from '../cluster/identity.ts'
import type { Settings } from '../config/settings.ts'
import { Failure } from '../failure.ts'
import type { Meter } from '../meter.ts'
import type { Digest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'
import { Bucket } from '../rate.ts'
import type { Rights } from '../rights/rights.ts'
import { Scheduler } from '../scheduler/service.ts'
import { Swarms } from '../scheduler/swarms.ts'
import type { Source } from '../source/source.ts'
import type { BlobStore } from '../store/blob-store.ts'
import { Announcer } from '../swarm/announcer.ts'
import { Bans } from '../swarm/bans.ts'
import { defaultTuning } from '../swarm/download/tuning.ts'
import { Mender } from '../swarm/mender.ts'
import { Planner } from '../swarm/planner.ts'
import { Seeder } from '../swarm/seeding/seeder.ts'
import { Swarm } from '../swarm/swarm.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Tracing } from '../tracing/tracing.ts'
import type { FetchOrder, Schedule } from '../wire/messages.ts'
import type { Network } from '../wire/network.ts'
import type { Inbound, Outbound } from '../wire/wire.ts'

export interface NodeSwarmParts {
  readonly settings: Settings
  readonly store: BlobStore
  readonly identity: Identity
  readonly network: Network
  readonly outbound: Outbound
  readonly source: Source
  readonly rights: Rights
  readonly tracing: Tracing | undefined
  readonly rates: { readonly sent: Meter }
  /** Seeds that alone may read a repository. */
  readonly readers: (repository: Repository) => ReadonlySet<string> | undefined
  /** Carries out an order for this node itself. */
  readonly orderSelf: (order: FetchOrder) => void
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: Metrics
}

export class NodeSwarm {
  readonly bans: Bans
  readonly announcer: Announcer
  readonly seeder: Seeder
  readonly swarms: Swarms | undefined
  readonly scheduler: Scheduler | undefined
  readonly schedule: Inbound['schedule']
  readonly planner: Planner
  readonly swarm: Swarm
  readonly mender: Mender
  readonly #network: Network
  readonly #listeners: ((digest: Digest) => void)[] = []

  constructor(parts: NodeSwarmParts) {
    const { settings, store, identity, network, outbound, source, rights, tracing, rates } = parts
    const { clock, random, log, metrics, readers, orderSelf } = parts
    const { membership, directory } = network
    const { uploadRate } = settings.limits
    this.#network = network
    this.bans = new Bans({ store, clock, log, metrics })
    this.announcer = new Announcer(store, () => membership)
    this.seeder = new Seeder({
      store,
      clock,
      feeding: (digest) => this.swarm.find(digest)?.leads ?? false,
      part: (digest) => this.swarm.find(digest)?.part ?? false,
      owners: (digest) => rights.owners(digest),
      limit: uploadRate === undefined ? undefined : new Bucket(uploadRate, clock.now()),
      sent: rates.sent,
    })
    const swarms = settings.node.modes.includes('scheduler') ? new Swarms(random, settings.source.zone) : undefined
    this.swarms = swarms
    this.scheduler = swarms && new Scheduler({ swarms, membership, outbound, clock, log, metrics, readers, orderSelf })
    const choose = (request: Schedule) => {
      if (!this.scheduler) throw new Failure('no-name', 'this node is not a scheduler')
      return this.scheduler.schedule(request)
    }
    this.schedule = tracing?.schedule(choose) ?? choose
    this.planner = new Planner({
      membership,
      outbound,
      directory,
      log,
      metrics,
      ...(this.scheduler ? { local: this.schedule } : {}),
    })
    this.swarm = new Swarm({
      store,
      outbound,
      membership,
      planner: this.planner,
      source,
      signer: identity,
      bans: this.bans,
      clock,
      random,
      log,
      metrics,
      tuning: defaultTuning,
      seeder: this.seeder,
      directory,
      owned: (digest, repositories) => rights.owned(digest, repositories),
      complaint: (digest, piece) => this.mender.complaint(digest, piece),
      ...(tracing ? { traced: (location, begin) => tracing.transfers.bring(location, begin) } : {}),
      verify: (node, payload, signature) => identity.verifySignature(node, payload, signature),
      changed: (digest, soon) => this.announce(digest, soon),
    })
    this.mender = new Mender({
      store,
      signer: identity,
      fetch: (location, size) => this.swarm.fetch(location, size),
      everyMs: settings.store.scrubEveryMs,
      clock,
      log,
      metrics,
    })
  }

  /** Called when this node has something of a blob that it did not have, or has not any more. */
  onChanged(listener: (digest: Digest) => void): void {
    this.#listeners.push(listener)
  }

  /** What this node has of it has changed: others are told; with `soon`, at once, and it resolves when its owner was. */
  async announce(digest: Digest, soon = true): Promise<void> {
    for (const listener of this.#listeners) listener(digest)
    const owner = this.announcer.changed(digest)
    if (owner && soon) await this.#network.announceSoon(owner)
  }
}
