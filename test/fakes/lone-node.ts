/** The content side of a node that is alone with its source: a real swarm, in which nobody else is. */
import { type Random, seededRandom } from '../../src/clock.ts'
import { MemberTable } from '../../src/cluster/member-table.ts'
import { NodeContent } from '../../src/content/node-content.ts'
import { Tags } from '../../src/content/tags.ts'
import { Failure } from '../../src/failure.ts'
import type { BlobStore } from '../../src/store/blob-store.ts'
import { Bans } from '../../src/swarm/bans.ts'
import { defaultTuning } from '../../src/swarm/download/tuning.ts'
import { Planner } from '../../src/swarm/planner.ts'
import { Seeder } from '../../src/swarm/seeding/seeder.ts'
import { Swarm } from '../../src/swarm/swarm.ts'
import { silentLog } from '../../src/telemetry/log.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import type { Outbound } from '../../src/wire/wire.ts'
import { FakeClock } from './clock.ts'
import { infoOf } from './members.ts'
import { MemoryStore } from './memory-store.ts'
import { FakeSource } from './source.ts'

export class LoneNode<S extends BlobStore = MemoryStore> {
  readonly clock = new FakeClock()
  readonly random: Random = seededRandom(1)
  readonly source = new FakeSource()
  readonly metrics = createMetrics()
  readonly store: S
  readonly membership = new MemberTable(infoOf('self', { modes: ['peer', 'seed', 'scheduler'] }), () =>
    this.clock.now(),
  )
  readonly seeder: Seeder
  readonly bans: Bans
  readonly swarm: Swarm
  readonly content: NodeContent

  constructor(options: { limitBytes?: number } = {}, own?: S) {
    const { clock, random, source, metrics, membership } = this
    const log = silentLog
    // Without one it is the kind that it is by default.
    this.store = own ?? (new MemoryStore({ clock, ...options }) as BlobStore as S)
    const store = this.store
    this.seeder = new Seeder({ store, clock, feeding: () => false })
    const nobody = async () => {
      throw new Failure('unavailable', 'there is no other node')
    }
    const outbound: Outbound = {
      session: nobody,
      piece: nobody,
      schedule: nobody,
      announce: nobody,
      order: nobody,
      resolve: nobody,
      call: nobody,
      ping: nobody,
    }
    const directory = { provide: () => {}, withdraw: () => {}, find: async () => [] }
    this.bans = new Bans({ store, clock, log, metrics })
    this.swarm = new Swarm({
      store,
      outbound,
      membership,
      planner: new Planner({ membership, outbound, directory, log }),
      source,
      signer: { id: 'self', sign: () => new Uint8Array(64) },
      bans: this.bans,
      clock,
      random,
      log,
      metrics,
      tuning: defaultTuning,
      seeder: this.seeder,
      directory,
      verify: () => true,
      changed: () => {},
    })
    const owners = () => []
    const rights = { heard: () => {}, vouch: async () => ({}) }
    const door = { lender: () => 0, hasLogin: async () => false }
    const tags = new Tags({ store, source, membership, outbound, clock, log, ttlMs: 60_000, rights, door, owners })
    this.content = new NodeContent({ store, swarm: this.swarm, source, tags })
  }

  close(): void {
    this.swarm.close('the test is over')
  }
}
