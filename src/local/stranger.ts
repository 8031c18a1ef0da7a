/**
 * Whether what listens where a node should may be one. Its ports are above 1023, so while no node runs any user of the host
 * can take them, and would decide what an image is. A node is believed that is run by root, by the user of the service or by
 * whoever asks. Who listens on other hosts nobody can tell from here: they are named by an operator.
 */
import { networkInterfaces } from 'node:os'
import { isWildcard } from '../cluster/advertise.ts'
import { Failure } from '../failure.ts'
import { user } from '../install/places.ts'
import { type Address, formatAddress, isLoopback } from '../listen.ts'
import { type Listener, listenersHere, meets } from './listeners.ts'
import { nameOf, uidOf } from './users.ts'

/** The name of a user who listens there, if that is not believed; undefined too where nobody listens, or not on this host. */
export async function strangerAt(address: Address): Promise<string | undefined> {
  return strangerAmong(await listenersHere(), address)
}

/** @param origin of a node: `http://127.0.0.1:4880` @throws {Failure} `forbidden` when it is a stranger's */
export async function refuseStranger(origin: string): Promise<void> {
  const { hostname = '', port = '' } = URL.parse(origin) ?? {}
  const address = { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 80) }
  const stranger = await strangerAt(address)
  if (stranger !== undefined) throw new Failure('forbidden', strangerSentence(address, stranger))
}

export function strangerSentence(address: Address, name: string): string {
  return (
    `what listens at ${formatAddress(address)} is run by the user ${name}, and a node is believed that root, the service ` +
    `or whoever asks runs: end it (ss -ltnp 'sport = :${address.port}' shows it), and start the node`
  )
}

export function strangerAmong(listeners: readonly Listener[], address: Address): string | undefined {
  const believed = [0, process.getuid?.(), uidOf(user)]
  const uid = listenersAt(listeners, address, ownHosts()).find(({ uid }) => !believed.includes(uid))?.uid
  return uid === undefined ? undefined : nameOf(uid)
}

/** Whom a connection to that address gets to. `own`: addresses of this host. Pure. */
export function listenersAt(
  listeners: readonly Listener[],
  { host, port }: Address,
  own: readonly string[],
): Listener[] {
  const hosts = host === 'localhost' ? ['127.0.0.1', '::1'] : [host]
  return hosts.flatMap((host) => {
    if (!isLoopback(host) && !isWildcard(host) && !own.includes(host)) return []
    const there = listeners.filter((listener) => meets(listener.address, { host, port }))
    const exact = there.filter((listener) => listener.address.host === host)
    return exact.length > 0 ? exact : there
  })
}

/** Addresses of this host, loopback included. */
export function ownHosts(): string[] {
  return Object.values(networkInterfaces()).flatMap((infos) => infos?.map(({ address }) => address) ?? [])
}
