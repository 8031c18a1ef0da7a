/** A node that the admin port can tell about: two members, three blobs, one download and one upload. */
import type { BlobFacts, BlobQuery, LogLevelFacts, NodeFacts, NodeView, PinFacts } from '../../src/admin/view.ts'
import type { KeepingFacts } from '../../src/home/keeping.ts'
import { type MountedFacts, nothingMounted } from '../../src/lazy/mounted.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import type { Progress } from '../../src/replicate/progress.ts'
import type { TagIndex } from '../../src/state/state.ts'
import type { LogLevel } from '../../src/telemetry/log.ts'
import { FakePreheats } from './preheats.ts'

const time = (minute: number) => new Date(Date.UTC(2026, 0, 1, 12, minute)).toISOString()
const digest = (text: string) => digestOf(new TextEncoder().encode(text))

export const self = '12D3KooWSelfSelfSelfSelfSelfSelfSelfSelfSelfSelfSe1f'
export const other = '12D3KooWotherotherotherotherotherotherotherother0ther'

export class FakeNodeView implements NodeView {
  level: LogLevelFacts = { level: 'info', configured: 'info' }
  notReady: string[] = []
  trouble: string | undefined
  /** Where the engine's content lies; none unless given. */
  engine: { path: string; trouble?: string }[] = []
  borrowed: { blobs: number; bytes: number } | undefined
  stateTrouble: string | undefined
  sources: NodeFacts['sources']
  /** Nothing unless given. */
  mountedNow: MountedFacts = nothingMounted
  readonly banned: string[] = []
  readonly stored = new Map<Digest, BlobFacts>()
  /** What blobs were asked for. */
  readonly queries: BlobQuery[] = []
  readonly preheats = new FakePreheats()
  replicated: Progress[] = []
  readonly replication = { progress: async () => this.replicated }
  tags: TagIndex | undefined
  keeps: KeepingFacts = { homes: [], mode: 'through', waiting: 0, some: [] }
  readonly keeping = { facts: async () => this.keeps }

  constructor() {
    const MiB = 1024 ** 2
    this.#add('config', { size: 1500, minute: 1, repositories: ['docker.io/library/debian'] })
    this.#add('layer', { size: 50 * MiB, minute: 3, repositories: ['docker.io/library/debian', 'ghcr.io/org/app'] })
    this.#add('partial', { size: 64 * MiB, minute: 2, have: 32, repositories: ['ghcr.io/org/app'] })
  }

  #add(name: string, of: { size: number; minute: number; have?: number; repositories: string[] }): void {
    const total = Math.max(1, Math.ceil(of.size / 524_288))
    const have = of.have ?? total
    this.stored.set(digest(name), {
      digest: digest(name),
      kind: 'blob',
      mediaType: `application/vnd.test.${name}`,
      size: of.size,
      bytes: have === total ? of.size : have * 524_288,
      complete: have === total,
      pieces: { have, total },
      usedAt: time(of.minute),
      repositories: of.repositories,
    })
  }

  node() {
    return {
      id: self,
      version: '1.2.3',
      commit: 'abcdef012345',
      startedAt: time(0),
      uptimeSeconds: 3725,
      modes: ['peer', 'seed', 'scheduler'],
      zone: 'eu/a',
      dataDir: '/var/lib/shoal',
      addresses: {
        registry: '127.0.0.1:4880',
        peer: 'http://10.0.0.7:4881',
        p2p: ['/ip4/10.0.0.7/tcp/4882'],
        admin: '127.0.0.1:4883',
      },
      cluster: { admission: 'open' as const },
      store: {
        bytes: 66 * 1024 ** 2,
        disk: 70 * 1024 ** 2,
        limit: 20 * 1024 ** 3,
        complete: 2,
        partial: 1,
        ...(this.borrowed === undefined ? {} : { borrowed: this.borrowed }),
        ...(this.trouble === undefined ? {} : { trouble: this.trouble }),
      },
      state: {
        where: 'postgres://shoal@db/images',
        ...(this.stateTrouble === undefined ? {} : { trouble: this.stateTrouble }),
      },
      ...(this.keeps.waiting === 0 ? {} : { owed: { waiting: this.keeps.waiting, oldestSeconds: 125 } }),
      scrub: { due: 0, damaged: 1 },
      engine: { folders: this.engine },
      ...(this.sources ? { sources: this.sources } : {}),
      rates: { received: 11_000_000, sent: 0, source: 512 },
      notReady: this.notReady,
    }
  }
  members() {
    const common = { modes: ['peer'], version: '1.2.3' }
    return [
      { id: self, url: 'http://10.0.0.7:4881', ...common, zone: 'eu/a', self: true, secondsSinceHeard: 0 },
      { id: other, url: 'http://10.0.0.8:4881', ...common, self: false, secondsSinceHeard: 4.2 },
    ]
  }
  /** All of them, whichever are asked for. */
  blobs(query: BlobQuery) {
    this.queries.push(query)
    const { filter = '', state, limit, offset } = query
    const blobs = [...this.stored.values()]
      .filter(({ complete }) => state === undefined || complete === (state === 'complete'))
      .filter(({ digest, repositories }) =>
        [digest, ...repositories].some((text) => text.toLowerCase().includes(filter.toLowerCase())),
      )
      .sort((a, b) => b.usedAt.localeCompare(a.usedAt))
    return { blobs: blobs.slice(offset, offset + limit), total: blobs.length, limit, offset }
  }
  blob(digest: Digest) {
    return this.stored.get(digest)
  }
  removeBlob(digest: Digest) {
    return Promise.resolve(this.stored.delete(digest))
  }
  async evict(bytes: number | undefined, carryOut: boolean) {
    const facts = ({ digest, bytes, usedAt }: BlobFacts, reason: string) => ({ digest, bytes, usedAt, reason })
    const remove = bytes === 0 ? [...this.stored.values()].map((blob) => facts(blob, 'least recently used')) : []
    const keep = bytes === 0 ? [] : [...this.stored.values()].map((blob) => facts(blob, 'within the limits'))
    if (carryOut) for (const { digest } of remove) this.stored.delete(digest)
    return { limit: bytes ?? 20 * 1024 ** 3, done: carryOut, remove, keep, missing: 0 }
  }
  readonly pinned = new Map<string, PinFacts>()
  pins(name?: string) {
    return [...this.pinned.values()].filter((pin) => name === undefined || pin.name === name)
  }
  async pin(name: string, forMs?: number) {
    const pin = { name, blobs: 2, bytes: 3 * 1024 ** 2, missing: 1, ...(forMs ? { until: time(forMs / 60_000) } : {}) }
    this.pinned.set(name, pin)
    return pin
  }
  unpin(name: string) {
    return this.pinned.delete(name)
  }
  logLevel() {
    return this.level
  }
  setLogLevel(level: LogLevel, forMs?: number) {
    this.level = { level, configured: 'info', ...(forMs ? { until: time(forMs / 60_000) } : {}) }
    return this.level
  }
  transfers() {
    const parents = [{ id: other, url: 'http://10.0.0.8:4881', bytes: 16 * 1024 ** 2, inFlight: 4, rate: 11_000_000 }]
    return {
      downloads: [
        {
          digest: digest('partial'),
          size: 64 * 1024 ** 2,
          bytes: 16 * 1024 ** 2,
          pieces: { have: 32, total: 128 },
          rate: 11_000_000,
          startedAt: time(4),
          readers: 1,
          parents,
        },
      ],
      uploads: [{ digest: digest('layer'), to: other, bytes: 1_000_000, rate: 0, startedAt: time(4) }],
    }
  }
  swarms() {
    const members = [{ node: other, pieces: 128, complete: true }]
    const decision = { at: time(4), node: self, parents: [{ node: other, reason: 'same zone' }], refused: [] }
    return [{ digest: digest('partial'), size: 64 * 1024 ** 2, members, fetcher: other, decisions: [decision] }]
  }
  layers() {
    const index = { digest: digest('layer index'), bytes: 40_000, here: true, diffId: digest('unpacked layer') }
    const repositories = ['docker.io/library/debian']
    return {
      layers: [
        { digest: digest('layer'), state: 'indexed' as const, repositories, index, by: self, checkedAt: time(5) },
      ],
    }
  }
  mounted() {
    return this.mountedNow
  }
  async history() {
    const sample = (minute: number, engines: number) => ({
      at: time(minute),
      engines,
      source: 1000,
      received: 0,
      sent: 7,
    })
    return { samples: [sample(1, 0), sample(2, 5000)] }
  }
  async cluster() {
    const still = { rates: { received: 0, sent: 0, source: 0 }, flows: [] }
    const totals = { engines: 5000, source: 1000, received: 0, sent: 7 }
    const rates = { received: 900_000, sent: 0, source: 0 }
    const busy = { pulling: { size: 2000, have: 500 }, flows: [{ from: self, rate: 900_000 }] }
    const nodes = [
      { id: self, ...still, totals },
      { id: other, rates, totals, ...busy },
    ]
    return { nodes, silent: 1, unasked: 0 }
  }
  async clusterHistory() {
    const sample = (minute: number, engines: number) => ({ at: time(minute), engines, source: 2000 })
    return { samples: [sample(1, 0), sample(2, 10_000)], silent: 1, unasked: 0 }
  }
  async faults() {
    const said = {
      at: time(3),
      level: 'warn' as const,
      message: 'node banned for an hour',
      details: 'reason wrong bytes',
    }
    return { counts: [{ what: 'Nodes banned', count: 1 }], recent: [said] }
  }
  bans() {
    return this.banned.map((node) => ({ node, reason: 'sent wrong bytes', until: time(59) }))
  }
  liftBan(node: string) {
    const at = this.banned.indexOf(node)
    if (at >= 0) this.banned.splice(at, 1)
    return at >= 0
  }
}
