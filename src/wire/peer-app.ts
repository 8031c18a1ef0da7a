/**
 * What other nodes may ask over HTTP. Every request is admitted first, is capped in size and time, and a refusal is a
 * {@link Failure} in JSON, so that the asking side throws the same one. Announces and questions for parents are in
 * `control.ts`.
 */
import type { Server } from 'bun'
import { type Context, Hono, type MiddlewareHandler } from 'hono'
import type { z } from 'zod'
import type { Clock } from '../clock.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { Refusal } from '../cluster/tickets.ts'
import { Failure } from '../failure.ts'
import { parseJson } from '../json.ts'
import { type Digest, parseDigest } from '../oci/digest.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { type Admit, type Guest, sealed } from './admission.ts'
import type { Calls } from './calls.ts'
import { deadline } from './deadline.ts'
import type { Intake } from './intake.ts'
import { fetchOrderSchema, parse, resolveSchema, vitalsRequestSchema } from './messages.ts'
import { headers, routes, wireRules } from './rules.ts'
import type { SocketData } from './sockets.ts'
import type { Uploads } from './uploads.ts'
import type { Inbound, WantedPieces } from './wire.ts'

export type PeerServer = Pick<Server<SocketData>, 'requestIP' | 'upgrade'>

export interface PeerAppOptions {
  readonly self: () => NodeInfo | undefined
  /** Undefined while the node is not ready to answer. */
  readonly inbound: () => Inbound | undefined
  /** What parts of the node answer beside that. */
  readonly calls?: Calls
  readonly admit: Admit
  /** Told of everyone who is not admitted. */
  readonly refused: (refusal: Refusal, sender: string | null) => void
  readonly uploads: Uploads
  readonly intake: Intake
  readonly sessions: () => number
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics | undefined
}

type Env = {
  Bindings: { server: PeerServer | undefined }
  Variables: { leave: () => void; letGo: () => void; host: string; connection: string; guest: Guest | undefined }
}

/** Sockets at which new sessions are refused: far above what a swarm opens. */
export const mostSessions = 4096

export function createPeerApp(options: PeerAppOptions): Hono<Env> {
  const { uploads, intake, clock, log } = options
  const app = new Hono<Env>()
  const ready = () => {
    const inbound = options.inbound()
    if (!inbound) throw new Failure('too-many', 'this node is still starting')
    return inbound
  }

  app.onError((error, c) => {
    if (error instanceof Refusal) options.refused(error, c.req.header(headers.node) ?? null)
    return render(Failure.from(error), log, c.get('guest'))
  })
  app.notFound((c) => render(new Failure('bad-request', 'this node does not know that call'), log, c.get('guest'), 404))
  app.use(enter(uploads, intake), async (c, next) => {
    c.set('guest', options.admit(c.req.raw))
    await next()
  })

  app.get(routes.ping, (c) => {
    const self = options.self()
    if (!self) throw new Failure('too-many', 'this node is still starting')
    return c.body(null, 204, { [headers.node]: self.id, ...sealed(c.get('guest'), 204, '') })
  })
  app.get(routes.session, (c) => {
    ready()
    if (options.sessions() >= mostSessions) throw new Failure('too-many', 'this node has too many sessions')
    if (c.req.header('upgrade')?.toLowerCase() !== 'websocket') {
      throw new Failure('bad-request', 'a session is a WebSocket')
    }
    const guest = c.get('guest')!
    const upgraded = c.env.server?.upgrade(c.req.raw, { data: { session: undefined, guest, seals: undefined } })
    if (!upgraded) throw new Failure('bad-request', 'the WebSocket handshake is wrong')
    // The runtime has taken the connection; the router wants an answer, which nobody gets.
    return new Response(null)
  })
  app.get(routes.piece, async (c) => {
    const digest = parseDigest(c.req.param('digest'))
    const wanted = parseWanted(c.req.param('list'), c.req.header(headers.unwanted), c.req.header(headers.from))
    const background = c.req.header(headers.background) !== undefined
    uploads.settle()
    return servePiece(c, ready(), digest, { ...wanted, background })
  })
  app.post(routes.fetch, async (c) => {
    ready().order(await read(c, fetchOrderSchema))
    return c.body(null, 202, sealed(c.get('guest'), 202, ''))
  })
  app.post(routes.resolve, async (c) => {
    return answer(c, await ready().resolve(await read(c, resolveSchema)))
  })

  app.post(routes.vitals, async (c) => answer(c, await ready().vitals(await read(c, vitalsRequestSchema))))

  app.post('/shoal/v1/:call', async (c, next) => {
    const name = c.req.param('call')
    if (!options.calls?.knows(name)) return next()
    ready()
    return answer(c, await options.calls.answer(name, await readJson(c)))
  })

  function answer(c: Context<Env>, value: object): Response {
    const reply = JSON.stringify(value)
    return c.body(reply, 200, { 'content-type': 'application/json', ...sealed(c.get('guest'), 200, reply) })
  }

  async function servePiece(c: Context<Env>, inbound: Inbound, digest: Digest, wanted: WantedPieces) {
    const signal = c.req.raw.signal
    const offer = await inbound.offer(digest, wanted, c.get('guest')?.sender, signal)
    const bytes = offer.end - offer.start
    const letGo = c.get('letGo')
    // The handler is done with it, and the connection is not.
    c.set('letGo', () => {})
    uploads.begin(c.get('connection'), signal, c.get('leave'), (sent) => {
      letGo()
      if (sent) options.metrics?.peerSentBytes.inc(bytes)
      offer.done(sent)
    })
    return new Response(Bun.file(offer.path).slice(offer.start, offer.end), {
      // Said outright, the runtime does not make a 206 of a slice by itself.
      status: 200,
      headers: {
        'content-type': 'application/octet-stream',
        'content-length': String(bytes),
        [headers.piece]: String(offer.piece),
        [headers.length]: String(bytes),
      },
    })
  }

  async function read<T extends object>(c: Context<Env>, schema: z.ZodType<T>): Promise<T> {
    return parse(schema, await readJson(c))
  }

  async function readJson(c: Context<Env>): Promise<unknown> {
    const letGo = intake.body(c.req.raw, c.get('host'))
    const text = await deadline(clock, wireRules.bodyDeadline, 'the body did not arrive in time', () =>
      textOf(c.req.raw),
    ).finally(letGo)
    c.get('guest')?.pass?.bring(text)
    try {
      return parseJson(text)
    } catch (cause) {
      throw new Failure('bad-request', 'the body is not JSON', { cause })
    }
  }

  return app
}

function enter(uploads: Uploads, intake: Intake): MiddlewareHandler<Env> {
  return async (c, next) => {
    const from = c.env?.server?.requestIP(c.req.raw)
    const connection = from ? `${from.address} ${from.port}` : ''
    const leave = uploads.enter(connection)
    const host = from?.address ?? 'localhost'
    c.set('connection', connection)
    c.set('host', host)
    c.set('leave', leave)
    c.set('letGo', () => {})
    try {
      c.set('letGo', intake.host(host))
      await next()
    } finally {
      c.get('letGo')()
      leave()
    }
  }
}

/** `3,17,4` @throws {Failure} `bad-request` */
function parseWanted(list: string, unwanted: string | undefined, from = '0'): WantedPieces {
  if (list !== 'any') return { pieces: parseCandidates(list) }
  try {
    const bytes = Uint8Array.fromBase64(unwanted ?? '')
    if (bytes.length <= wireRules.bitmapBytes && /^\d{1,8}$/.test(from)) return { unwanted: bytes, from: Number(from) }
  } catch {
    // Told below, like a bitmap that is too long.
  }
  throw new Failure(
    'bad-request',
    `${headers.unwanted} is not a bitmap in base64, or ${headers.from} is not the index of a piece`,
  )
}

/** @throws {Failure} `cancelled` when the sender goes away in the middle, which is nobody's error here */
export async function textOf(request: Request): Promise<string> {
  try {
    return await request.text()
  } catch (cause) {
    throw new Failure('cancelled', 'the body broke off', { cause })
  }
}

export function parseCandidates(list: string): number[] {
  const parts = list.split(',')
  if (parts.length > wireRules.candidates) throw new Failure('bad-request', 'too many pieces are asked for at once')
  return parts.map((part) => {
    if (!/^\d{1,8}$/.test(part)) throw new Failure('bad-request', `"${part.slice(0, 20)}" is not the index of a piece`)
    return Number(part)
  })
}

/** `too-many` is 503 between nodes: busy now, and nobody's fault. */
export function render(
  failure: Failure,
  log: Log,
  guest: Guest | undefined,
  status = failure.code === 'too-many' ? 503 : failure.status,
): Response {
  if (failure.code === 'internal') log.error('a request of another node failed', { error: failure.cause ?? failure })
  const message = failure.code === 'internal' ? 'internal error' : failure.message
  const body = JSON.stringify({ code: failure.code, message })
  return new Response(body, {
    status,
    headers: {
      'content-type': 'application/json',
      ...(status === 503 && { 'retry-after': '1' }),
      ...sealed(guest, status, body),
    },
  })
}
