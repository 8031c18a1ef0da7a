/** The admin port: health, metrics and the API. Everything it tells comes from a {@link NodeView}. */
import type { Server } from 'bun'
import { type Context, Hono } from 'hono'
import { bearerAuth } from 'hono/bearer-auth'
import { HTTPException } from 'hono/http-exception'
import { z } from 'zod'
import { nodeIdSchema } from '../cluster/node-info.ts'
import type { Secret } from '../config/secret.ts'
import { duration, lifetime } from '../config/values.ts'
import { Failure } from '../failure.ts'
import type { OwnBinary } from '../install/own-binary.ts'
import { type Address, listen } from '../listen.ts'
import { parseDigest } from '../oci/digest.ts'
import { type Log, logLevels } from '../telemetry/log.ts'
import { longestMs } from '../telemetry/log-level.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { homeRoutes } from './home.ts'
import { installer } from './installer.ts'
import { foreign } from './pages.ts'
import { preheatRoutes } from './preheats.ts'
import { replicationRoutes } from './replication.ts'
import { tagRoutes } from './tags.ts'
import { historySpans, type NodeView } from './view.ts'

export interface AdminOptions {
  /** Asked as a bearer token of all but health checks; absent: nobody is asked. */
  readonly token?: Secret
  /** What other hosts can be given; absent: nothing. */
  readonly binary?: OwnBinary
  /** Pages that tell nothing of the node by themselves: for anybody. */
  readonly pages?: Hono
  /** Calls of other programs, which have ways of their own to show the token. */
  readonly provider?: Hono
  readonly log: Log
}

const blobQuery = z.object({
  filter: z.string().max(256).optional(),
  state: z.enum(['complete', 'partial']).optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  offset: z.coerce.number().int().min(0).default(0),
})

/** Bytes that the store may hold. */
const evictionQuery = z.object({ to: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional() })

const historyQuery = z.object({ span: z.enum(historySpans).default('30m') })

const pinQuery = z.object({ for: lifetime.optional() })

const levelQuery = z.object({
  level: z.enum(logLevels),
  for: duration
    .refine((ms) => ms > 0 && ms <= longestMs, 'expected more than nothing and a day at most: 10m')
    .optional(),
})

export function createAdmin(view: NodeView, metrics: Pick<Metrics, 'registry'>, options: AdminOptions): Hono {
  const app = new Hono()

  app.use(async (c, next) => {
    const { method } = c.req
    const [host, origin, site] = ['host', 'origin', 'sec-fetch-site'].map((name) => c.req.header(name))
    const message = foreign({ method, host, origin, site }, options.token !== undefined)
    return message === undefined ? next() : c.json({ error: { code: 'foreign', message } }, 403)
  })
  app.get('/healthz', (c) => c.json({ status: 'alive' }))
  app.get('/readyz', (c) => {
    const { notReady: reasons, store, state } = view.node()
    const ready = reasons.length === 0
    // It serves without its store as well; which blob it could not keep is not for whoever asks here.
    const warnings = [
      ...(store.trouble === undefined ? [] : ['the store cannot keep what comes; `shoal status` says why']),
      ...(state?.trouble === undefined ? [] : ['the state of the cluster is out of reach; `shoal status` says why']),
    ]
    return c.json({ ready, reasons, ...(warnings.length > 0 ? { warnings } : {}) }, ready ? 200 : 503)
  })

  if (options.pages) app.route('/', options.pages)

  if (options.provider) app.route('/', options.provider)

  const offered = installer(view, options.binary)
  app.use('/shoal', offered.byKey)

  // Those above are for whoever restarts and balances nodes, and give nothing away; all below wants the token.
  if (options.token !== undefined) {
    const refusal = (message: string) => ({ error: { code: 'unauthorized', message } })
    app.use(
      bearerAuth({
        token: options.token.reveal(),
        noAuthenticationHeader: { message: refusal('this port wants a bearer token; see --admin-token-file') },
        invalidAuthenticationHeader: { message: refusal('expected the header "Authorization: Bearer <token>"') },
        invalidToken: { message: refusal('that is not the token in the file that --admin-token-file names') },
      }),
    )
  }

  app.get('/metrics', async (c) => {
    view.beforeMetrics?.()
    return c.body(await metrics.registry.metrics(), 200, { 'content-type': metrics.registry.contentType })
  })
  app.get('/api/v1/node', (c) => c.json(view.node()))
  app.get('/api/v1/members', (c) => c.json({ members: view.members() }))
  app.get('/api/v1/blobs', (c) => {
    const query = queryOf(c, blobQuery)
    const { filter, state, limit, offset } = query
    return c.json(view.blobs({ limit, offset, ...(filter ? { filter } : {}), ...(state ? { state } : {}) }))
  })
  app.get('/api/v1/blobs/:digest', (c) => {
    const digest = parseDigest(c.req.param('digest'))
    const blob = view.blob(digest)
    if (!blob) throw notHere(digest)
    return c.json(blob)
  })
  app.delete('/api/v1/blobs/:digest', async (c) => {
    const digest = parseDigest(c.req.param('digest'))
    if (!(await view.removeBlob(digest))) throw notHere(digest)
    const inUse = view.blob(digest) !== undefined
    options.log.info('blob removed through the admin port', { digest, inUse })
    return inUse ? c.json({ removed: 'when nobody reads or fetches it any more' }, 202) : c.body(null, 204)
  })
  app.get('/api/v1/pins', (c) => c.json({ pins: view.pins() }))
  app.get('/api/v1/blobs/:name/pin', (c) => {
    const name = c.req.param('name')
    const pins = view.pins(name)
    if (pins.length === 0) throw notPinned(name)
    return c.json({ pins })
  })
  app.put('/api/v1/blobs/:name/pin', async (c) => {
    const query = queryOf(c, pinQuery)
    const pinned = await view.pin(c.req.param('name'), query.for)
    options.log.info('pinned through the admin port', { ...pinned })
    return c.json({ pins: [pinned] })
  })
  app.delete('/api/v1/blobs/:name/pin', (c) => {
    const name = c.req.param('name')
    if (!view.unpin(name)) throw notPinned(name)
    options.log.info('unpinned through the admin port', { name })
    return c.body(null, 204)
  })
  const eviction = async (c: Context, carryOut: boolean) => {
    const query = queryOf(c, evictionQuery)
    return c.json(await view.evict(query.to, carryOut))
  }
  app.get('/api/v1/eviction', (c) => eviction(c, false))
  app.post('/api/v1/eviction', (c) => eviction(c, true))
  preheatRoutes(app, view.preheats)
  replicationRoutes(app, view.replication)
  app.route(
    '/api/v1/tags',
    tagRoutes(() => view.tags),
  )
  homeRoutes(app, view.keeping)
  app.get('/api/v1/transfers', (c) => c.json(view.transfers()))
  app.get('/api/v1/swarms', (c) => c.json({ swarms: view.swarms() }))
  app.get('/api/v1/layers', (c) => c.json(view.layers()))
  app.get('/api/v1/mounts', (c) => c.json(view.mounted()))
  app.get('/api/v1/history', async (c) => {
    const query = queryOf(c, historyQuery)
    return c.json(await view.history(query.span))
  })
  app.get('/api/v1/cluster', async (c) => c.json(await view.cluster()))
  app.get('/api/v1/cluster/history', async (c) => {
    const query = queryOf(c, historyQuery)
    return c.json(await view.clusterHistory(query.span))
  })
  app.get('/api/v1/faults', async (c) => c.json(await view.faults()))
  app.get('/api/v1/bans', (c) => c.json({ bans: view.bans() }))
  app.delete('/api/v1/bans/:node', (c) => {
    const node = nodeIdSchema.safeParse(c.req.param('node'))
    if (!node.success)
      throw new Failure('bad-request', 'that is no node id; GET /api/v1/bans lists those that are banned')
    if (!view.liftBan(node.data)) throw new Failure('no-name', `${node.data} is not banned by this node`)
    return c.body(null, 204)
  })

  app.get('/api/v1/log-level', (c) => c.json(view.logLevel()))
  app.put('/api/v1/log-level', (c) => {
    const query = queryOf(c, levelQuery)
    return c.json(view.setLogLevel(query.level, query.for))
  })

  offered.offer(app)

  app.notFound((c) =>
    c.json({ error: { code: 'no-route', message: `${c.req.method} ${c.req.path} is not part of this API` } }, 404),
  )
  app.onError((error) => {
    if (error instanceof HTTPException) return error.getResponse()
    const failure = Failure.from(error)
    if (failure.status >= 500) options.log.error('admin request failed', { error })
    const { code, message, status } = failure
    return Response.json({ error: { code, message } }, { status })
  })
  return app
}

/** @throws {Failure} `bad-request` */
function queryOf<T>(c: Context, schema: z.ZodType<T>): T {
  const query = schema.safeParse(c.req.query())
  if (query.success) return query.data
  const [issue] = query.error.issues
  throw new Failure('bad-request', `${issue?.path.join('.')}: ${issue?.message}`)
}

function notHere(digest: string): Failure {
  return new Failure('no-blob', `this node does not have ${digest}`)
}

function notPinned(name: string): Failure {
  return new Failure('no-name', `nothing is pinned by the name ${name.slice(0, 300)}; GET /api/v1/pins lists what is`)
}

export interface AdminServer {
  /** With the port the kernel chose, if it was to. */
  readonly address: Address
  /** Answers at another address as well, within the same limits. @throws {ListenError} */
  also(address: Address): void
  /** Gives up connections that rest between requests. */
  closeIdle(): void
  close(): Promise<void>
}

export interface AdminLimits {
  /** Requests under way, answers that nobody takes included: these are of megabytes where there are many blobs. */
  readonly requests: number
  /** A client that neither asks nor takes anything for this long is cut, seconds. */
  readonly idleSeconds: number
  /** No call has a longer body. */
  readonly bodyBytes: number
}

export const adminLimits: AdminLimits = { requests: 128, idleSeconds: 10, bodyBytes: 256 * 1024 }

/** @throws {ListenError} when the address cannot be had */
export function serveAdmin(
  app: { fetch(request: Request): Response | Promise<Response> },
  address: Address,
  limits = adminLimits,
): AdminServer {
  /** One for each address. */
  const servers: Server<undefined>[] = []
  const underWay = () => servers.reduce((sum, { pendingRequests }) => sum + pendingRequests, 0)
  const open = ({ host, port }: Address): Address => {
    const server = listen({ host, port }, '--admin-addr', () =>
      Bun.serve({
        hostname: host,
        port,
        maxRequestBodySize: limits.bodyBytes,
        idleTimeout: limits.idleSeconds,
        async fetch(request, server) {
          if (underWay() > limits.requests) return busy()
          // That an answer takes long is no rest of its client. Bun knows that of requests with a body, once that has come.
          if (request.body !== null) return app.fetch(request)
          server.timeout(request, 0)
          try {
            return await app.fetch(request)
          } finally {
            server.timeout(request, limits.idleSeconds)
          }
        },
      }),
    )
    servers.push(server)
    return { host, port: server.port ?? port }
  }
  return {
    address: open(address),
    also: (address) => void open(address),
    closeIdle() {
      for (const server of servers) server.closeIdleConnections()
    },
    async close() {
      await Promise.all(servers.map((server) => server.stop(true)))
    },
  }
}

function busy(): Response {
  const message = 'too many requests are under way on this port'
  return Response.json(
    { error: { code: 'too-many', message } },
    { status: 503, headers: { 'retry-after': '1', connection: 'close' } },
  )
}
