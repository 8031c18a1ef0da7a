/**
 * What was done to a cluster and when, so that each failure that a client sees can be told to be of that or not. Pure:
 * times are seconds that the caller gives.
 */

export interface Incident {
  readonly what: string
  /** The node it was done to; undefined for the registry, which is everybody's. */
  readonly node?: number
  readonly from: number
  /** Undefined while it lasts. */
  until?: number
}

/** One pull that failed. */
export interface Failed {
  readonly node: number
  readonly from: number
  readonly until: number
  readonly said: string
}

/** What a node was told by the registry it believes for ten seconds, and tries that fail are up to five apart. */
const aftermath = 15

export class Incidents {
  readonly all: Incident[] = []

  /** Call the result when it is over. */
  begin(what: string, from: number, node?: number): (until: number) => void {
    const incident: Incident = { what, from, ...(node === undefined ? {} : { node }) }
    this.all.push(incident)
    return (until) => {
      incident.until = until
    }
  }

  /** What made that pull fail, the node's own trouble first; undefined when nothing was done that could have. */
  explains({ node, from, until }: Failed): Incident | undefined {
    const met = this.all.filter((incident) => {
      const end = (incident.until ?? Number.POSITIVE_INFINITY) + (incident.node === undefined ? aftermath : 0)
      return incident.from <= until && end >= from && (incident.node === undefined || incident.node === node)
    })
    return met.find((incident) => incident.node !== undefined) ?? met[0]
  }

  /** How often each was done. */
  counts(): Map<string, number> {
    const counts = new Map<string, number>()
    for (const { what } of this.all) counts.set(what, (counts.get(what) ?? 0) + 1)
    return counts
  }
}
