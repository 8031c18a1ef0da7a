/** Who comes and goes, told to operators. */
import type { Membership } from '../cluster/membership.ts'
import { modes } from '../cluster/node-info.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'

export function watchMembers(membership: Membership, log: Log, metrics: Metrics | undefined): void {
  const count = () => {
    for (const mode of modes) metrics?.members.set({ mode }, membership.withMode(mode).length)
  }
  count()
  membership.onJoin((info) => {
    count()
    log.info('a node joined', { node: info.id, url: info.url, modes: info.modes.join(',') })
  })
  membership.onLeave((info, reason) => {
    count()
    log.info('a node is gone', { node: info.id, url: info.url, reason })
  })
}
