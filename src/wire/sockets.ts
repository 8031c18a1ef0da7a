/** WebSockets of the runtime, both sides, as pipes of a session. */
import type { ServerWebSocket, WebSocketHandler } from 'bun'
import { WebSocket } from 'ws'
import type { Clock } from '../clock.ts'
import type { NodeCard, NodeId } from '../cluster/node-info.ts'
import type { Guest } from './admission.ts'
import type { Encryption, Trust } from './encryption.ts'
import { FrameSeals, sealLength } from './frame-seals.ts'
import { maxFrameBytes } from './messages.ts'
import { routes, wireRules } from './rules.ts'
import type { Pipe, SocketSession } from './session.ts'
import type { Dial } from './sessions.ts'

/** What `server.upgrade` is given. */
export interface SocketData {
  session: SocketSession | undefined
  readonly guest: Guest
  /** There where the guest has a pass. */
  seals: FrameSeals | undefined
}

/** How this node opens a session. */
export interface Handshake {
  readonly headers: Record<string, string>
  /** Known to the two nodes alone; undefined in an open cluster. */
  readonly secret: Uint8Array | undefined
}

const notNext = 'a frame that is not the next one of this session'

export function dialSocket(
  clock: Clock,
  encryption: Pick<Encryption, 'trust' | 'forget'>,
  prepare: (node: NodeCard) => Handshake,
): Dial {
  return (node, opened, failed) => {
    let given: (() => void) | undefined
    let over = false
    const begin = async () => {
      const tls = await encryption.trust(node)
      if (!over) given = dialWith(clock, node, { ...prepare(node), tls }, opened, failed, () => encryption.forget(node))
    }
    begin().catch((error: Error) => {
      if (!over) failed(error.message)
    })
    return () => {
      over = true
      given?.()
    }
  }
}

function dialWith(
  clock: Clock,
  node: NodeCard,
  { headers, secret, tls }: Handshake & { tls: Trust | undefined },
  ...[opened, failed, unmet]: [Parameters<Dial>[1], Parameters<Dial>[2], unmet: () => void]
): () => void {
  const url = new URL(routes.session, node.url)
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  const maxPayload = maxFrameBytes + sealLength
  const socket = new WebSocket(url, { headers, perMessageDeflate: false, maxPayload, ...(tls && { tls }) })
  const seals = secret && new FrameSeals(secret, true)
  let session: SocketSession | undefined
  let settled = false
  let trouble: string | undefined
  socket.on('open', () => {
    if (settled) return socket.terminate()
    settled = true
    session = opened(clientPipe(socket, seals))
  })
  socket.on('message', (data, binary) => {
    if (binary) return socket.close(1003, 'frames are text')
    const said = data.toString()
    const text = seals ? seals.take(said) : said
    if (text === undefined) socket.close(1008, notNext)
    else session?.received(text, clock.now())
  })
  const alive = () => session?.alive(clock.now())
  socket.on('ping', alive)
  socket.on('pong', alive)
  // Always before a close, which the other side may have given no reason for.
  socket.on('error', ({ message }) => {
    trouble = message
  })
  socket.on('close', (code, said) => {
    const reason = said.toString() || trouble
    if (session) return session.ended(code === 4001 ? 'duplicate' : reason || `closed (${code})`)
    // A node that started anew has another certificate: the next dial looks at it.
    unmet()
    if (settled) return
    settled = true
    failed(reason || `connection failed (${code})`)
  })
  return () => {
    settled = true
    if (session) session.close('given up')
    else socket.terminate()
  }
}

function clientPipe(socket: WebSocket, seals: FrameSeals | undefined): Pipe {
  return {
    send: (text) => socket.send(seals ? seals.put(text) : text),
    backlog: () => socket.bufferedAmount,
    ping: () => void socket.ping(),
    close: (code, reason) => socket.close(code, reason),
    terminate: () => socket.terminate(),
  }
}

export function serveSockets(
  clock: Clock,
  accept: (pipe: Pipe, sender: NodeId | undefined) => SocketSession,
): WebSocketHandler<SocketData> {
  return {
    maxPayloadLength: maxFrameBytes,
    backpressureLimit: wireRules.sessionBacklog,
    closeOnBackpressureLimit: true,
    // Sessions ping by themselves, for the two sides to agree on when the other is gone.
    sendPings: false,
    idleTimeout: 0,
    perMessageDeflate: false,
    open(socket) {
      const { pass, sender } = socket.data.guest
      if (pass) socket.data.seals = new FrameSeals(pass.secret(), false)
      // Who has no pass may say at the hello who it is.
      socket.data.session = accept(serverPipe(socket), pass && sender)
    },
    message(socket, message) {
      if (typeof message !== 'string') return socket.close(1003, 'frames are text')
      const { seals, session } = socket.data
      const text = seals ? seals.take(message) : message
      if (text === undefined) socket.close(1008, notNext)
      else session?.received(text, clock.now())
    },
    ping: (socket) => socket.data.session?.alive(clock.now()),
    pong: (socket) => socket.data.session?.alive(clock.now()),
    close(socket, code, reason) {
      socket.data.session?.ended(code === 4001 ? 'duplicate' : reason || `closed (${code})`)
    },
  }
}

function serverPipe(socket: ServerWebSocket<SocketData>): Pipe {
  return {
    send: (text) => void socket.send(socket.data.seals ? socket.data.seals.put(text) : text),
    backlog: () => socket.getBufferedAmount(),
    ping: () => void socket.ping(),
    close: (code, reason) => socket.close(code, reason),
    terminate: () => socket.terminate(),
  }
}
