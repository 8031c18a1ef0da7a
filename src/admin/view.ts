/**
 * What the admin port tells about a node. The schemas are the shapes of its JSON, and what a client checks answers
 * with; the composition root implements {@link NodeView}. Times are ISO 8601, rates bytes per second.
 */
import { z } from 'zod'
import type { MountedFacts } from '../lazy/mounted.ts'
import type { Digest } from '../oci/digest.ts'
import { digestSchema as digest } from '../oci/schemas.ts'
import type { Preheats } from '../preheat/preheats.ts'
import type { Replicating } from '../replicate/progress.ts'
import type { TagIndex } from '../state/state.ts'
import { type LogLevel, logLevels } from '../telemetry/log.ts'
import type { KeepingView } from './home.ts'

const count = z.number().int().min(0)
const rate = z.number().min(0)
const time = z.iso.datetime()
const held = z.object({ have: count, total: count })

export const nodeSchema = z.object({
  id: z.string(),
  version: z.string(),
  commit: z.string(),
  startedAt: time,
  uptimeSeconds: z.number().min(0),
  modes: z.array(z.string()),
  zone: z.string().optional(),
  dataDir: z.string(),
  /** Where it listens; `p2p` as multiaddrs, `peer` as others are told it. */
  addresses: z.object({ registry: z.string(), peer: z.string(), p2p: z.array(z.string()), admin: z.string() }),
  /**
   * `keyed` clusters admit who has the key, `open` ones anybody; `key` is the key's fingerprint, `alsoAdmit` those of keys
   * that admit while it is being changed.
   */
  cluster: z.object({
    admission: z.enum(['open', 'keyed']),
    key: z.string().optional(),
    alsoAdmit: z.array(z.string()).optional(),
    encrypted: z.boolean().optional(),
  }),
  /**
   * `bytes` of pieces; `disk` is what the store takes of the disk, `limit` what it may; `trouble` why it could not take
   * something within the last minute.
   */
  store: z.object({
    bytes: count,
    disk: count,
    limit: count.optional(),
    complete: count,
    partial: count,
    /** Of the whole ones, those that are read from where the engine keeps them; they take nothing of `disk`. */
    borrowed: z.object({ blobs: count, bytes: count }).optional(),
    trouble: z.string().optional(),
    /** With `trouble`: it is the disk, and not want of room. */
    broken: z.boolean().optional(),
  }),
  /** Where the engine of this host keeps its content, and why it is not read there. Absent of older nodes. */
  engine: z.object({ folders: z.array(z.object({ path: z.string(), trouble: z.string().optional() })) }).optional(),
  /**
   * What must not be lost with a node: `where` it is kept, `trouble` why it could not be asked when it was tried last.
   * Absent on nodes that keep none.
   */
  state: z.object({ where: z.string(), trouble: z.string().optional() }).optional(),
  /** What was pushed and a backend does not have yet; absent where nothing is ever owed to one. */
  owed: z.object({ waiting: count, oldestSeconds: z.number().min(0) }).optional(),
  /** Whole blobs that are due to be read again, and pieces that were found wrong on the disk since the start. */
  scrub: z.object({ due: count, damaged: count }),
  rates: z.object({ received: rate, sent: rate, source: rate }),
  /** Registries that are at several places, in order of preference, and which of those are in use. */
  sources: z
    .array(
      z.object({
        registry: z.string(),
        endpoints: z.array(
          z.object({
            url: z.string(),
            /** `trying`: it answers again, and has not served anything yet. */
            state: z.enum(['up', 'down', 'trying']),
            since: time.optional(),
            reason: z.string().optional(),
          }),
        ),
      }),
    )
    .optional(),
  /** Empty, but while the node ends: then why it takes no more requests. */
  notReady: z.array(z.string()),
})
export type NodeFacts = z.infer<typeof nodeSchema>

export const memberSchema = z.object({
  id: z.string(),
  /** Base of its peer port. */
  url: z.string(),
  modes: z.array(z.string()),
  zone: z.string().optional(),
  version: z.string(),
  self: z.boolean(),
  secondsSinceHeard: z.number().min(0),
})
export type MemberFacts = z.infer<typeof memberSchema>

export const blobSchema = z.object({
  digest,
  kind: z.enum(['manifest', 'blob']),
  mediaType: z.string().optional(),
  size: count,
  /** Bytes of it that are here. */
  bytes: count,
  complete: z.boolean(),
  /** It is read from where the engine keeps it. */
  borrowed: z.boolean().optional(),
  pieces: held,
  usedAt: time,
  /** `docker.io/library/debian` */
  repositories: z.array(z.string()),
})
export type BlobFacts = z.infer<typeof blobSchema>

export const blobPageSchema = z.object({
  blobs: z.array(blobSchema),
  /** How many fit the filter, on all pages. */
  total: count,
  limit: count,
  offset: count,
})
export type BlobPage = z.infer<typeof blobPageSchema>

export const parentSchema = z.object({
  /** Node id; `source` for the source itself. */
  id: z.string(),
  url: z.string().optional(),
  zone: z.string().optional(),
  /** Bytes got from it for this blob. */
  bytes: count,
  /** Requests it has not answered yet. */
  inFlight: count,
  rate,
})
export type ParentFacts = z.infer<typeof parentSchema>

export const downloadSchema = z.object({
  digest,
  /** For which it is fetched: `docker.io/library/debian` */
  repository: z.string().optional(),
  /** Not known before the first answer. */
  size: count.optional(),
  bytes: count,
  pieces: held,
  rate,
  startedAt: time,
  /** Clients that read it meanwhile. */
  readers: count,
  parents: z.array(parentSchema),
})
export type DownloadFacts = z.infer<typeof downloadSchema>

export const uploadSchema = z.object({
  digest,
  /** Node id of the receiver, if it said. */
  to: z.string().optional(),
  /** Bytes sent to it for this blob since `startedAt`. */
  bytes: count,
  rate,
  startedAt: time,
})
export type UploadFacts = z.infer<typeof uploadSchema>

export const transfersSchema = z.object({ downloads: z.array(downloadSchema), uploads: z.array(uploadSchema) })
export type Transfers = z.infer<typeof transfersSchema>

export const decisionSchema = z.object({
  at: time,
  /** The node that asked for parents. */
  node: z.string(),
  parents: z.array(z.object({ node: z.string(), reason: z.string() })),
  /** Nodes that were not named, and why. */
  refused: z.array(z.object({ node: z.string(), reason: z.string() })),
})
export type DecisionFacts = z.infer<typeof decisionSchema>

export const swarmSchema = z.object({
  digest,
  size: count.optional(),
  members: z.array(z.object({ node: z.string(), pieces: count, complete: z.boolean() })),
  /** The node that was told to read the blob from its source. */
  fetcher: z.string().optional(),
  /** Newest first. */
  decisions: z.array(decisionSchema),
})
export type SwarmFacts = z.infer<typeof swarmSchema>

export const banSchema = z.object({
  node: z.string(),
  reason: z.string(),
  /** When it ends by itself. */
  until: time,
})
export type BanFacts = z.infer<typeof banSchema>

const itemSchema = z.object({
  kind: z.enum(['tag', 'manifest', 'blob']),
  /** A tag, or a digest. */
  what: z.string(),
  /** Of a manifest or blob. */
  bytes: count.optional(),
  reason: z.string(),
})
const keptSchema = z.object({
  repository: z.string(),
  rule: z.string(),
  remove: z.array(itemSchema),
  keep: z.array(itemSchema),
})
export type KeptFacts = z.infer<typeof keptSchema>

export const evictionSchema = z.object({
  /** Bytes that the store may hold for this; absent when it has no limit. */
  limit: count.optional(),
  /** False: nothing was removed, this is what would be. */
  done: z.boolean(),
  remove: z.array(z.object({ digest, bytes: count, usedAt: time, reason: z.string() })),
  keep: z.array(z.object({ digest, bytes: count, usedAt: time, reason: z.string() })),
  /** Bytes over the limit still, all that may go being gone. */
  missing: count,
  /** What rules say of what was pushed; absent where nothing is pushed, or with `trouble`: why it is not known. */
  pushed: z.array(keptSchema).optional(),
  trouble: z.string().optional(),
})
export type EvictionFacts = z.infer<typeof evictionSchema>

export const pinSchema = z.object({
  /** A digest, or an image with its registry and tag. */
  name: z.string(),
  /** Absent: until it is unpinned. */
  until: time.optional(),
  blobs: count,
  /** Bytes of those that are here. */
  bytes: count,
  /** How many of them are not here, or not whole. */
  missing: count,
})
export type PinFacts = z.infer<typeof pinSchema>
export const pinsSchema = z.object({ pins: z.array(pinSchema) })

export const logLevelSchema = z.object({
  level: z.enum(logLevels),
  /** What the settings say, and what it is again after `until`. */
  configured: z.enum(logLevels),
  until: time.optional(),
})
export type LogLevelFacts = z.infer<typeof logLevelSchema>

/** Counters since the node started, as they were read from time to time: bytes. Oldest first, the present last. */
export const historySchema = z.object({
  samples: z.array(
    z.object({
      at: time,
      /** Given to engines. */
      engines: count,
      /** Read at sources. */
      source: count,
      received: count,
      sent: count,
    }),
  ),
})
export type HistoryFacts = z.infer<typeof historySchema>
export const historySpans = ['30m', '24h'] as const
export type HistorySpan = (typeof historySpans)[number]

/** What moves in the cluster, as its members say: those that this node knows, and no more than so many. */
export const clusterSchema = z.object({
  /** This node first. */
  nodes: z.array(
    z.object({
      id: z.string(),
      rates: z.object({ received: rate, sent: rate, source: rate }),
      /** Bytes since it started: given to engines, read at sources, from other nodes and to them. */
      totals: z.object({ engines: count, source: count, received: count, sent: count }),
      /** All that it fetches now. */
      pulling: z.object({ size: count, have: count }).optional(),
      /** What comes to it now, from nodes, and from the `source`. */
      flows: z.array(z.object({ from: z.string(), rate })),
    }),
  ),
  /** Members that did not answer, and those that were not asked, for there are too many. */
  silent: count,
  unasked: count,
})
export type ClusterFacts = z.infer<typeof clusterSchema>

/** Sums over the members that answered. Oldest first. */
export const clusterHistorySchema = z.object({
  samples: z.array(z.object({ at: time, engines: count, source: count })),
  silent: count,
  unasked: count,
})
export type ClusterHistoryFacts = z.infer<typeof clusterHistorySchema>

/** What is known here of the indexes of layers, by which layers are mounted before they are here. */
export const layersSchema = z.object({
  layers: z.array(
    z.object({
      digest,
      state: z.enum(['indexed', 'making', 'cannot']),
      /** Names of repositories that have it, as far as they are known here. */
      repositories: z.array(z.string()),
      /** The blob that is the index, what it has, whether that is here, and the digest of the unpacked layer. */
      index: z.object({ digest, bytes: count, here: z.boolean(), diffId: digest }).optional(),
      /** The node that made and signed it, and when it was seen here that it is right. */
      by: z.string().optional(),
      checkedAt: time.optional(),
      /** Bytes gone through of those that have to be, while it is made. */
      progress: z.object({ done: count, total: count }).optional(),
      /** Why it cannot have one. */
      reason: z.string().optional(),
    }),
  ),
})
export type LayersFacts = z.infer<typeof layersSchema>

export const faultsSchema = z.object({
  /** Since the node started. */
  counts: z.array(z.object({ what: z.string(), count })),
  /** Warnings and errors of the log, newest first. */
  recent: z.array(z.object({ at: time, level: z.enum(['warn', 'error']), message: z.string(), details: z.string() })),
})
export type FaultFacts = z.infer<typeof faultsSchema>

export interface BlobQuery {
  /** Part of a digest, a repository or a media type. */
  readonly filter?: string
  readonly state?: 'complete' | 'partial'
  readonly limit: number
  readonly offset: number
}

/** A node as seen through its admin port. What is asked of memory returns a fresh value; the rest says whom it asks. */
export interface NodeView {
  readonly preheats: Preheats
  /** Undefined where nothing is copied to others. */
  readonly replication: Replicating | undefined
  /** Undefined on nodes that keep none. */
  readonly tags: TagIndex | undefined
  readonly keeping: KeepingView
  node(): NodeFacts
  members(): MemberFacts[]
  /** Last used first. */
  blobs(query: BlobQuery): BlobPage
  blob(digest: Digest): BlobFacts | undefined
  /**
   * False if it was not there. A blob that is in use goes as soon as it is let go.
   * @throws {Failure} `pinned`
   */
  removeBlob(digest: Digest): Promise<boolean>
  /** By a name, a digest or an image: those of that name and those that hold the digest; by none: all. @throws {Failure} */
  pins(name?: string): PinFacts[]
  /** With no end where `forMs` is absent. @throws {Failure} `no-blob` and what is wrong with the name */
  pin(name: string, forMs?: number): Promise<PinFacts>
  /** False if nothing is pinned by that name. @throws {Failure} */
  unpin(name: string): boolean
  /** What an eviction down to `bytes`, the store's own limit by default, removes and keeps; `carryOut`: removes it. */
  evict(bytes: number | undefined, carryOut: boolean): Promise<EvictionFacts>
  transfers(): Transfers
  /** What the scheduler in this node knows; empty on a node that is none. */
  swarms(): SwarmFacts[]
  /** Layers of which something is known here: those that are being made first. */
  layers(): LayersFacts
  /** What is mounted on this host, as its mounter told lately. */
  mounted(): MountedFacts
  /** Nodes that are left alone for what they sent. */
  bans(): BanFacts[]
  /** False if there is no such ban. */
  liftBan(node: string): boolean
  logLevel(): LogLevelFacts
  /** With no end where `forMs` is absent. */
  setLogLevel(level: LogLevel, forMs?: number): LogLevelFacts
  history(span: HistorySpan): Promise<HistoryFacts>
  /** Asks the members, unless they were asked a moment ago. */
  cluster(): Promise<ClusterFacts>
  clusterHistory(span: HistorySpan): Promise<ClusterHistoryFacts>
  faults(): Promise<FaultFacts>
  /** Sets gauges whose values are looked up rather than counted. */
  beforeMetrics?(): void
}
