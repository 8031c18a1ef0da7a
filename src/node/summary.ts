/** What people are told of a node that has started. */
import { buildInfo } from '../build-info.ts'
import type { KeyRing } from '../cluster/key-ring.ts'
import type { Settings } from '../config/settings.ts'
import { isLoopback } from '../listen.ts'
import type { Log } from '../telemetry/log.ts'

export interface Started {
  readonly settings: Settings
  readonly self: { readonly id: string; readonly url: string; readonly p2p: readonly string[] }
  readonly addresses: { readonly registry: string; readonly admin: string }
  readonly ring: KeyRing | undefined
}

export function logStarted({ settings, self, addresses, ring }: Started, log: Log): void {
  log.info('node started', {
    version: buildInfo.version,
    node: self.id,
    modes: settings.node.modes.join(','),
    registry: addresses.registry,
    peer: self.url,
    admin: addresses.admin,
    cluster: ring ? `keyed (${ring})` : 'open',
    encrypted: settings.cluster.encrypt,
  })
  // Who reads text is told by the summary.
  if (!ring && settings.log.format === 'json' && !isLoopback(settings.peer.address.host)) {
    log.warn('the cluster is open: any host that reaches the peer port can join and read cached images', {
      mend: 'make a key with "shoal keygen", and give it to every node with --cluster-key-file',
    })
  }
}

export function summaryOf({ settings, self, addresses, ring }: Started): string[] {
  const { join, mdns } = settings.p2p
  const found = [...(mdns ? ['mDNS'] : []), ...(join.length > 0 ? [`--join ${join.join(', ')}`] : [])]
  return [
    `shoal ${buildInfo.version}, node ${self.id}`,
    `  modes      ${settings.node.modes.join(', ')}`,
    `  registry   http://${addresses.registry}   the mirror for this host's engine`,
    `  peers      ${self.url}, libp2p ${self.p2p.join(', ')}`,
    `  admin      http://${addresses.admin}   health, metrics, API; the dashboard at /ui`,
    `  data       ${settings.node.dataDir}`,
    `  members    found by ${found.join(' and ') || 'nothing: this node stays alone (give --join, or drop --no-mdns)'}`,
    ring
      ? `  cluster    keyed, ${ring}: who does not hold the key neither joins nor reads`
      : '  cluster    OPEN: any host that reaches the peer port can join and read cached images (see shoal keygen)',
    `  traffic    ${settings.cluster.encrypt ? 'between nodes is encrypted' : 'between nodes is not encrypted (see --encrypt)'}`,
  ]
}
