/**
 * The registry port: node:http, for Bun's own server sends a streamed body chunked and drops its Content-Length, which
 * engines need. Everything a stranger controls has a bound here: header bytes, the time to send them, idle time, how
 * long an answer may lie untaken, connections.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import type { Clock } from '../clock.ts'
import { type Address, listenHttp } from '../listen.ts'
import type { Log } from '../telemetry/log.ts'
import { Seldom } from '../telemetry/seldom.ts'
import type { RegistryApp } from './registry.ts'
import { Stalled } from './stalled.ts'
import { inTurn } from './turns.ts'

export interface RegistryServer {
  readonly hostname: string
  readonly port: number
  /** Answers at another address as well, within the same limits. @throws {ListenError} */
  also(address: Address): Promise<void>
  /** Gives up connections that rest between requests. */
  closeIdle(): void
  /** Stops listening, lets responses under way end for at most `graceMs`, then cuts them. */
  close(graceMs?: number): Promise<void>
}

export interface ServeInit {
  readonly hostname: string
  /** 0 picks a free one. */
  readonly port: number
  readonly limits?: Partial<ServerLimits>
  /** What is pushed takes as long as it takes, as long as it comes: see `push/upload.ts`. */
  readonly uploads?: boolean
  readonly clock: Clock
  readonly log: Log
}

export interface ServerLimits {
  /**
   * Engines send long Accept headers. podman and CRI-O (containers/storage) ask for up to 1024 ranges of 24 characters
   * at once: only on a 400, which says that these are too many, do they ask for fewer.
   */
  readonly headerBytes: number
  /** For a request to arrive, ms. The response may take as long as it makes progress. */
  readonly requestMs: number
  /** Of an idle connection between requests, ms: longer than engines pause between layers. */
  readonly keepAliveMs: number
  /** A client that takes no byte of its answer for this long is cut, ms. */
  readonly stalledMs: number
  /** Who comes to more is sent away at once. */
  readonly connections: number
}

export const serverLimits: ServerLimits = {
  headerBytes: 32 * 1024,
  requestMs: 15_000,
  keepAliveMs: 90_000,
  stalledMs: 60_000,
  connections: 4096,
}

/** So many past the limit are told so; whoever comes after them finds the connection closed. */
const toldPastLimit = 256
/** Looking for those that rest is work for each connection. */
const clearEveryMs = 1000

/** @throws {ListenError} */
export async function serveRegistry(app: RegistryApp, init: ServeInit): Promise<RegistryServer> {
  const { hostname, port, clock, log } = init
  const limits = { ...serverLimits, ...init.limits }
  const seldom = new Seldom(clock)
  /** One for each address. */
  const servers: Server[] = []
  const closeIdle = () => {
    for (const server of servers) server.closeIdleConnections()
  }
  let closing = false
  const full = () =>
    seldom.tell('full', (others) =>
      log.warn(`the registry port has ${limits.connections} connections: more are sent away`, others),
    )
  const room = limited(limits.connections, full, closeIdle, clock)
  const stalled = new Stalled<ServerResponse>(clock, limits.stalledMs, (response) => {
    const { url: target = '', socket } = response.req
    const fields = { client: socket.remoteAddress, target: target.slice(0, 256) }
    seldom.tell('stalled', (others) =>
      log.info('cut a client that took nothing of its answer', { ...fields, ...others }),
    )
    // A plain close would leave what it does not take with the kernel, for as long as the client likes.
    socket.resetAndDestroy()
  })
  const listener = getRequestListener(app.fetch, { hostname, overrideGlobalObjects: false })
  const answer = inTurn((request, response) => {
    // A kept-alive connection would hold a server that is closing until its client tires of it.
    response.once('close', () => closing && setImmediate(closeIdle))
    stalled.watch(response)
    room.admit(request.socket, (room) => (room ? void listener(request, response) : sendAway(request, response)))
  })
  const open = async (address: Address): Promise<Address> => {
    const server = createServer({
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.requestMs,
      requestTimeout: init.uploads ? 0 : limits.requestMs,
      keepAliveTimeout: limits.keepAliveMs,
      connectionsCheckingInterval: Math.min(5_000, limits.requestMs),
    })
    room.count(server)
    server.on('request', answer)
    server.on('clientError', refuse)
    const bound = await listenHttp(server, address, '--registry-addr')
    servers.push(server)
    return bound
  }
  const bound = await open({ host: hostname, port })
  return {
    hostname,
    port: bound.port,
    also: async (address) => void (await open(address)),
    closeIdle,
    async close(graceMs = 5_000) {
      closing = true
      await Promise.all(servers.map((server) => close(server, graceMs)))
      stalled.close()
    },
  }
}

/**
 * Tells for which connections there is no room: those that came when there were too many, and still are when those that
 * rest between requests have been given up for them.
 */
function limited(most: number, full: () => void, closeIdle: () => void, clock: Clock) {
  const late = new WeakSet<Socket>()
  let open = 0
  let cleared = Number.NEGATIVE_INFINITY
  const count = (server: Server) => {
    server.maxConnections = most + toldPastLimit
    server.on('connection', (socket: Socket) => {
      if (++open > most) late.add(socket)
      socket.once('close', () => open--)
    })
    server.on('drop', full)
  }
  const admit = (socket: Socket, answer: (room: boolean) => void) => {
    if (open <= most || !late.has(socket)) return answer(true)
    // Not when it came: a connection that has not yet asked would be given up as well.
    if (clock.now() - cleared >= clearEveryMs) {
      cleared = clock.now()
      closeIdle()
    }
    setImmediate(() => {
      if (open > most) full()
      answer(open <= most)
    })
  }
  return { count, admit }
}

/** 404, not 503: an engine then goes to the registry by itself, at once; to a 503 dockerd comes back for a minute. */
function sendAway(request: IncomingMessage, response: ServerResponse): void {
  const message = 'this node has too many connections; the registry itself may have fewer'
  const body = JSON.stringify({ errors: [{ code: 'TOOMANYREQUESTS', message, detail: {} }] })
  response.writeHead(404, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'retry-after': '1',
    connection: 'close',
  })
  response.end(request.method === 'HEAD' ? undefined : body)
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
