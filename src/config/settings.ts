/**
 * What a node runs with: validated, frozen, in units that code computes with. Each module takes its own section and
 * knows nothing of flags, variables and files.
 */
import type { Address } from '../listen.ts'
import type { LogLevel } from '../telemetry/log.ts'
import type { KeepRule, ReplicationRule } from './rules.ts'
import type { Secret } from './secret.ts'
import type { StateUrl } from './state-url.ts'

/** What a node can do; `all` stands for the three of them. */
export const modes = ['peer', 'seed', 'scheduler'] as const
export type Mode = (typeof modes)[number]

export const logFormats = ['text', 'json'] as const
export type LogFormat = (typeof logFormats)[number]

export interface NodeSettings {
  /** In the order peer, seed, scheduler, each at most once; never empty. */
  readonly modes: readonly Mode[]
  readonly dataDir: string
  /** `region/zone/rack`, or a prefix of that. */
  readonly zone?: string
  /** Host name or IP address (IPv6 without brackets) that others reach this node at; absent: found out. */
  readonly advertise?: string
}

export interface StoreSettings {
  readonly dataDir: string
  /** Bytes that blobs may take. */
  readonly cacheBytes: number
  /** A blob not used for so many ms is dropped; absent: never for its age. */
  readonly cacheTtlMs?: number
  /** What of some repositories is kept, pushed and cached; the first that matches counts. */
  readonly keep: readonly KeepRule[]
  /** What is left free on the disk: bytes, or a share of it. */
  readonly keepFree: { readonly bytes: number } | { readonly share: number }
  /** A whole blob is read again when so many ms have passed; 0: never. */
  readonly scrubEveryMs: number
}

/**
 * For whom the node's own logins count, each with those before it: for no client; for those that run on its host as root
 * or as the node's user; for such ones on the hosts of other nodes; for every client of every node.
 */
export const loginsFor = ['nobody', 'root', 'cluster', 'everyone'] as const
export type LoginsFor = (typeof loginsFor)[number]

export interface RegistrySettings {
  readonly address: Address
  readonly loginsFor: LoginsFor
}

/** Repositories that are the cluster's own. */
export interface HomePattern {
  /** `apps.corp/**`: a registry's name, and a pattern of its repositories. */
  readonly pattern: string
  /** URL of where they are kept beside the stores of seeds; without credentials. */
  readonly backend?: string
}

export interface HomeSettings {
  readonly patterns: readonly HomePattern[]
  /** Absent: nothing can be pushed here. */
  readonly push?: PushSettings
}

export interface PushSettings {
  /** A readable htpasswd file; absent: who is on this host may push. */
  readonly usersFile?: string
  /** What was pushed can be deleted. */
  readonly deletes: boolean
}

/** When a client that pushed hears that it is done: when the backend has it, or before. */
export const homeWrites = ['through', 'back'] as const
export type HomeWrite = (typeof homeWrites)[number]

/** How what was pushed comes to where it is kept for good. */
export interface KeepingSettings {
  readonly write: HomeWrite
  /** Where access keys for object stores may be, in AWS's form: the first file counts that is there when one is needed. */
  readonly credentialsFiles: readonly string[]
}

export interface PeerSettings {
  readonly address: Address
}

export interface P2pSettings {
  readonly address: Address
  /** Seed list as multiaddrs: `/ip4/10.0.0.7/tcp/4882`, `/dns/seed-1/tcp/4882`. */
  readonly join: readonly string[]
  readonly mdns: boolean
}

export interface AdminSettings {
  readonly address: Address
  /** Asked of every caller but health checks; always there when the address is not loopback. */
  readonly token?: Secret
  /** What the token was read from. */
  readonly tokenFile?: string
}

/** A registry as images name it, and where it is. */
export interface Upstream {
  /** `docker.io`, `registry.corp:5000` */
  readonly registry: string
  /** `https://registry-1.docker.io`; no slash at the end, no credentials. */
  readonly url: string
}

export interface SourceSettings {
  /** Of a registry that is listed more than once, in order of preference. */
  readonly upstreams: readonly Upstream[]
  /** False: a registry that is not among `upstreams` is reached at `https://<its name>`. */
  readonly onlyListed: boolean
  /** Where the registries are, as a zone. */
  readonly zone?: string
  /** How long a resolved tag is believed. */
  readonly tagTtlMs: number
  /** Where a Docker `config.json` may be: the first file counts that is there when a login is needed. Never empty. */
  readonly credentialsFiles: readonly string[]
  /** A readable file of PEM certificates to be trusted beside the usual ones. */
  readonly caFile?: string
}

/** Bytes per second; absent: unlimited. */
export interface LimitSettings {
  readonly downloadRate?: number
  readonly uploadRate?: number
  readonly sourceRate?: number
}

export interface ReplicationSettings {
  readonly rules: readonly ReplicationRule[]
  /** Bytes per second; absent: unlimited. */
  readonly rate?: number
}

export interface ClusterSettings {
  /** A readable file; what is in it is checked by whoever parses cluster keys. */
  readonly keyFile?: string
  /** Traffic between nodes is encrypted. */
  readonly encrypt: boolean
}

/** The content store of the engine on this host: found out, left alone, or in this folder. */
export type EngineContentSetting = 'auto' | 'off' | { readonly dir: string }

export interface EngineSettings {
  readonly content: EngineContentSetting
}

/** When a seed makes indexes of layers: also unasked, when somebody asks, never. */
export const layerIndexSettings = ['auto', 'asked', 'off'] as const
export type LayerIndexSetting = (typeof layerIndexSettings)[number]

/** Images that are mounted before they are here. */
export interface LazySettings {
  readonly layerIndex: LayerIndexSetting
}

/** What must not be lost with a node: tags, jobs, what is owed. */
export interface StateSettings {
  /** A PostgreSQL that nodes share; absent: a file of this node's own. */
  readonly url?: StateUrl
  /** Readable files. */
  readonly passwordFile?: string
  readonly caFile?: string
  /** How long it is remembered what tags pointed to before, ms. */
  readonly tagHistoryMs: number
}

export interface LogSettings {
  readonly level: LogLevel
  readonly format: LogFormat
  /** Colours in text. */
  readonly color: boolean
}

export interface TraceSettings {
  /** URL that spans are sent to; absent: nothing is traced. */
  readonly endpoint?: string
}

export interface Settings {
  readonly node: NodeSettings
  readonly store: StoreSettings
  readonly registry: RegistrySettings
  readonly home: HomeSettings
  readonly keeping: KeepingSettings
  readonly peer: PeerSettings
  readonly p2p: P2pSettings
  readonly admin: AdminSettings
  readonly source: SourceSettings
  readonly limits: LimitSettings
  readonly replication: ReplicationSettings
  readonly cluster: ClusterSettings
  readonly engine: EngineSettings
  readonly lazy: LazySettings
  readonly state: StateSettings
  readonly log: LogSettings
  readonly trace: TraceSettings
}
