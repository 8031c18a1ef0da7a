/**
 * What other nodes may ask over HTTP. Every request is admitted first, is capped in size and time, and a refusal is a
 * {@link Failure} in JSON, so that the asking side throws the same one. Announces and questions for parents are in
 * `control.ts`, and pieces in `piece-desk.ts`.
 */
import type { Server } from 'bun'
import { type Context, Hono, type MiddlewareHandler } from 'hono'
import type { z } from 'zod'
import type { Clock } from '../clock.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { Refusal } from '../cluster/tickets.ts'
import { Failure } from '../failure.ts'
import { parseJson } from '../json.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { type Admit, type Guest, sealed } from './admission.ts'
import type { Calls } from './calls.ts'
import { deadline } from './deadline.ts'
import type { Intake } from './intake.ts'
import { fetchOrderSchema, parse, resolveSchema } from './messages.ts'
import { headers, routes, wireRules } from './rules.ts'
import type { SocketData } from './sockets.ts'
import type { Uploads } from './uploads.ts'
import type { Inbound } from './wire.ts'

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
  Variables: { host: string; guest: Guest | undefined }
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
  app.post(routes.fetch, async (c) => {
    ready().order(await read(c, fetchOrderSchema))
    return c.body(null, 202, sealed(c.get('guest'), 202, ''))
  })
  app.post(routes.resolve, async (c) => {
    return answer(c, await ready().resolve(await read(c, resolveSchema)))
  })

  app.post('/shoal/v1/:call', async (c, next) => {
    const name = c.req.param('call')
    if (!options.calls?.knows(name)) return next()
    ready()
    return answer(c, await options.calls.answer(name, await readJson(c), c.get('guest')?.sender))
  })

  function answer(c: Context<Env>, value: object): Response {
    const reply = JSON.stringify(value)
    return c.body(reply, 200, { 'content-type': 'application/json', ...sealed(c.get('guest'), 200, reply) })
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
    const host = c.env?.server?.requestIP(c.req.raw)?.address ?? 'localhost'
    // Who sends files counts the requests that send none.
    const leave = uploads.enter('')
    let letGo = () => {}
    c.set('host', host)
    try {
      letGo = intake.host(host)
      await next()
    } finally {
      letGo()
      leave()
    }
  }
}

/** @throws {Failure} `cancelled` when the sender goes away in the middle, which is nobody's error here */
export async function textOf(request: Request): Promise<string> {
  try {
    return await request.text()
  } catch (cause) {
    throw new Failure('cancelled', 'the body broke off', { cause })
  }
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
