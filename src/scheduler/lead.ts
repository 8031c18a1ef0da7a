/** A node through which a blob comes to others: the one that reads the source, and the one that brings it to a site. */

export interface Lead {
  readonly id: string
  /** Nodes it was named to as a parent. */
  readonly children: Set<string>
  /** When it last had more pieces than before. */
  progressAt: number
  /** It reads the blob in order; else what others tell it they need. */
  whole: boolean
  /** When it was last told. */
  orderedAt: number
}

/** Its link carries each piece once; more children than this would only wait for each other there. */
const mostChildren = 64
/** Who reads what others need stops some time after they have left, and then has to be told again, in ms. */
const orderLastsMs = 30_000
/** Without a piece more for so long, others stalling meanwhile, somebody else takes over, in ms. */
export const leadPatienceMs = 5000

export function leadOf(id: string, now: number, whole = true): Lead {
  return { id, children: new Set(), progressAt: now, whole, orderedAt: now }
}

/** Whether a fetcher has to be told of somebody who wants the blob, or some of it; it is then told. */
export function isToldAnew(lead: Lead, part: boolean, now: number): boolean {
  const more = !part && !lead.whole
  if (!more && (lead.whole || now - lead.orderedAt < orderLastsMs)) return false
  lead.whole ||= more
  lead.orderedAt = now
  return true
}

/** Whether that node may ask it too, in a swarm of so many. */
export function hasRoom(lead: Lead, asker: string, stalled: boolean, swarm: number): boolean {
  return stalled || lead.children.has(asker) || swarm <= mostChildren || lead.children.size < mostChildren
}
