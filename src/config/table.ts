/**
 * Every setting once: its name, kind, default and help. The flag, the variable and the YAML key follow from the name:
 * `cache-size` is `--cache-size`, `SHOAL_CACHE_SIZE` and `cache-size:`.
 */
import { logLevels } from '../telemetry/log.ts'
import type { Host } from './host.ts'
import { keep, replication } from './rules.ts'
import { homeWrites, layerIndexSettings, logFormats, loginsFor, modes } from './settings.ts'
import {
  address,
  choice,
  duration,
  endpoint,
  engineContent,
  home,
  host,
  join,
  type Kind,
  lifetime,
  path,
  rate,
  size,
  stateUrl,
  toggle,
  upstream,
  zone,
} from './values.ts'

export interface Setting<T, Many extends boolean = boolean> {
  readonly kind: Kind<T>
  /** Given more than once, or as a comma list, or as a list in YAML. The last source that says anything says it all. */
  readonly many: Many
  /** Placeholder in help; absent for a flag without a value. */
  readonly value?: string
  readonly help: string
  /** What stands between several in one text; a comma where it is not said. */
  readonly separator?: string
  /** What would have to be written to get the default; a function where it depends on the host. */
  readonly default?: string | ((host: Host) => string | undefined)
  /** The default in words, where it depends on the host. */
  readonly shown?: string
}

type Rest = Pick<Setting<unknown>, 'default' | 'shown' | 'separator'>

function one<T>(kind: Kind<T>, value: string, help: string, rest: Rest = {}): Setting<T, false> {
  return { kind, many: false, value, help, ...rest }
}
function flag(help: string, rest: Rest = {}): Setting<boolean, false> {
  return { kind: toggle, many: false, help, ...rest }
}
function many<T>(kind: Kind<T>, value: string, help: string, rest: Rest = {}): Setting<T, true> {
  return { kind, many: true, value, help, ...rest }
}

export const defaultConfigFile = '/etc/shoal/shoal.yaml'
export const dockerHubUpstream = 'docker.io=https://registry-1.docker.io'

export const table = {
  mode: many(
    choice(['all', ...modes]),
    '<modes>',
    'what the node does: comma list of peer, seed and scheduler, or all',
    {
      default: 'all',
    },
  ),
  config: one(path, '<file>', 'YAML file of these settings, named as the flags are', {
    // One that cannot be looked at counts: without its settings the node would be another one, and open to all.
    default: ({ absent }) => (absent(defaultConfigFile) ? undefined : defaultConfigFile),
    shown: `${defaultConfigFile} if there`,
  }),
  'data-dir': one(path, '<dir>', 'where blobs, the catalog and the node key are kept', {
    default: ({ root, home, service }) => service?.state ?? (root ? '/var/lib/shoal' : `${home}/.local/share/shoal`),
    shown: '/var/lib/shoal for root, else ~/.local/share/shoal',
  }),
  'registry-addr': one(address, '<host:port>', 'the mirror that engines talk to', { default: '127.0.0.1:4880' }),
  'peer-addr': one(address, '<host:port>', 'pieces, announces and schedules', { default: '0.0.0.0:4881' }),
  'p2p-addr': one(address, '<host:port>', 'libp2p: discovery and membership', { default: '0.0.0.0:4882' }),
  'admin-addr': one(address, '<host:port>', 'health, metrics and API', { default: '127.0.0.1:4883' }),
  'admin-token-file': one(path, '<file>', 'bearer token asked of callers of the admin port'),
  advertise: one(host, '<host>', 'the address that others reach this node at', { shown: 'picked from the interfaces' }),
  join: many(join, '<addr>', 'nodes to join by: host, host:port of the libp2p address, or a multiaddr; repeatable'),
  mdns: flag('find other nodes of the local network by multicast DNS', { default: 'true' }),
  upstream: many(upstream, '<name=url>', 'where a registry is, http:// for a plain one; again: another place of it', {
    default: dockerHubUpstream,
  }),
  'only-listed-upstreams': flag('never talk to a registry that no --upstream names', { default: 'false' }),
  'credentials-file': one(path, '<file>', 'Docker config.json with the logins for registries', {
    // What comes there later counts too: `own-files.ts`.
    shown: '~/.docker/config.json if there',
  }),
  'logins-for': one(
    choice(loginsFor),
    '<whom>',
    'whose pulls the logins of this node serve: nobody, root, cluster, everyone',
    {
      default: 'root',
    },
  ),
  home: many(
    home,
    '<pattern[=url]>',
    "repositories that are the cluster's own: apps.corp/**, and where they are kept beside seeds; repeatable",
  ),
  push: flag('take what is pushed to repositories that a --home names; for a seed', { default: 'false' }),
  'push-users-file': one(path, '<file>', 'who may push: an htpasswd file with bcrypt hashes', {
    shown: 'whoever is on this host',
  }),
  'push-deletes': flag('let those who may push delete tags, manifests and blobs', { default: 'false' }),
  'home-write': one(
    choice(homeWrites),
    '<when>',
    'when who pushed hears that it is done: through: the backend has it; back: before',
    { default: 'through' },
  ),
  'home-credentials-file': one(path, '<file>', 'access keys for object stores, in the form of ~/.aws/credentials', {
    shown: '~/.aws/credentials if there',
  }),
  'ca-file': one(path, '<file>', 'PEM certificates to trust for sources, beside the usual ones'),
  'cache-size': one(size, '<size>', 'what the store may take: 20GiB, or a share of what is free or its own: 80%', {
    default: '80%',
  }),
  'keep-free': one(size, '<size>', 'what stays free on the disk, whoever fills it: 10GiB, or a share of it: 5%', {
    default: '1%',
  }),
  'cache-ttl': one(lifetime, '<time>', 'drop blobs that were not used for so long', { shown: 'never' }),
  'engine-content': one(
    engineContent,
    '<dir>',
    'use what containerd keeps, with no copy here: auto, off, or where it lies',
    { default: 'auto' },
  ),
  'layer-index': one(
    choice(layerIndexSettings),
    '<when>',
    'when this seed makes indexes of layers, for lazy images: auto (unasked, while idle), asked or off',
    { default: 'auto' },
  ),
  keep: many(keep, '<pattern: terms>', "what stays, by pattern: 'apps.corp/**: tags=10, age=90d'; repeatable", {
    separator: ';',
    shown: 'everything that is pushed',
  }),
  'scrub-every': one(duration, '<time>', 'read each blob on the disk again so often, to mend what rotted; 0: never', {
    default: '7d',
  }),
  'download-rate': one(rate, '<rate>', 'limit for pieces from other nodes: 100MB/s, 1Gbit/s', { shown: 'unlimited' }),
  'upload-rate': one(rate, '<rate>', 'limit for pieces to other nodes', { shown: 'unlimited' }),
  'source-rate': one(rate, '<rate>', 'limit for bytes from sources', { shown: 'unlimited' }),
  replicate: many(
    replication,
    '<pattern=url>',
    'copy repositories elsewhere: apps.corp/**=https://b.corp:4880; repeatable',
  ),
  'replicate-rate': one(rate, '<rate>', 'limit for bytes to those', { shown: 'unlimited' }),
  'tag-ttl': one(duration, '<time>', 'how long a resolved tag is believed', { default: '60s' }),
  state: one(stateUrl, '<url>', 'PostgreSQL that seeds and schedulers share: postgres://USER@HOST/DATABASE', {
    shown: 'state.db in the data directory',
  }),
  'state-password-file': one(path, '<file>', 'password for --state, on one line'),
  'state-ca-file': one(path, '<file>', 'PEM certificates that the server of --state is checked against'),
  'tag-history': one(lifetime, '<time>', 'how long it is remembered what tags pointed to before', { default: '90d' }),
  'cluster-key-file': one(path, '<file>', 'key that admits nodes to the cluster, from `shoal keygen`'),
  encrypt: flag('encrypt traffic between nodes; all of a cluster, or none', { default: 'false' }),
  zone: one(zone, '<zone>', 'region/zone/rack; nearer parents are preferred'),
  'source-zone': one(zone, '<zone>', 'the zone that registries are in or near; seeds nearest to it read them'),
  'trace-endpoint': one(endpoint, '<url>', 'collector that traces of pulls are sent to, as OTLP in JSON over HTTP'),
  'log-level': one(choice(logLevels), '<level>', 'debug, info, warn or error', { default: 'info' }),
  'log-format': one(choice(logFormats), '<format>', 'text or json', {
    default: (host) => (host.terminal ? 'text' : 'json'),
    shown: 'text on a terminal, json elsewhere',
  }),
} as const satisfies Record<string, Setting<unknown>>

export type Name = keyof typeof table

/** What a setting is once parsed: a list for a repeatable one; undefined where nothing was said and no default is. */
export type Values = {
  readonly [N in Name]: (typeof table)[N] extends Setting<infer T, infer Many>
    ? Many extends true
      ? readonly T[]
      : T | undefined
    : never
}

export const names = Object.keys(table) as Name[]

export function isName(text: string): text is Name {
  return Object.hasOwn(table, text)
}

export function flagOf(name: Name): string {
  return `--${name}`
}

export function variableOf(name: Name): string {
  return `SHOAL_${name.toUpperCase().replaceAll('-', '_')}`
}

/** The setting as the table has it, without its particular type. */
export function settingOf(name: Name): Setting<unknown> {
  return table[name]
}

/** What help says about a setting; the default is in brackets. */
export function helpOf(name: Name): string {
  const { help, shown, default: usual, kind } = settingOf(name)
  const words = shown ?? (typeof usual === 'string' ? (kind === toggle ? onOff[usual] : usual) : undefined)
  return words ? `${help} (default: ${words})` : help
}

const onOff: Record<string, string | undefined> = { true: 'on', false: undefined }
