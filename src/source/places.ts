/**
 * Addresses that no client may send a node to: what answers there trusts whoever reaches it, and only this host and its
 * link do. Private networks are not among them, for that is where companies have their registries. Pure.
 */
import { BlockList, isIP } from 'node:net'

const v4 = (network: string, prefix: number) => [network, prefix, 'ipv4'] as const
const v6 = (network: string, prefix: number) => [network, prefix, 'ipv6'] as const

/** The first that fits counts. */
const kinds = {
  /** Cloud providers tell a machine its credentials there: AWS and most others, Azure, Alibaba, Oracle, AWS over IPv6. */
  'a cloud metadata service': [
    v4('169.254.169.254', 32),
    v4('168.63.129.16', 32),
    v4('100.100.100.200', 32),
    v4('192.0.0.192', 32),
    v6('fd00:ec2::254', 128),
  ],
  'this host': [v4('127.0.0.0', 8), v4('0.0.0.0', 8), v6('::', 127)],
  'a link-local address': [v4('169.254.0.0', 16), v6('fe80::', 10)],
  'a multicast or reserved address': [v4('224.0.0.0', 3), v6('ff00::', 8)],
} as const

export type Place = keyof typeof kinds | 'a private network'

const lists = Object.entries(kinds).map(([place, networks]) => {
  const list = new BlockList()
  for (const [network, prefix, family] of networks) list.addSubnet(network, prefix, family)
  return [place as Place, list] as const
})

const privateNetworks = new BlockList()
for (const [network, prefix, family] of [
  v4('10.0.0.0', 8),
  v4('172.16.0.0', 12),
  v4('192.168.0.0', 16),
  v4('100.64.0.0', 10),
  v6('fc00::', 7),
]) {
  privateNetworks.addSubnet(network, prefix, family)
}

/**
 * Undefined for an address that anybody may be sent to, and for what is no IP address.
 * @param own addresses of this host beside those that every host has
 */
export function placeOf(address: string, own?: BlockList): Place | undefined {
  const place = lists.find(([, list]) => isIn(list, address))?.[0]
  return place ?? (own !== undefined && isIn(own, address) ? 'this host' : undefined)
}

/** The same, and private networks too: undefined for what is on the internet. */
export function outsidePlaceOf(address: string, own?: BlockList): Place | undefined {
  return placeOf(address, own) ?? (isIn(privateNetworks, address) ? 'a private network' : undefined)
}

function isIn(list: BlockList, address: string): boolean {
  const family = isIP(address)
  if (family === 0) return false
  const inner = family === 4 ? address : embedded(address)
  return inner === undefined ? list.check(address, 'ipv6') : list.check(inner, 'ipv4')
}

/** The IPv4 address that an IPv6 one leads to: mapped (::ffff:0:0/96), translated (64:ff9b::/96) or 6to4 (2002::/16). */
function embedded(address: string): string | undefined {
  // The URL parser knows every way to write one, and writes each in one way.
  const host = URL.parse(`http://[${address.replace(/%.*$/, '')}]/`)?.hostname.slice(1, -1) ?? ''
  const [, tail] = /^(?:::ffff:|64:ff9b::)([0-9a-f]{1,4}:[0-9a-f]{1,4}|[0-9a-f]{1,4})$/.exec(host) ?? []
  const [, first, second] = /^2002:([0-9a-f]{1,4}):([0-9a-f]{1,4}|:)/.exec(host) ?? []
  const groups = tail?.split(':') ?? (first === undefined ? undefined : [first, second === ':' ? '0' : second!])
  if (groups === undefined) return undefined
  const [high, low] = groups.length === 1 ? [0, hex(groups[0]!)] : [hex(groups[0]!), hex(groups[1]!)]
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}

function hex(group: string): number {
  return Number.parseInt(group, 16)
}
