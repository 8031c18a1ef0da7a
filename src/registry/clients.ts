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

/** @param users their logins are for this node, and are shown to nobody else */
export function visitorAt({ socket, header }: Exchange, tokens: Tokens, users?: Pick<Users, 'has'>): Visitor {
  const meant = tokens.meant(header('authorization'))
  const own = users?.has(basicLogin(meant)?.name ?? '') ?? false
  return visitorOf(own ? undefined : meant, () => (socket ? isTrusted(socket) : Promise.resolve(false)))
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
