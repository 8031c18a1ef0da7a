/** Who comes and goes, told to operators. */
import type { Membership } from '../cluster/membership.ts'
import type { Log } from '../telemetry/log.ts'

export function watchMembers(membership: Membership, log: Log): void {
  membership.onJoin((info) => {
    log.info('a node joined', { node: info.id, url: info.url, modes: info.modes.join(',') })
  })
  membership.onLeave((info, reason) => {
    log.info('a node is gone', { node: info.id, url: info.url, reason })
  })
}
