/**
 * The libp2p side of a node: an authenticated connection to anyone, the private network and Kademlia. It carries hellos
 * and provider records only; the bytes and the hot calls go over HTTP.
 */
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { type Identify, identify } from '@libp2p/identify'
import type { ComponentLogger, Libp2p, Logger } from '@libp2p/interface'
import { type KadDHT, kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { mdns } from '@libp2p/mdns'
import { type Ping, ping } from '@libp2p/ping'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import type { Identity } from '../../cluster/identity.ts'
import type { KeyRing } from '../../cluster/key-ring.ts'
import { type Address, isIPv4, ListenError } from '../../listen.ts'
import { lru } from '../../lru.ts'
import type { Log } from '../../telemetry/log.ts'
import type { Seldom } from '../../telemetry/seldom.ts'
import { serviceTag } from './mdns.ts'
import { noiseCrypto } from './noise-crypto.ts'
import { privateNetwork } from './private-network.ts'
import { Records } from './records.ts'
import { safeTcp } from './transport.ts'

// A type, not an interface: libp2p wants an index signature.
export type Services = { identify: Identify; ping: Ping; dht: KadDHT }
export type Host = Libp2p<Services>

export interface HostOptions {
  readonly identity: Identity
  readonly address: Address
  /** Host that the others are told; asked again each time. */
  readonly advertise: () => string
  /** Undefined: an open cluster. */
  readonly ring: KeyRing | undefined
  /** Finds others on the local network, as libp2p does it; see `mdns.ts` for where that does not reach. */
  readonly mdns: boolean
  /** A connection came in; who from is not known yet. */
  readonly accepted?: () => void
  readonly log: Log
  readonly seldom: Seldom
}

/**
 * Connections are for saying hello and for Kademlia, and each costs memory: past `keep` the oldest are closed, so that
 * there is always room for the next one to say hello.
 */
export const hostLimits = {
  keep: 128,
  most: 400,
  /** New ones of one host in a second: a whole rack behind one address, and a data centre that starts at once. */
  perSecond: 64,
  /** Those that have not yet said who they are. */
  pending: 128,
  /** In which they have to, ms. */
  upgradeMs: 10_000,
} as const

/** Most connections rest, one to each other node of a small cluster, and every ping and its answer are encrypted. */
const keepAliveMs = 120_000

/** In ms. */
const discoveryTimes = { query: 600_000, repeat: 60_000 } as const

/**
 * libp2p would publish all old records of this node each hour, ten at a time, also while a pull goes on: `KadDirectory`
 * does that, by its own rules, and `Records` forgets what others said. The interval is the longest that a timer can have.
 */
const neverAgain = { validity: Number.POSITIVE_INFINITY, threshold: 0, interval: 2 ** 31 - 1 } as const

/** @throws {ListenError} */
export async function startHost(options: HostOptions): Promise<Host> {
  const { identity, address, ring, log, seldom } = options
  const refused = 'a connection was refused: whoever dials this node by libp2p is no member'
  const stranger = (from: string, why: string) =>
    seldom.tell('stranger', (others) => log.warn(refused, { from, reason: why, ...others }), why)
  try {
    const host = await createLibp2p<Services>({
      privateKey: identity.privateKey,
      datastore: new Records(identity.privateKey.publicKey),
      nodeInfo: { name: 'shoal', userAgent: 'shoal' },
      addresses: {
        listen: hostsOf(address.host).map((host) => multiaddrOf(host, address.port)),
        // With port 0 the real one is known only once it is open; the addresses of the interfaces have to do then.
        ...(address.port !== 0 && { announceFilter: () => [advertised(options)] }),
      },
      transports: [safeTcp()],
      connectionEncrypters: [noise({ crypto: noiseCrypto })],
      streamMuxers: [yamux({ keepAliveInterval: keepAliveMs })],
      ...(ring && { connectionProtector: privateNetwork(ring, stranger) }),
      connectionManager: {
        maxConnections: hostLimits.most,
        inboundConnectionThreshold: hostLimits.perSecond,
        maxIncomingPendingConnections: hostLimits.pending,
        inboundUpgradeTimeout: hostLimits.upgradeMs,
        dialTimeout: 8_000,
        addressDialTimeout: 4_000,
      },
      connectionGater: {
        denyInboundConnection: () => {
          options.accepted?.()
          return false
        },
      },
      // Members are probed over HTTP; pings inside of libp2p would only keep idle connections busy.
      connectionMonitor: { enabled: false },
      ...(options.mdns && { peerDiscovery: [discovery(ring)] }),
      services: {
        identify: identify({ protocolPrefix: 'shoal' }),
        ping: ping({ protocolPrefix: 'shoal' }),
        dht: kadDHT({
          protocol: '/shoal/kad/1.0.0',
          clientMode: false,
          peerInfoMapper: passthroughMapper,
          allowQueryWithZeroPeers: true,
          reprovide: neverAgain,
        }),
      },
      logger: quiet(options.log),
    })
    host.addEventListener('connection:open', () => trim(host))
    return host
  } catch (error) {
    throw new ListenError(kernelError(error), address, '--p2p-addr')
  }
}

/**
 * Every answer to every query of any node reaches all nodes, and libp2p files each in its peer store: a hundred nodes
 * would be busy with nothing else. So it asks rarely, after the first time, and hears of the same node seldom. It keeps
 * the name of the key it began with; our own discovery, and who is a member already, brings nodes of a newer key together.
 */
function discovery(ring: KeyRing | undefined): ReturnType<typeof mdns> {
  const make = mdns({ serviceTag: serviceTag(ring?.current, 'libp2p'), interval: discoveryTimes.query })
  return (components) => {
    const found = make(components)
    const known = lru<string, true>(4096, { ttl: discoveryTimes.repeat })
    const pass = found.dispatchEvent.bind(found)
    found.dispatchEvent = (event) => {
      const id = event instanceof CustomEvent && event.type === 'peer' ? String(event.detail?.id) : undefined
      if (id !== undefined && known.has(id)) return true
      if (id !== undefined) known.set(id, true)
      return pass(event)
    }
    return found
  }
}

/** The others are told what {@link HostOptions.advertise} is now; those that are connected hear it when they connect again. */
export async function readdress(host: Host): Promise<void> {
  await host.peerStore.patch(host.peerId, {
    multiaddrs: host.getMultiaddrs().map((address) => address.decapsulate(`/p2p/${host.peerId}`)),
  })
}

/** libp2p listens on addresses only, never on names; and where it listens for IPv6, for nothing else. */
function hostsOf(host: string): string[] {
  if (host === 'localhost') return ['127.0.0.1']
  return host === '::' ? ['0.0.0.0', '::'] : [host]
}

/** Which port is reached at that address: the kernel chooses one for each kind of them where it is told to. */
export function portAt(host: Host, address: string): number {
  const wanted = address.includes(':') ? 'ip6' : 'ip4'
  const found = host.getMultiaddrs().map((at) => at.getComponents())
  const at = found.find(([first]) => first?.name === wanted) ?? found[0]
  return Number(at?.find(({ name }) => name === 'tcp')?.value ?? 0)
}

function advertised({ identity, address, advertise }: HostOptions): Multiaddr {
  return multiaddr(`${multiaddrOf(advertise(), address.port)}/p2p/${identity.id}`)
}

export function multiaddrOf(host: string, port: number): string {
  const kind = host.includes(':') ? 'ip6' : isIPv4(host) ? 'ip4' : 'dns'
  return `/${kind}/${host}/tcp/${port}`
}

function trim(host: Host): void {
  const open = host.getConnections().filter((c) => c.status === 'open')
  if (open.length <= hostLimits.keep) return
  // A connection with open streams is saying something.
  const idle = open.filter((c) => c.streams.length === 0).sort((a, b) => a.timeline.open - b.timeline.open)
  for (const connection of idle.slice(0, open.length - hostLimits.keep)) connection.close().catch(() => {})
}

/** libp2p keeps what the kernel said only in the text of its own error, stack traces included. */
function kernelError(error: unknown): unknown {
  const [line, code] = /\b(E[A-Z]{3,})\b.*/.exec(String(error)) ?? []
  return code === undefined ? error : Object.assign(new Error(line, { cause: error }), { code })
}

/** libp2p's own logs are for its developers. Its errors are shown at the debug level; what matters we report ourselves. */
function quiet(log: Log): ComponentLogger {
  return {
    forComponent(name) {
      const logger = Object.assign(() => {}, {
        error: (format: unknown, ...args: unknown[]) =>
          log.debug('libp2p', { component: name, format, args: args.map(String) }),
        trace: () => {},
        enabled: false,
        newScope: () => logger as Logger,
      })
      return logger as Logger
    },
  }
}
