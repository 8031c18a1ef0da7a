/** Who is at the other end of a request. */
import type { Socket } from 'node:net'
import { type Visitor, visitorOf } from '../rights/visitor.ts'
import type { Exchange } from './exchange.ts'
import { localUser } from './local-user.ts'
import type { Tokens } from './tokens.ts'

/** By connection, whose ends and owner stay what they are. */
const trusted = new WeakMap<Socket, Promise<boolean>>()

export function visitorAt({ socket, header }: Exchange, tokens: Tokens): Visitor {
  return visitorOf(tokens.meant(header('authorization')), () => (socket ? isTrusted(socket) : Promise.resolve(false)))
}

/** Root, and the user that this node runs as, can read this node's logins by themselves. */
function isTrusted(socket: Socket): Promise<boolean> {
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
