/** From single values to sections: what follows from several of them, and what they may not be together. */
import { formatAddress, isLoopback } from '../listen.ts'
import type { Host } from './host.ts'
import type { Problems } from './problem.ts'
import type { Secret } from './secret.ts'
import { modes, type Settings, type Upstream } from './settings.ts'
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
  if (values.encrypt) {
    problems.add(
      `${labelOf('encrypt')}: encryption is not available in this version; leave it out, and where the network is not ` +
        'trusted, run the nodes over a VPN such as WireGuard',
    )
  }
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

  const keyFile = checkReadable('cluster-key-file', values, loading)
  const credentialsFile = checkReadable('credentials-file', values, loading)
  const ca = readCertificates(values, loading)
  const dataDir = values['data-dir']!
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
    },
    registry: { address: values['registry-addr']! },
    peer: { address: values['peer-addr']! },
    p2p: { address: values['p2p-addr']!, join: values.join, mdns: values.mdns! },
    admin: { address: admin, ...present('token', token) },
    source: {
      upstreams: upstreamsOf(values, loading),
      onlyListed: values['only-listed-upstreams']!,
      tagTtlMs: values['tag-ttl']!,
      ...present('credentialsFile', credentialsFile),
      ...present('ca', ca),
    },
    limits: {
      ...present('downloadRate', values['download-rate']),
      ...present('uploadRate', values['upload-rate']),
      ...present('sourceRate', values['source-rate']),
    },
    cluster: { ...present('keyFile', keyFile) },
    log: { level: values['log-level']!, format: values['log-format']! },
  }
}

function present<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { readonly [P in K]?: V }
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

/** Docker Hub's images are not at https://docker.io, so its entry stays unless only what is listed may be reached. */
function upstreamsOf(values: Values, { problems, labelOf }: Loading): readonly Upstream[] {
  const known = new Map<string, Upstream>()
  for (const entry of values.upstream) {
    if (known.has(entry.registry)) problems.add(`${labelOf('upstream')}: ${entry.registry} is listed twice`)
    known.set(entry.registry, entry)
  }
  const hub = upstream.parse(dockerHubUpstream)
  if (known.has(hub.registry) || values['only-listed-upstreams']) return [...known.values()]
  return [hub, ...known.values()]
}

const ports = ['registry-addr', 'peer-addr', 'p2p-addr', 'admin-addr'] as const

function refuseSharedPorts(values: Values, { problems, labelOf }: Loading): void {
  const taken = new Map<string, Name>()
  for (const name of ports) {
    const address = values[name]!
    if (address.port === 0) continue
    const text = formatAddress(address)
    const other = taken.get(text)
    if (other) problems.add(`${labelOf(name)} "${text}": ${flagOf(other)} is the same address; each needs its own`)
    taken.set(text, name)
  }
}

/** The path, once it is sure that it can be read: a wrong one should stop the start, not the first pull. */
function checkReadable(
  name: 'cluster-key-file' | 'credentials-file',
  values: Values,
  loading: Loading,
): string | undefined {
  const path = values[name]
  if (path !== undefined) loading.problems.collect(() => loading.read(path, name))
  return path
}

function readCertificates(values: Values, loading: Loading): string | undefined {
  const path = values['ca-file']
  const text = path === undefined ? undefined : loading.problems.collect(() => loading.read(path, 'ca-file'))
  if (text === undefined || text.includes('-----BEGIN CERTIFICATE-----')) return text
  loading.problems.add(
    `${loading.labelOf('ca-file')} "${path}": expected certificates in PEM, which begin with -----BEGIN CERTIFICATE-----`,
  )
  return undefined
}
