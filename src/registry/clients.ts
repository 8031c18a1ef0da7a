/** Who is at the other end of a request. */
import type { Socket } from 'node:net'
import { Failure } from '../failure.ts'
import { hostIn, isLoopback, meansThisHost } from '../listen.ts'
import { basicLogin } from '../push/pushers.ts'
import type { Users } from '../push/users.ts'
import { type Visitor, visitorOf } from '../rights/visitor.ts'
import type { Exchange } from './exchange.ts'
import { localUser } from './local-user.ts'
import type { Tokens } from './tokens.ts'

/** By connection, whose ends and owner stay what they are. */
const trusted = new WeakMap<Socket, Promise<boolean>>()

/** A proxy sets one of these at least. */
const proxied = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-proto', 'x-real-ip']

/** A request that came through a proxy: its connection is the proxy's, whoever it is from. */
export function isProxied(header: Exchange['header']): boolean {
  return proxied.some((name) => header(name) !== undefined)
}

/** From a program on this host, by the address that it asks from. */
export function isLocal({ client, header }: Pick<Exchange, 'client' | 'header'>): boolean {
  // Whoever comes through a proxy comes from it, and it may be on this host.
  return isLoopback(client.replace(/^::ffff:/i, '')) && !isProxied(header)
}

/** What browsers say of themselves and no engine does. None lets a page leave all of it out. */
const ofBrowsers = ['origin', 'sec-fetch-site', 'accept-language']

/**
 * A browser on this host reaches what is for this host, and lets a page read it whose name has come to mean 127.0.0.1.
 * @param names of this host @throws {Failure} `forbidden` for such a page
 */
export function refusePage(exchange: Pick<Exchange, 'client' | 'header'>, names: readonly string[]): void {
  const host = exchange.header('host')
  if (host === undefined || meansThisHost(host, names) || !isLocal(exchange)) return
  if (ofBrowsers.every((name) => exchange.header(name) === undefined)) return
  throw new Failure(
    'forbidden',
    `browsers on this host ask here as localhost or by an address, not as "${hostIn(host).slice(0, 100)}"`,
  )
}

export interface Known {
  readonly tokens: Tokens
  /** Their logins are for this node, and are shown to nobody else. */
  readonly users?: Pick<Users, 'has'> | undefined
  /** Of this host. */
  readonly names: readonly string[]
}

export function visitorAt(exchange: Exchange, { tokens, users, names }: Known): Visitor {
  const meant = tokens.meant(exchange.header('authorization'))
  const own = users?.has(basicLogin(meant)?.name ?? '') ?? false
  return visitorOf(own ? undefined : meant, () => isTrusted(exchange, names))
}

/**
 * Root, and the user that this node runs as, can read this node's logins by themselves. Their browsers are not they: so
 * they ask by what this host is called.
 */
export async function isTrusted(
  { socket, header }: Pick<Exchange, 'socket' | 'header'>,
  names: readonly string[],
): Promise<boolean> {
  return socket !== undefined && !isProxied(header) && meansThisHost(header('host'), names) && (await isOwn(socket))
}

function isOwn(socket: Socket): Promise<boolean> {
  const known = trusted.get(socket)
  if (known) return known
  const { remoteAddress, remotePort, localAddress, localPort } = socket
  if (!remoteAddress || !remotePort || !localAddress || !localPort) return Promise.resolve(false)
  const asked = localUser({ remoteAddress, remotePort, localAddress, localPort }).then(
    (uid) => uid === 0 || (uid !== undefined && uid === process.getuid?.()),
  )
  trusted.set(socket, asked)
  return asked
}
