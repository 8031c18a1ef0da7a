/** A node through which a blob comes to others: the one that reads the source, and the one that brings it to a site. */

export interface Lead {
  readonly id: string
  /** Nodes it was named to as a parent. */
  readonly children: Set<string>
  /** When it last had more pieces than before. */
  progressAt: number
}

/** Its link carries each piece once; more children than this would only wait for each other there. */
const mostChildren = 64
/** Without a piece more for so long, others stalling meanwhile, somebody else takes over, in ms. */
export const leadPatienceMs = 5000

export function leadOf(id: string, now: number): Lead {
  return { id, children: new Set(), progressAt: now }
}

/** Whether that node may ask it too, in a swarm of so many. */
export function hasRoom(lead: Lead, asker: string, stalled: boolean, swarm: number): boolean {
  return stalled || lead.children.has(asker) || swarm <= mostChildren || lead.children.size < mostChildren
}
