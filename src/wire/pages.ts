/**
 * In an open cluster nobody proves who asks, and a browser on any host that reaches the peer port asks there what a web
 * page has it ask, whoever wrote that. Nodes are told from pages: browsers say with a request that a page sent it (Origin,
 * WebSockets included, and Fetch Metadata); no page gets to say to another site which node asks; and one whose own name has
 * come to mean this node's address asks it by that name. With a cluster key there are tickets, which no page has. Pure.
 */
import { isNodeId, type NodeId } from '../cluster/node-info.ts'
import { Refusal } from '../cluster/tickets.ts'
import { hostIn, meansThisHost } from '../listen.ts'
import { headers } from './rules.ts'

/**
 * The node that asks, as it says itself. `advertised`: the host at which others are told to reach this node.
 * @throws {Refusal} when no node sent it
 */
export function askerOf(given: Headers, advertised: string): NodeId {
  if (given.has('origin') || given.has('sec-fetch-site')) {
    throw new Refusal('web page', 'a web page sent this, and only nodes may ask here')
  }
  const host = given.get('host')
  if (host !== null && !meansThisHost(host, [advertised])) {
    throw new Refusal(
      'other name',
      `this node is asked as ${advertised} or by an address, not as "${hostIn(host).slice(0, 100)}"`,
    )
  }
  const node = given.get(headers.node)
  if (!isNodeId(node)) throw new Refusal('nobody', `only nodes may ask here, which say who they are in ${headers.node}`)
  return node
}
