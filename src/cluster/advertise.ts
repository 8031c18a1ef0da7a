/**
 * Which of a host's addresses the others are told, and when it is another one. Pure over what `os.networkInterfaces()`
 * returns.
 */
import type { NetworkInterfaceInfo } from 'node:os'
import { type Address, formatAddress } from '../listen.ts'

export type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>

/** An address that others may be told. */
export interface Place {
  readonly address: string
  /** How good it is: a place in `kinds`. */
  readonly kind: number
  /** The interface that it was picked for; addresses of that one are gone back to. */
  readonly home: string
}

/** The best first. Those of the first two lead out of the host. */
const kinds = ['outer IPv4', 'outer IPv6', 'inner IPv4', 'inner IPv6', 'loopback'] as const
const leadsOut = 1
const nowhere: Place = { address: '127.0.0.1', kind: kinds.indexOf('loopback'), home: '' }

/**
 * Made by container engines, CNI plugins, hypervisors and VPNs: other hosts cannot reach what listens there. Docker's
 * bridges are `br-` and an id; `br-ex` and `br-mgmt` are how operators name those that lead out.
 */
const inner = new RegExp(
  '^(br-[0-9a-f]{12}$|docker|podman|nerdctl|veth|virbr|vnet|lxc|lxd|incus|vmnet|vboxnet|dummy|' +
    'cni|flannel|cali|cilium|kube|weave|antrea|ovn|vxlan|genev|tun|tap|wg|tailscale|zt)',
)

/**
 * The address of the listening interface if it is a particular one; else the first IPv4 of an interface that leads out of
 * the host, then a global IPv6 of one, then any IPv4 and any IPv6 that is not loopback, then loopback.
 */
export function pickPlace(interfaces: Interfaces, listenHost: string): Place {
  if (!isWildcard(listenHost)) return { ...nowhere, address: listenHost }
  return placesOf(interfaces, listenHost)[0] ?? nowhere
}

/**
 * Where a node that is at `at`, and listens on all addresses, should be by now: `at` itself as long as the host has that
 * address and no better kind of one. When the address is gone, it goes to another of the interface that it is at home on
 * (a new lease), else of another interface (a host with two networks, a laptop that was unplugged), and back when that one
 * has an address again. A host that is cut off keeps the address it had: the bridge of an engine, which is all that is left
 * to it, would not get it any nearer to the others.
 */
export function nextPlace(at: Place, interfaces: Interfaces, listenHost: string): Place {
  const rank = (place: Place) => [place.kind, Number(place.home !== at.home), Number(place.address !== at.address)]
  const [best] = placesOf(interfaces, listenHost).toSorted((a, b) => compare(rank(a), rank(b)))
  if (!best || best.address === at.address) return at
  if (best.kind > Math.max(at.kind, leadsOut)) return at
  return { ...best, home: best.kind < at.kind ? best.home : at.home }
}

/** Why others cannot reach a node that goes by what its host has, for its operator; undefined if nothing is known of that. */
export function outOfReach(
  interfaces: Interfaces,
  ...listen: readonly [peer: Address, p2p: Address]
): string | undefined {
  const [{ host }] = listen
  const deaf = listen.some((each) => each.host === '0.0.0.0')
  if (deaf && pickPlace(interfaces, '::').kind === kinds.indexOf('outer IPv6')) {
    const [peer, p2p] = listen.map(({ port }) => formatAddress({ host: '::', port }))
    return `only IPv6 leads out of this host, and the node listens on IPv4: give it --peer-addr ${peer} --p2p-addr ${p2p}`
  }
  if (pickPlace(interfaces, host).kind < nowhere.kind) return undefined
  const first = host === '0.0.0.0' ? 'first of IPv4' : 'first'
  return `this host has no address that others could reach it at; the node takes the ${first} that it gets`
}

export function isWildcard(host: string): boolean {
  return host === '' || host === '0.0.0.0' || host === '::' || host === '[::]'
}

/** The best first; of one kind, in the order of the interfaces. */
function placesOf(interfaces: Interfaces, listenHost: string): Place[] {
  const all = Object.entries(interfaces).flatMap(([home, infos]) => (infos ?? []).map((info) => ({ home, ...info })))
  return all
    .filter(({ internal, address }) => !internal && !address.startsWith('169.254.') && !address.startsWith('fe80:'))
    .filter(({ family }) => family === 'IPv4' || listenHost !== '0.0.0.0')
    .map(({ home, address, family }) => {
      return { address, kind: kinds.indexOf(`${inner.test(home) ? 'inner' : 'outer'} ${family}`), home }
    })
    .sort((a, b) => a.kind - b.kind)
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [i, value] of a.entries()) if (value !== b[i]) return value - (b[i] ?? 0)
  return 0
}
