/** Who is at the other end of a request. */
import type { Socket } from 'node:net'
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

/** @param users their logins are for this node, and are shown to nobody else */
export function visitorAt({ socket, header }: Exchange, tokens: Tokens, users?: Pick<Users, 'has'>): Visitor {
  const meant = tokens.meant(header('authorization'))
  const own = users?.has(basicLogin(meant)?.name ?? '') ?? false
  return visitorOf(own ? undefined : meant, async () => socket !== undefined && !isProxied(header) && isTrusted(socket))
}

/** Root, and the user that this node runs as, can read this node's logins by themselves. */
export function isTrusted(socket: Socket): Promise<boolean> {
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
