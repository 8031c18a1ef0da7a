/** Which nodes shall have it. Pure: the same members and the same content give the same nodes wherever it is asked. */
import type { NodeInfo } from '../cluster/node-info.ts'
import { rendezvous } from '../cluster/rendezvous.ts'
import type { Target } from './preheats.ts'

/** @param key names the content: a share of the nodes is another share for other content */
export function targetsOf(members: readonly NodeInfo[], { scope, zone, share }: Target, key: string): NodeInfo[] {
  const fitting = members.filter(({ modes, zone: its }) => {
    // A node that only schedules has no engine to serve, and is not where sources are read.
    const wanted = modes.includes('seed') || (scope === 'all' && modes.includes('peer'))
    return wanted && (zone === undefined || isWithin(its, zone))
  })
  if (share === undefined || share >= 1) return fitting
  const byId = new Map(fitting.map((info) => [info.id, info]))
  // Never none: who asks for a tenth of three hosts wants it somewhere.
  const chosen = rendezvous(key, [...byId.keys()]).slice(0, Math.ceil(share * fitting.length))
  return chosen.map((id) => byId.get(id)!)
}

/** `eu/fra/r12` is within `eu` and `eu/fra`, and not within `eu/f`. */
export function isWithin(zone: string | undefined, outer: string): boolean {
  return zone !== undefined && `${zone}/`.startsWith(`${outer.replace(/\/+$/, '')}/`)
}
