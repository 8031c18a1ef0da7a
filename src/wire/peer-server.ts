/** The peer port. */
import type { Server } from 'bun'
import { type Address, listen } from '../listen.ts'
import type { Traces } from '../telemetry/traces.ts'
import { Control } from './control.ts'
import type { ServerCertificate } from './encryption.ts'
import { Intake } from './intake.ts'
import { maxControlBytes } from './messages.ts'
import { createPeerApp, type PeerAppOptions, type PeerServer } from './peer-app.ts'
import { PieceDesk, type PieceRequest } from './piece-desk.ts'
import { headers, routes, wireRules } from './rules.ts'
import type { Sessions } from './sessions.ts'
import { type SocketData, serveSockets } from './sockets.ts'
import { Uploads } from './uploads.ts'

export interface PeerServerOptions extends Omit<PeerAppOptions, 'uploads' | 'intake' | 'sessions'> {
  readonly address: Address
  /** Undefined: plain HTTP. */
  readonly certificate: ServerCertificate | undefined
  /** Undefined until the node knows its own address, which is after this port is open. */
  readonly sessions: () => Sessions | undefined
  readonly intake?: Intake
  /** Absent: calls are not traced. */
  readonly traces?: Pick<Traces, 'continued'> | undefined
}

export interface RunningPeerServer {
  /** The one that was asked for, or what the kernel chose for port 0. */
  readonly port: number
  /** Gives up connections on which nothing is asked or answered; the number of them. */
  closeIdle(): number
  /**
   * Shows that certificate from now on, on the same port. The runtime cannot do so with the port open: for a moment it is
   * not, and whatever goes on there is broken off.
   * @throws {ListenError} when somebody else took it meanwhile; it is closed then, and may be tried again
   */
  present(certificate: ServerCertificate): Promise<void>
  close(): Promise<void>
}

/** @throws {ListenError} */
export function startPeerServer(options: PeerServerOptions): RunningPeerServer {
  const { address, clock, intake = new Intake() } = options
  const uploads = new Uploads(() => server.pendingRequests, clock)
  const app = createPeerApp({ ...options, uploads, intake, sessions: () => options.sessions()?.size ?? 0 })
  const control = new Control({ ...options, uploads, intake })
  const pieces = new PieceDesk({ ...options, uploads, intake })
  const { traces } = options
  const traced = <T>(request: Request, work: () => T): T =>
    traces ? traces.continued(request.headers.get(headers.trace), work) : work()
  const open = (port: number, certificate: ServerCertificate | undefined): Server<SocketData> =>
    listen({ ...address, port }, '--peer-addr', () =>
      Bun.serve<SocketData>({
        hostname: address.host,
        port,
        // A node shares its ports with nobody: a second one must fail, not take half of the connections.
        reusePort: false,
        ...(certificate && { tls: certificate }),
        maxRequestBodySize: maxControlBytes,
        idleTimeout: wireRules.idleSeconds,
        routes: {
          [routes.piece]: {
            GET: (request: PieceRequest, asked: PeerServer) => traced(request, () => pieces.answer(request, asked)),
          },
          [routes.announce]: { POST: (request: Request, asked: PeerServer) => control.announce(request, asked) },
          [routes.schedule]: {
            POST: (request: Request, asked: PeerServer) => traced(request, () => control.schedule(request, asked)),
          },
        },
        fetch: (request, server) => traced(request, () => app.fetch(request, { server })),
        // What goes wrong after a handler has answered: the file of a piece is gone, evicted a moment ago.
        error(error) {
          options.log.debug('a piece could not be sent', { error: String(error) })
          return Response.json({ code: 'no-blob', message: 'the piece is gone' }, { status: 404 })
        },
        websocket: serveSockets(clock, (pipe, sender) => options.sessions()!.accept(pipe, sender)),
      }),
    )
  let server = open(address.port, options.certificate)
  const port = server.port ?? address.port
  return {
    port,
    async present(certificate) {
      await server.stop(true)
      server = open(port, certificate)
    },
    closeIdle: () => server.closeIdleConnections(),
    async close() {
      uploads.close()
      control.close()
      await server.stop(true)
    },
  }
}
