/** The registry port of a seed that takes pushes, on loopback, with nobody else in its cluster. */
import { type Clock, systemClock } from '../../src/clock.ts'
import type { Content } from '../../src/content/content.ts'
import { ByHome, HomeContent } from '../../src/content/home-content.ts'
import { Failure } from '../../src/failure.ts'
import { HomeSource } from '../../src/home/home-source.ts'
import { Homes } from '../../src/home/homes.ts'
import { Keepers } from '../../src/home/keepers.ts'
import { catalogOf } from '../../src/home/lists.ts'
import { OwnHome } from '../../src/home/own-home.ts'
import { Pusher } from '../../src/push/pusher.ts'
import { Uploads } from '../../src/push/uploads.ts'
import type { Users } from '../../src/push/users.ts'
import { createRegistry } from '../../src/registry/registry.ts'
import { type ServerLimits, serveRegistry } from '../../src/registry/server.ts'
import type { Visitor } from '../../src/rights/visitor.ts'
import { openSqlite } from '../../src/state/sqlite.ts'
import type { BlobStore } from '../../src/store/blob-store.ts'
import { silentLog } from '../../src/telemetry/log.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { LoneNode } from './lone-node.ts'

export interface PushedInit {
  readonly store: BlobStore
  readonly deletes?: boolean
  readonly users?: Users
  readonly state?: string
  readonly limits?: Partial<ServerLimits>
  /** The system's unless given. */
  readonly clock?: Clock
}

export async function startPushed({
  store,
  deletes = true,
  users,
  state: path = ':memory:',
  limits = {},
  clock = systemClock,
}: PushedInit) {
  const state = await openSqlite(path)
  const homes = new Homes([{ pattern: 'apps.corp/**' }])
  const node = new LoneNode({}, store)
  const { membership } = node
  const nobody = async () => {
    throw new Failure('unavailable', 'there is no other node')
  }
  const source = new HomeSource({
    keepers: new Keepers(
      () => membership,
      homes.patterns,
      () => clock.now(),
    ),
    own: new OwnHome({ homes, state }),
    outbound: () => ({ call: nobody }),
    membership: () => membership,
  })
  const stored: string[] = []
  const pusher = new Pusher({
    store,
    state,
    uploads: new Uploads(store, clock),
    signer: { id: 'self', sign: () => new Uint8Array(64) },
    stored: (digest) => void stored.push(digest),
    wall: () => clock.wall(),
    log: silentLog,
    metrics: createMetrics(),
  })
  const home = new HomeContent({ content: node.content, home: source, store, open: () => {}, wall: () => clock.wall() })
  const content: Content = new ByHome((repository) => source.has(repository), home, node.content)
  const visitors: Visitor[] = []
  const app = createRegistry({
    content: (visitor) => {
      visitors.push(visitor)
      return content
    },
    own: {
      catalog: async (search) => {
        const { status, headers, body } = await catalogOf(state, search)
        return { status, headers: new Headers(headers), body: Buffer.from(body) }
      },
      pushing: { pusher, users, deletes, keeps: (repository) => source.keeps(repository) },
    },
    log: silentLog,
    metrics: createMetrics(),
    clock,
  })
  const server = await serveRegistry(app, {
    hostname: '127.0.0.1',
    port: 0,
    limits,
    uploads: true,
    clock,
    log: silentLog,
  })
  return {
    url: `http://127.0.0.1:${server.port}`,
    pusher,
    state,
    stored,
    /** Who read. */
    visitors,
    async close() {
      await server.close(0)
      await pusher.uploads.close()
      node.close()
      await state.close()
    },
  }
}
