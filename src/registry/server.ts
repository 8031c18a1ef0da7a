/**
 * The registry port: node:http, for Bun's own server sends a streamed body chunked and drops its Content-Length, which
 * engines need. Everything a stranger controls has a bound here: header bytes, the time to send them, idle time.
 */
import { createServer, type Server } from 'node:http'
import type { Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { listenHttp } from '../listen.ts'
import type { RegistryApp } from './registry.ts'

export interface RegistryServer {
  readonly hostname: string
  readonly port: number
  /** Stops listening, lets responses under way end for at most `graceMs`, then cuts them. */
  close(graceMs?: number): Promise<void>
}

export interface ServeInit {
  readonly hostname: string
  /** 0 picks a free one. */
  readonly port: number
  readonly limits?: Partial<ServerLimits>
}

export interface ServerLimits {
  /** Engines send long Accept headers; a lazy client's 256 ranges of 20 digits fit as well. */
  readonly headerBytes: number
  /** For a request to arrive, ms. The response may take as long as it makes progress. */
  readonly requestMs: number
  /** Of an idle connection between requests, ms: longer than engines pause between layers. */
  readonly keepAliveMs: number
}

export const serverLimits: ServerLimits = { headerBytes: 16 * 1024, requestMs: 15_000, keepAliveMs: 90_000 }

/** @throws {ListenError} */
export async function serveRegistry(app: RegistryApp, init: ServeInit): Promise<RegistryServer> {
  const { hostname, port } = init
  const limits = { ...serverLimits, ...init.limits }
  const server = createServer({
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.requestMs,
    requestTimeout: limits.requestMs,
    keepAliveTimeout: limits.keepAliveMs,
    connectionsCheckingInterval: Math.min(5_000, limits.requestMs),
  })
  server.on('request', getRequestListener(app.fetch, { hostname, overrideGlobalObjects: false }))
  server.on('request', (_, response) => {
    // A kept-alive connection would hold a server that is closing until its client tires of it.
    response.once('close', () => server.listening || setImmediate(() => server.closeIdleConnections()))
  })
  server.on('clientError', refuse)
  const bound = await listenHttp(server, { host: hostname, port }, '--registry-addr')
  return { hostname, port: bound.port, close: (graceMs = 5_000) => close(server, graceMs) }
}

/** What is not HTTP gets an answer that a person with curl understands, and no connection to keep. */
function refuse(error: NodeJS.ErrnoException, socket: Pick<Socket, 'writable' | 'end' | 'destroy'>): void {
  const status = /overflow/i.test(error.message)
    ? '431 Request Header Fields Too Large'
    : /timeout/i.test(error.message)
      ? '408 Request Timeout'
      : '400 Bad Request'
  if (socket.writable) socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
  socket.destroy()
}

function close(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), graceMs)
    server.close(() => {
      clearTimeout(cut)
      resolve()
    })
    server.closeIdleConnections()
  })
}
