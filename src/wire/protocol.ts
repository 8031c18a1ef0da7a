/**
 * Versions of what nodes say to each other, so that a cluster can be brought to another release node by node.
 *
 * A node says the lowest and the highest version that it speaks, where it says who it is; two nodes speak the highest that
 * both know. Within a version messages grow: fields, kinds of frames and modes that a node does not know it passes over,
 * and a field may be added only if it can be passed over. What cannot be is a new version, and the release that brings it
 * speaks the one before as well. Pure.
 */
import type { Protocols } from '../cluster/node-info.ts'

/** What this release speaks. */
export const spoken: Protocols = { from: 1, to: 1 }

/** Of nodes from before versions were said. */
const unsaid: Protocols = { from: 1, to: 1 }

/** The version that the two speak; undefined when there is none. */
export function common(ours: Protocols, theirs: Protocols = unsaid): number | undefined {
  const highest = Math.min(ours.to, theirs.to)
  return highest >= Math.max(ours.from, theirs.from) ? highest : undefined
}

/** Why the two cannot speak with each other, if they cannot. */
export function tooFarApart(ours: Protocols, theirs: Protocols = unsaid): string | undefined {
  if (common(ours, theirs) !== undefined) return undefined
  const older = ours.to < theirs.from ? 'this node' : 'that node'
  // Short enough for the reason with which a WebSocket is closed.
  return `this node speaks protocol ${inWords(ours)}, that one ${inWords(theirs)}: bring ${older} to a newer release`
}

function inWords({ from, to }: Protocols): string {
  return from === to ? String(from) : `${from} to ${to}`
}
