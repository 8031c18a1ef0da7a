/** WebSockets of the runtime, both sides, as pipes of a session. */
import type { ServerWebSocket, WebSocketHandler } from 'bun'
import type { Clock } from '../clock.ts'
import { maxFrameBytes } from './messages.ts'
import { routes, wireRules } from './rules.ts'
import type { Pipe, SocketSession } from './session.ts'
import type { Dial } from './sessions.ts'

/** What `server.upgrade` is given. */
export interface SocketData {
  session: SocketSession | undefined
}

/** @param headers of each handshake */
export function dialSocket(clock: Clock, headers: () => Record<string, string>): Dial {
  return (node, opened, failed) => {
    const url = new URL(routes.session, node.url)
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
    const socket = new WebSocket(url, { headers: headers(), perMessageDeflate: false })
    let session: SocketSession | undefined
    let settled = false
    socket.addEventListener('open', () => {
      if (settled) return socket.terminate()
      settled = true
      session = opened(clientPipe(socket))
    })
    socket.addEventListener('message', (event) => {
      if (typeof event.data === 'string') session?.received(event.data, clock.now())
      else socket.close(1003, 'frames are text')
    })
    const alive = () => session?.alive(clock.now())
    socket.addEventListener('ping' as 'open', alive)
    socket.addEventListener('pong' as 'open', alive)
    socket.addEventListener('close', (event) => {
      if (session) session.ended(event.code === 4001 ? 'duplicate' : event.reason || `closed (${event.code})`)
      else if (!settled) {
        settled = true
        failed(event.reason || `connection failed (${event.code})`)
      }
    })
    return () => {
      settled = true
      if (session) session.close('given up')
      else socket.terminate()
    }
  }
}

function clientPipe(socket: WebSocket): Pipe {
  return {
    send: (text) => socket.send(text),
    backlog: () => socket.bufferedAmount,
    ping: () => void socket.ping(),
    close: (code, reason) => socket.close(code, reason),
    terminate: () => socket.terminate(),
  }
}

export function serveSockets(clock: Clock, accept: (pipe: Pipe) => SocketSession): WebSocketHandler<SocketData> {
  return {
    maxPayloadLength: maxFrameBytes,
    backpressureLimit: wireRules.sessionBacklog,
    closeOnBackpressureLimit: true,
    // Sessions ping by themselves, for the two sides to agree on when the other is gone.
    sendPings: false,
    idleTimeout: 0,
    perMessageDeflate: false,
    open(socket) {
      socket.data.session = accept(serverPipe(socket))
    },
    message(socket, message) {
      if (typeof message === 'string') socket.data.session?.received(message, clock.now())
      else socket.close(1003, 'frames are text')
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
    send: (text) => void socket.send(text),
    backlog: () => socket.getBufferedAmount(),
    ping: () => void socket.ping(),
    close: (code, reason) => socket.close(code, reason),
    terminate: () => socket.terminate(),
  }
}
