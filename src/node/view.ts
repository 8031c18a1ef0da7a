/** A node as its operator sees it: what the admin port tells, gathered from the parts. */
import { blobFacts, pageOf } from '../admin/blob-facts.ts'
import { layersFacts } from '../admin/layer-facts.ts'
import type {
  ClusterFacts,
  ClusterHistoryFacts,
  DownloadFacts,
  EvictionFacts,
  HistorySpan,
  KeptFacts,
  MemberFacts,
  NodeFacts,
  NodeView,
  PinFacts,
  SwarmFacts,
  Transfers,
} from '../admin/view.ts'
import { buildInfo } from '../build-info.ts'
import type { Clock } from '../clock.ts'
import type { KeyRing } from '../cluster/key-ring.ts'
import type { Membership } from '../cluster/membership.ts'
import { modes } from '../cluster/node-info.ts'
import type { Settings } from '../config/settings.ts'
import { type Pinned, Pinning } from '../content/pinning.ts'
import type { Engine } from '../engine/of-node.ts'
import { Failure } from '../failure.ts'
import type { Keeping } from '../home/keeping.ts'
import type { Owed } from '../home/write-back.ts'
import type { Keeps, KeptRepository } from '../keep/kept.ts'
import type { Item } from '../keep/plan.ts'
import type { LayerIndexes } from '../lazy/indexes.ts'
import type { LazyLayers } from '../lazy/lazy.ts'
import type { Meter } from '../meter.ts'
import type { Digest } from '../oci/digest.ts'
import { formatRepository } from '../oci/reference.ts'
import type { Preheats } from '../preheat/preheats.ts'
import type { Replicating } from '../replicate/progress.ts'
import type { Decision, DescribedSwarm } from '../scheduler/decision.ts'
import type { Swarms } from '../scheduler/swarms.ts'
import type { RegistrySource } from '../source/registry-source.ts'
import type { State } from '../state/state.ts'
import type { BlobStore } from '../store/blob-store.ts'
import type { Holding, Plan } from '../store/eviction.ts'
import { diskAt } from '../store/free-space.ts'
import type { Bans } from '../swarm/bans.ts'
import type { Mender } from '../swarm/mender.ts'
import type { Seeder } from '../swarm/seeding/seeder.ts'
import type { Swarm } from '../swarm/swarm.ts'
import type { Transfer } from '../swarm/transfer.ts'
import { faultCounts, type Recent } from '../telemetry/faults.ts'
import { type History, readTotals } from '../telemetry/history.ts'
import type { LevelFacts, LogLevels } from '../telemetry/log-level.ts'
import type { Metrics } from '../telemetry/metrics.ts'

export interface NodeParts {
  readonly settings: {
    readonly node: Pick<Settings['node'], 'zone' | 'dataDir'>
    readonly cluster: Pick<Settings['cluster'], 'encrypt'>
  }
  readonly addresses: { readonly registry: string; readonly admin: string }
  readonly ring: KeyRing | undefined
  readonly membership: Membership
  readonly store: BlobStore
  readonly bans: Bans
  readonly state: { readonly where: string; readonly state: Pick<State, 'trouble' | 'tags'> } | undefined
  readonly mender: Pick<Mender, 'due' | 'damaged'>
  readonly engine: Pick<Engine, 'folders'>
  readonly swarm: Swarm
  readonly seeder: Seeder
  readonly swarms: Swarms | undefined
  readonly preheats: Preheats
  readonly replication: Replicating | undefined
  readonly keeping: Pick<Keeping, 'owed' | 'facts'>
  readonly policy: Keeps | undefined
  readonly lazy: { readonly indexes: Pick<LayerIndexes, 'facts'> } & Pick<LazyLayers, 'measure' | 'mounted'>
  readonly levels: LogLevels
  readonly clock: Clock
  readonly metrics: Metrics
  readonly history: History
  readonly cluster: { now(): Promise<ClusterFacts>; history(span: HistorySpan): Promise<ClusterHistoryFacts> }
  /** Warnings and errors that it logged. */
  readonly recent: Recent
  readonly rates: { readonly received: Meter; readonly sent: Meter; readonly source: Meter }
  /** Of registries that have several. */
  endpoints(): ReturnType<RegistrySource['endpoints']>
  /** What is in the way of serving, one sentence each. */
  notReady(): string[]
}

export function viewOf(parts: NodeParts): NodeView {
  const { store, clock, swarm, seeder, swarms, membership, metrics, bans } = parts
  const startedAt = clock.now()
  const pinning = new Pinning(store)
  /** A reading of the clock as ISO time. */
  const iso = (at: number) => new Date(clock.wall() - (clock.now() - at)).toISOString()
  return {
    tags: parts.state?.state.tags,
    preheats: parts.preheats,
    replication: parts.replication,
    keeping: parts.keeping,
    node: () => nodeFacts(parts, startedAt, iso),
    members: () => membership.all().map(({ info, seenAt }) => memberFacts(parts, info.id, seenAt)),
    blobs: (query) => pageOf(store, query),
    blob: (digest: Digest) => {
      const blob = store.find(digest)
      return blob && blobFacts(blob, store)
    },
    removeBlob: async (digest: Digest) => {
      const [pin] = store.find(digest) ? store.pins(digest) : []
      if (pin) throw new Failure('pinned', `${digest} is pinned for ${pin.reason}: unpin that first`)
      return store.remove(digest)
    },
    pins: (name) => pinning.list(name).map(pinFacts),
    pin: async (name, forMs) =>
      pinFacts(await pinning.pin(name, forMs === undefined ? undefined : clock.wall() + forMs)),
    unpin: (name) => pinning.unpin(name),
    evict: async (bytes, carryOut) => {
      const limit = bytes ?? store.usage().limit
      // What it lets go of may be evicted.
      const pushed = await pushedFacts(parts.policy, carryOut)
      const plan = carryOut ? await store.evict(bytes) : store.plan(bytes)
      return {
        ...(limit === undefined ? {} : { limit }),
        done: carryOut,
        ...evictionFacts(plan),
        ...pushed,
      }
    },
    transfers: (): Transfers => ({
      downloads: [...swarm.transfers()].map((transfer) => downloadFacts(transfer, iso)),
      uploads: seeder.sending().map(({ digest, to, meter, startedAt: at }) => ({
        digest,
        ...(to ? { to } : {}),
        bytes: meter.total,
        rate: meter.perSecond(clock.now()),
        startedAt: iso(at),
      })),
    }),
    swarms: () => (swarms ? [...swarms.describe()].map((facts) => swarmFacts(facts, iso)) : []),
    layers: () => layersFacts(parts.lazy.indexes.facts(), store),
    mounted: () => parts.lazy.mounted.facts(),
    bans: () => bans.list().map(({ node, reason, until }) => ({ node, reason, until: new Date(until).toISOString() })),
    liftBan: (node) => bans.lift(node),
    logLevel: () => levelFacts(parts.levels.facts),
    setLogLevel: (level, forMs) => levelFacts(parts.levels.set(level, forMs)),
    history: async (span) => {
      const samples = parts.history.read(span, { at: clock.wall(), ...(await readTotals(metrics)) })
      return { samples: samples.map(({ at, ...totals }) => ({ at: new Date(at).toISOString(), ...totals })) }
    },
    cluster: () => parts.cluster.now(),
    clusterHistory: (span) => parts.cluster.history(span),
    faults: async () => ({
      counts: await faultCounts(metrics),
      recent: parts.recent.list().map(({ at, ...said }) => ({ at: new Date(at).toISOString(), ...said })),
    }),
    beforeMetrics: () => {
      const usage = store.usage()
      metrics.blobs.set({ state: 'complete' }, usage.complete)
      metrics.blobs.set({ state: 'partial' }, usage.partial)
      metrics.storeBytes.set(usage.bytes)
      metrics.storeDiskBytes.set(usage.disk)
      metrics.storeLimitBytes.set(usage.limit ?? Number.POSITIVE_INFINITY)
      metrics.engineBlobs.set(usage.borrowed?.blobs ?? 0)
      metrics.engineBytes.set(usage.borrowed?.bytes ?? 0)
      metrics.storeTrouble.set(usage.trouble === undefined ? 0 : 1)
      parts.lazy.measure()
      setTransfers(parts)
      setDisk(parts)
      metrics.bans.set(bans.list().length)
      metrics.ready.set(parts.notReady().length === 0 ? 1 : 0)
      for (const mode of modes) metrics.members.set({ mode }, membership.withMode(mode).length)
    },
  }
}

/** An engine waits for it this long, ms, and nothing has come for some seconds: it stalls. */
const stalledMs = 10_000

function setTransfers({ swarm, seeder, clock, metrics }: NodeParts): void {
  const transfers = [...swarm.transfers()]
  const stalls = (transfer: Transfer) => {
    const { readers, rate } = transfer.describe()
    return readers > 0 && clock.now() - transfer.startedAt > stalledMs && rate === 0
  }
  metrics.downloads.set(transfers.length)
  metrics.downloadsStalled.set(transfers.filter(stalls).length)
  metrics.uploads.set(seeder.sending().length)
}

/** A disk that does not answer keeps what was seen of it last. */
function setDisk({ settings, metrics }: NodeParts): void {
  try {
    const { free, total } = diskAt(settings.node.dataDir)()
    metrics.diskFreeBytes.set(free)
    metrics.diskBytes.set(total)
  } catch {}
}

function levelFacts({ until, ...facts }: LevelFacts) {
  return { ...facts, ...(until === undefined ? {} : { until: new Date(until).toISOString() }) }
}

function pinFacts({ until, ...pinned }: Pinned): PinFacts {
  return { ...pinned, ...(until === undefined ? {} : { until: new Date(until).toISOString() }) }
}

/** The state is out of reach, or another node sweeps: what is cached can go all the same. */
async function pushedFacts(
  policy: Keeps | undefined,
  carryOut: boolean,
): Promise<Pick<EvictionFacts, 'pushed' | 'trouble'>> {
  if (!policy) return {}
  try {
    const kept = await (carryOut ? policy.sweep() : policy.plan())
    return { pushed: kept.map(keptFacts) }
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return { trouble: error.message }
  }
}

function keptFacts({ repository, rule, plan }: KeptRepository): KeptFacts {
  const facts = (item: Item) =>
    item.kind === 'tag'
      ? { kind: item.kind, what: item.tag as string, reason: item.reason }
      : { kind: item.kind, what: item.content.digest as string, bytes: item.content.size, reason: item.reason }
  const { remove, keep } = plan
  return { repository: formatRepository(repository), rule: rule.text, remove: remove.map(facts), keep: keep.map(facts) }
}

function evictionFacts({ remove, keep, reasons, missing }: Plan) {
  const facts = ({ digest, disk, usedAt }: Holding) => ({
    digest,
    bytes: disk,
    usedAt: new Date(usedAt).toISOString(),
    reason: reasons.get(digest) ?? '',
  })
  return { remove: remove.map(facts), keep: keep.map(facts), missing }
}

type Iso = (at: number) => string

function nodeFacts(parts: NodeParts, startedAt: number, iso: Iso): NodeFacts {
  const { settings, membership, ring, clock, store, mender, rates } = parts
  const now = clock.now()
  return {
    id: membership.self.id,
    version: buildInfo.version,
    commit: buildInfo.commit,
    startedAt: iso(startedAt),
    uptimeSeconds: Math.round((now - startedAt) / 1000),
    modes: [...membership.self.modes],
    ...(settings.node.zone ? { zone: settings.node.zone } : {}),
    dataDir: settings.node.dataDir,
    addresses: { ...parts.addresses, peer: membership.self.url, p2p: membership.self.p2p },
    cluster: {
      ...(ring
        ? {
            admission: 'keyed',
            key: ring.current.fingerprint,
            alsoAdmit: ring.keys.slice(1).map((key) => key.fingerprint),
          }
        : { admission: 'open' }),
      encrypted: settings.cluster.encrypt,
    },
    store: store.usage(),
    ...(parts.state ? { state: stateFacts(parts.state) } : {}),
    ...owedFacts(parts.keeping.owed, clock.wall()),
    scrub: { due: mender.due, damaged: mender.damaged },
    engine: { folders: parts.engine.folders() },
    ...sourcesOf(parts.endpoints(), iso),
    rates: {
      received: rates.received.perSecond(now),
      sent: rates.sent.perSecond(now),
      source: rates.source.perSecond(now),
    },
    notReady: parts.notReady(),
  }
}

function owedFacts(owed: Owed | undefined, wall: number): Pick<NodeFacts, 'owed'> {
  if (!owed) return {}
  const { waiting, oldestAt = wall } = owed
  return { owed: { waiting, oldestSeconds: Math.max(0, Math.round((wall - oldestAt) / 1000)) } }
}

function stateFacts({ where, state: { trouble } }: NonNullable<NodeParts['state']>): NodeFacts['state'] {
  return { where, ...(trouble === undefined ? {} : { trouble }) }
}

function sourcesOf(several: ReturnType<RegistrySource['endpoints']>, iso: Iso): Pick<NodeFacts, 'sources'> {
  if (several.length === 0) return {}
  const sources = several.map(({ registry, endpoints }) => ({
    registry,
    endpoints: endpoints.map(({ since, ...each }) => ({
      ...each,
      ...(since === undefined ? {} : { since: iso(since) }),
    })),
  }))
  return { sources }
}

function memberFacts(parts: NodeParts, id: string, seenAt: number): MemberFacts {
  const { membership, clock } = parts
  const info = membership.find(id)!
  return {
    id,
    url: info.url,
    modes: [...info.modes],
    ...(info.zone ? { zone: info.zone } : {}),
    version: info.version,
    self: id === membership.self.id,
    secondsSinceHeard: Math.max(0, Math.round((clock.now() - seenAt) / 100) / 10),
  }
}

export function downloadFacts(transfer: Transfer, iso: Iso): DownloadFacts {
  const { parents, rate, readers, feeding } = transfer.describe()
  const { blob, bytes } = transfer
  // What does not come from a parent comes from the source.
  const fromSource = feeding ? Math.max(0, rate - parents.reduce((sum, parent) => sum + parent.rate, 0)) : 0
  const sources =
    feeding || bytes.source > 0
      ? [{ id: 'source', bytes: bytes.source, inFlight: feeding ? 1 : 0, rate: fromSource }]
      : []
  return {
    digest: transfer.location.digest,
    repository: formatRepository(transfer.location.repository),
    ...(blob ? { size: blob.size } : {}),
    bytes: bytes.swarm + bytes.source,
    pieces: { have: blob?.have.count ?? 0, total: blob?.layout.count ?? 0 },
    rate,
    startedAt: iso(transfer.startedAt),
    readers,
    parents: [...sources, ...parents],
  }
}

function swarmFacts(facts: DescribedSwarm, iso: Iso): SwarmFacts {
  return {
    digest: facts.digest,
    ...(facts.size !== undefined ? { size: facts.size } : {}),
    members: facts.holders.map(({ id, pieces, complete }) => ({ node: id, pieces, complete })),
    ...(facts.fetcher ? { fetcher: facts.fetcher } : {}),
    decisions: [...facts.decisions].reverse().map((decision) => decisionFacts(decision, iso)),
  }
}

function decisionFacts(decision: Decision, iso: Iso) {
  return {
    at: iso(decision.at),
    node: decision.asker,
    parents: decision.parents.map(({ id, reasons }) => ({
      node: id,
      reason: reasons.join(', ') || 'one of the holders',
    })),
    refused: decision.refused.map(({ id, reason }) => ({ node: id, reason })),
  }
}
