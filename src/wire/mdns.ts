/**
 * Finds nodes of the same cluster on the local network: everyone asks the multicast group for the service's name, and
 * everyone answers with its peer id and libp2p addresses.
 *
 * It goes beside libp2p's own, which sends by the default route, so it finds nothing on a host without one or on another
 * interface, and keeps quiet about addresses that are not private. Here the queries go out of the interface that the node
 * is reached at. Whoever hears of a node twice does nothing the second time.
 */
import { networkInterfaces } from 'node:os'
import multicastDns from 'multicast-dns'
import { type Clock, every } from '../clock.ts'
import type { ClusterKey } from '../cluster/cluster-key.ts'
import { type NodeId, nodeIdSchema } from '../cluster/node-info.ts'
import { isIPv4 } from '../listen.ts'
import type { Log } from '../telemetry/log.ts'

export interface Found {
  readonly id: NodeId
  /** Multiaddrs, without the peer id. */
  readonly addresses: readonly string[]
}

export interface DiscoveryOptions {
  readonly self: Found
  /** The host that this node advertises. */
  readonly advertise: string
  readonly clusterKey: ClusterKey | undefined
  readonly found: (node: Found) => void
  readonly clock: Clock
  readonly log: Log
}

/** First a few quick queries, for the answers to a single one may get lost; then now and then, in ms. */
const quickQueries = [500, 1_500]
const queryEvery = 10_000
const ttl = 120
const mostAddresses = 8

/** @returns what ends it */
export function discover(options: DiscoveryOptions): () => void {
  const { self, clock, log } = options
  const service = serviceTag(options.clusterKey, 'node')
  const instance = `${self.id.slice(-16)}.${service}`
  const mdns = multicastDns(socketOptions(options.advertise))
  let closed = false
  const query = () => {
    if (!closed) mdns.query([{ name: service, type: 'PTR' }])
  }

  // A warning comes with every packet that cannot be sent or read: a network that is down is not worth more than this.
  mdns.on('warning', (error: Error) => log.debug('mDNS', { error: error.message }))
  mdns.on('error', (error: Error) => {
    log.warn('nodes on the local network cannot be discovered; name some with --join', { error: error.message })
  })
  mdns.on('query', (packet) => {
    if (closed || !packet.questions?.some((question) => question.name === service)) return
    mdns.respond([
      { name: service, type: 'PTR', ttl, data: instance },
      {
        name: instance,
        type: 'TXT',
        ttl,
        data: [`id=${self.id}`, ...self.addresses.map((address) => `at=${address}`)],
      },
    ])
  })
  mdns.on('response', (packet) => {
    for (const answer of [...(packet.answers ?? []), ...(packet.additionals ?? [])]) {
      if (answer.type !== 'TXT' || !answer.name.endsWith(`.${service}`)) continue
      const node = parseRecord([answer.data].flat().map(String))
      if (node && node.id !== self.id) options.found(node)
    }
  })

  const cancels = [every(clock, queryEvery, query), ...quickQueries.map((ms) => clock.after(ms, query))]
  query()
  return () => {
    closed = true
    for (const cancel of cancels) cancel()
    mdns.destroy()
  }
}

/** Clusters with different keys on one network do not hear each other. */
export function serviceTag(key: ClusterKey | undefined, kind: 'node' | 'libp2p'): string {
  return `_shoal-${kind}-${key?.fingerprint ?? 'open'}._udp.local`
}

/** An address that no interface has (a translated one, say) names no interface to send from: the kernel then chooses. */
function socketOptions(advertise: string): multicastDns.Options {
  const own = Object.values(networkInterfaces()).some((infos) => infos?.some((info) => info.address === advertise))
  // Bound to the wildcard, for a socket bound to its interface's address receives no multicast.
  return own && isIPv4(advertise) ? { interface: advertise, bind: '0.0.0.0' } : {}
}

/** `undefined` for a record that names no node. */
export function parseRecord(texts: readonly string[]): Found | undefined {
  const valuesOf = (key: string) => texts.filter((text) => text.startsWith(`${key}=`)).map((text) => text.slice(3))
  const id = nodeIdSchema.safeParse(valuesOf('id')[0])
  const addresses = valuesOf('at').slice(0, mostAddresses)
  return id.success && addresses.length > 0 ? { id: id.data, addresses } : undefined
}
