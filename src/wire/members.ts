/** Who comes and goes, told to operators. */
import type { Membership } from '../cluster/membership.ts'
import type { Log } from '../telemetry/log.ts'
import type { Seldom } from '../telemetry/seldom.ts'

export function watchMembers(membership: Membership, log: Log, seldom: Seldom): void {
  const { version: own } = membership.self
  membership.onJoin((info) => {
    log.info('a node joined', { node: info.id, url: info.url, modes: info.modes.join(',') })
    if (info.version === own) return
    // A thousand nodes that are brought to a new version one after the other are one piece of news.
    const { id: node, url, version } = info
    const told = 'a member runs another version; bring all nodes of a cluster to the same one'
    seldom.tell('version', (others) => log.warn(told, { node, url, version, own, ...others }), version)
  })
  membership.onLeave((info, reason) => {
    log.info('a node is gone', { node: info.id, url: info.url, reason })
  })
}
