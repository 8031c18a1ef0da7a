/**
 * The requests of one connection are answered one after the other. Clients may send the next ones ahead (RFC 9112,
 * section 9.3.2), and the runtime hands all of them over at once: a thousand requests for a blob in one packet would be a
 * thousand open files, of a client that takes nothing.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** So many may wait; no engine sends any ahead. Who sends more is cut. */
export const mostAhead = 16

type Listener = (request: IncomingMessage, response: ServerResponse) => void

export function inTurn(listener: Listener, most = mostAhead): Listener {
  const lines = new WeakMap<Socket, (() => void)[]>()
  return (request, response) => {
    const { socket } = request
    const answer = () => {
      response.once('close', () => next(socket))
      listener(request, response)
    }
    const line = lines.get(socket)
    if (line === undefined) {
      lines.set(socket, [])
      answer()
    } else if (line.length < most) line.push(answer)
    else socket.resetAndDestroy()
  }

  function next(socket: Socket): void {
    const answer = socket.destroyed ? undefined : lines.get(socket)?.shift()
    if (answer) answer()
    else lines.delete(socket)
  }
}
