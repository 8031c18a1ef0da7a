/** From single values to sections: what follows from several of them, and what they may not be together. */
import { type Address, formatAddress, isLoopback, numbered, twinOf } from '../listen.ts'
import type { Host } from './host.ts'
import { keyPlaces, loginPlaces } from './own-files.ts'
import type { Problems } from './problem.ts'
import type { KeepRule } from './rules.ts'
import type { Secret } from './secret.ts'
import { type HomeSettings, modes, type ReplicationSettings, type Settings, type Upstream } from './settings.ts'
import { dockerHubUpstream, flagOf, type Name, type Values } from './table.ts'
import { type Size, upstream } from './values.ts'

/** What settling needs from loading; everything here throws a ConfigError that the problems collect. */
export interface Loading {
  readonly problems: Problems
  /** Who said it, to open an error with. */
  labelOf(name: Name): string
  /** The text of the file that setting `name` names. */
  read(path: string, name: Name): string
  readToken(path: string): Secret
}

export function settle(values: Values, host: Host, loading: Loading): Settings {
  const { problems, labelOf } = loading
  const token = values['admin-token-file']
    ? problems.collect(() => loading.readToken(values['admin-token-file']!))
    : undefined
  const admin = values['admin-addr']!
  if (!isLoopback(admin.host) && !values['admin-token-file']) {
    problems.add(
      `${labelOf('admin-addr')} "${formatAddress(admin)}": others than this host can reach that address; ` +
        `give ${flagOf('admin-token-file')} too, or choose a loopback address`,
    )
  }
  refuseSharedPorts(values, loading)

  const keyFile = readable('cluster-key-file', values, loading)
  const caFile = readable('ca-file', values, loading)
  const dataDir = values['data-dir']!
  for (const name of ['state-password-file', 'state-ca-file'] as const) {
    if (values[name] && !values.state)
      problems.add(`${labelOf(name)}: it is for ${flagOf('state')}, which is not given`)
  }
  if (values.state && values['state-ca-file'] && values.state.host.startsWith('/')) {
    problems.add(`${labelOf('state-ca-file')}: a socket of this host has no certificate; leave it out`)
  }
  const passwordFile = readable('state-password-file', values, loading)
  const stateCaFile = readable('state-ca-file', values, loading)
  return {
    node: {
      modes: modes.filter((mode) => values.mode.includes(mode) || values.mode.includes('all')),
      dataDir,
      ...present('zone', values.zone),
      ...present('advertise', values.advertise),
    },
    store: {
      dataDir,
      cacheBytes: bytesOf(values['cache-size']!, dataDir, host),
      ...present('cacheTtlMs', values['cache-ttl']),
      keep: keepOf(values, loading),
      keepFree: values['keep-free']!,
      scrubEveryMs: values['scrub-every']!,
    },
    keeping: {
      write: values['home-write']!,
      credentialsFiles: filesOf('home-credentials-file', keyPlaces(host), values, host, loading),
    },
    registry: { address: numbered(values['registry-addr']!), loginsFor: values['logins-for']! },
    home: homeOf(values, loading),
    peer: { address: heard(values, 'peer-addr') },
    p2p: { address: heard(values, 'p2p-addr'), join: values.join, mdns: values.mdns! },
    admin: {
      address: numbered(admin),
      ...present('token', token),
      ...present('tokenFile', token && values['admin-token-file']),
    },
    source: {
      upstreams: upstreamsOf(values, loading),
      onlyListed: values['only-listed-upstreams']!,
      ...present('zone', values['source-zone']),
      tagTtlMs: values['tag-ttl']!,
      credentialsFiles: filesOf('credentials-file', loginPlaces(host), values, host, loading),
      ...present('caFile', caFile),
    },
    limits: {
      ...present('downloadRate', values['download-rate']),
      ...present('uploadRate', values['upload-rate']),
      ...present('sourceRate', values['source-rate']),
    },
    replication: replicationOf(values, loading),
    cluster: { ...present('keyFile', keyFile), encrypt: values.encrypt! },
    engine: { content: values['engine-content']! },
    lazy: { layerIndex: values['layer-index']! },
    state: {
      ...present('url', values.state),
      ...present('passwordFile', passwordFile),
      ...present('caFile', stateCaFile),
      tagHistoryMs: values['tag-history']!,
    },
    trace: { ...present('endpoint', values['trace-endpoint']) },
    log: { level: values['log-level']!, format: values['log-format']!, color: host.color },
  }
}

function present<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { readonly [P in K]?: V }
}

/**
 * 0.0.0.0 is all addresses of IPv4, and :: those of IPv6 as well. Others are told one host for both ports: where that is an
 * IPv6 address they are heard on it, or nobody could reach the node.
 */
function heard(values: Values, name: 'peer-addr' | 'p2p-addr'): Address {
  const address = values[name]!
  return address.host === '0.0.0.0' && values.advertise?.includes(':') ? { ...address, host: '::' } : address
}

/**
 * A share is of what is free plus what the blobs of this node take already: after a restart with a full cache the
 * limit is what it was, and nothing has to go.
 */
function bytesOf(size: Size, dataDir: string, host: Host): number {
  if ('bytes' in size) return size.bytes
  const { free, held } = host.space(dataDir)
  return Math.floor((free + held) * size.share)
}

/** Of one registry: what none of them has is asked of all of them. */
const mostEndpoints = 8

/** Docker Hub's images are not at https://docker.io, so its entry stays unless only what is listed may be reached. */
function upstreamsOf(values: Values, { problems, labelOf }: Loading): readonly Upstream[] {
  const listed = values.upstream
  for (const [i, { registry, url }] of listed.entries()) {
    const before = listed.slice(0, i).filter((each) => each.registry === registry)
    if (before.some((each) => each.url === url))
      problems.add(`${labelOf('upstream')}: ${registry}=${url} is listed twice`)
    if (before.length === mostEndpoints) {
      problems.add(`${labelOf('upstream')}: ${registry} is listed at more than ${mostEndpoints} places`)
    }
  }
  const hub = upstream.parse(dockerHubUpstream)
  const hubListed = listed.some(({ registry }) => registry === hub.registry)
  return hubListed || values['only-listed-upstreams'] ? listed : [hub, ...listed]
}

function keepOf(values: Values, { problems, labelOf }: Loading): readonly KeepRule[] {
  const vain = values.push
    ? []
    : values.keep.filter(({ all, tags, ageMs }) => all || tags !== undefined || ageMs !== undefined)
  for (const { text } of vain) {
    problems.add(
      `${labelOf('keep')} "${text}": tags, age and all are about what is pushed, and nothing can be pushed to this ` +
        `node; give ${flagOf('push')} too, or leave them to seeds that have it`,
    )
  }
  return values.keep
}

function replicationOf(values: Values, { problems, labelOf }: Loading): ReplicationSettings {
  const { replicate: rules, 'replicate-rate': rate } = values
  const said = (name: Name, what: string) => problems.add(`${labelOf(name)}: ${what}`)
  if (rules.length > 0 && !values.mode.includes('seed') && !values.mode.includes('all')) {
    said('replicate', `it is seeds that copy to others; add seed to ${flagOf('mode')}, or leave it to those`)
  }
  const known = new Set<string>()
  for (const { pattern, target } of rules) {
    if (known.has(`${pattern}=${target}`)) said('replicate', `${pattern}=${target} is listed twice`)
    known.add(`${pattern}=${target}`)
  }
  if (rate !== undefined && rules.length === 0) {
    said('replicate-rate', `nothing is copied to others; give ${flagOf('replicate')} too`)
  }
  return { rules, ...present('rate', rate) }
}

function homeOf(values: Values, loading: Loading): HomeSettings {
  const { problems, labelOf } = loading
  const patterns = values.home
  const known = new Set<string>()
  for (const { pattern } of patterns) {
    if (known.has(pattern)) problems.add(`${labelOf('home')}: ${pattern} is listed twice`)
    known.add(pattern)
  }
  if (!values.push) {
    for (const name of ['push-users-file', 'push-deletes'] as const) {
      if (values[name]) problems.add(`${labelOf(name)}: nothing can be pushed to this node; give ${flagOf('push')} too`)
    }
    return { patterns }
  }
  const add = `add for example ${flagOf('home')} 'apps.corp/**'`
  if (patterns.length === 0) problems.add(`${labelOf('push')}: no repository is the cluster's own; ${add}`)
  if (!values.mode.includes('seed') && !values.mode.includes('all')) {
    problems.add(`${labelOf('push')}: what is pushed is kept by seeds; add seed to ${flagOf('mode')}`)
  }
  const usersFile = readable('push-users-file', values, loading)
  return { patterns, push: { ...present('usersFile', usersFile), deletes: values['push-deletes']! } }
}

const ports = ['registry-addr', 'peer-addr', 'p2p-addr', 'admin-addr'] as const

/** Two of this node's own ports in each other's way would be reported as "in use by another program" at start. */
function refuseSharedPorts(values: Values, { problems, labelOf }: Loading): void {
  ports.forEach((name, index) => {
    const address = values[name]!
    const rival = ports.slice(0, index).find((other) => clash(address, values[other]!))
    if (!rival) return
    problems.add(
      `${labelOf(name)} "${formatAddress(address)}": ${flagOf(rival)} has that port already; each needs its own`,
    )
  })
}

function clash(a: Address, b: Address): boolean {
  const everywhere = (host: string) => host === '0.0.0.0' || host === '::'
  const [one, other] = [numbered(a), numbered(b)]
  if (one.port === 0 || one.port !== other.port) return false
  // A node has both halves of `localhost`: see `local/twin.ts`.
  return [one.host, twinOf(one)?.host].includes(other.host) || everywhere(one.host) || everywhere(other.host)
}

type FileName =
  | 'cluster-key-file'
  | 'credentials-file'
  | 'ca-file'
  | 'push-users-file'
  | 'state-password-file'
  | 'state-ca-file'
  | 'home-credentials-file'

/** The path, once it is sure that it can be read: a wrong one should stop the start, not the first pull. */
function readable(name: FileName, values: Values, { problems, read }: Loading): string | undefined {
  const path = values[name]
  if (path !== undefined) problems.collect(() => read(path, name))
  return path
}

/** The file that was named; else the places where one is looked for as long as the node runs, of which none need be there yet. */
function filesOf(
  name: FileName,
  usual: readonly string[],
  values: Values,
  host: Host,
  loading: Loading,
): readonly string[] {
  const named = readable(name, values, loading)
  if (named !== undefined) return [named]
  const there = usual.find((path) => host.exists(path))
  if (there !== undefined) loading.problems.collect(() => loading.read(there, name))
  return usual
}
