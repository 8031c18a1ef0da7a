/** Which of a host's addresses the others are told. Pure over what `os.networkInterfaces()` returns. */
import type { NetworkInterfaceInfo } from 'node:os'

export type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>

/** Made by container engines, CNI plugins, hypervisors and VPNs: other hosts cannot reach what listens there. */
const inner =
  /^(docker|br-|veth|virbr|vnet|cni|flannel|cali|cilium|lxc|lxd|podman|kube|nerdctl|tun|tap|wg|tailscale|dummy|vmnet|vboxnet)/

/**
 * The address of the listening interface if it is a particular one; else the first IPv4 of an interface that leads out
 * of the host, then any IPv4 that is not loopback, then a global IPv6, then loopback.
 */
export function pickAddress(interfaces: Interfaces, listenHost: string): string {
  if (!isWildcard(listenHost)) return listenHost
  const all = Object.entries(interfaces).flatMap(([name, infos]) => (infos ?? []).map((info) => ({ name, ...info })))
  const outside = all.filter((a) => !a.internal && !a.address.startsWith('169.254.') && !a.address.startsWith('fe80:'))
  const v4 = outside.filter((a) => a.family === 'IPv4')
  const v6 = listenHost === '0.0.0.0' ? [] : outside.filter((a) => a.family === 'IPv6')
  const choice = v4.find((a) => !inner.test(a.name)) ?? v6.find((a) => !inner.test(a.name)) ?? v4[0] ?? v6[0]
  return choice?.address ?? '127.0.0.1'
}

export function isWildcard(host: string): boolean {
  return host === '' || host === '0.0.0.0' || host === '::' || host === '[::]'
}
