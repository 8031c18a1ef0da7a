/**
 * The mirror to ask when the node of this host does not answer. Registry ports are for their own host unless an
 * operator opens them, and nodes do not tell each other of them; so those that could serve are tried.
 */
import { rendezvous } from '../cluster/rendezvous.ts'
import { formatAddress, parseAddress } from '../listen.ts'

export interface Other {
  readonly id: string
  /** Base of its peer port. */
  readonly url: string
  readonly modes: readonly string[]
}

/** As many as are asked at once. */
const tried = 64
const deadlineMs = 1500

/**
 * Which nodes to try, in order: seeds first, as they have most; among equals each host has an order of its own, so that
 * the hosts of a cluster do not all lean on one node.
 */
export function candidates(self: string, others: readonly Other[], port: number): string[] {
  const byId = new Map(others.filter(({ id }) => id !== self).map((other) => [other.id, other]))
  const order = rendezvous(`standby of ${self}`, [...byId.keys()]).map((id) => byId.get(id)!)
  const seeds = order.filter(({ modes }) => modes.includes('seed'))
  const hosts = [...seeds, ...order.filter((other) => !seeds.includes(other))].flatMap(({ url }) => {
    const host = URL.canParse(url) ? new URL(url).hostname : ''
    return parseAddress(`${host}:${port}`) ?? []
  })
  return hosts.slice(0, tried).map(formatAddress)
}

/** Whether a registry answers at `address`. */
export async function answers(address: string): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(deadlineMs)
    return (await fetch(`http://${address}/v2/`, { redirect: 'error', proxy: false, signal })).ok
  } catch {
    return false
  }
}

/** The first that answers. All are asked at once. */
export async function firstAnswering(addresses: readonly string[], ask = answers): Promise<string | undefined> {
  const said = await Promise.all(addresses.map(ask))
  return addresses[said.indexOf(true)]
}
