/** Preheats over the admin port: what the API takes and tells, and its calls. */
import type { Hono } from 'hono'
import { z } from 'zod'
import { lifetime } from '../config/values.ts'
import { Failure } from '../failure.ts'
import { platformOf } from '../get/platform.ts'
import type { ListedPreheat, PreheatJob, PreheatRequest, Preheats } from '../preheat/preheats.ts'

const count = z.number().int().min(0)
const states = ['pending', 'running', 'done', 'failed', 'cancelled'] as const

export const preheatSchema = z.object({
  id: z.number().int().min(1),
  state: z.enum(states),
  /** Why it failed. */
  reason: z.string().optional(),
  what: z.array(z.string()),
  platforms: z.union([z.literal('all'), z.array(z.string())]),
  scope: z.enum(['seeds', 'all']),
  zone: z.string().optional(),
  share: z.number().optional(),
  /** For how long it is pinned from `createdAt` on; absent: not at all. */
  pinSeconds: count.optional(),
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
  /** Of all nodes that are known to take part so far. */
  bytes: count,
  total: count,
  /** How many nodes are how far. */
  counts: z.object({ pending: count, running: count, done: count, failed: count, cancelled: count }),
  /** Left out of lists. */
  nodes: z.array(
    z.object({
      node: z.string(),
      state: z.enum(states),
      bytes: count,
      /** Not known before the node has answered. */
      total: count.optional(),
      reason: z.string().optional(),
    }),
  ),
})
/** As it is in a list: a cluster has thousands of nodes. */
export const preheatSummarySchema = preheatSchema.omit({ nodes: true })
export type PreheatSummary = z.infer<typeof preheatSummarySchema>
export type PreheatFacts = z.infer<typeof preheatSchema>
export const preheatsSchema = z.object({ preheats: z.array(preheatSummarySchema) })

export function summaryFacts({ request, createdAt, updatedAt, counts, ...job }: ListedPreheat): PreheatSummary {
  const { target, pinMs, ...asked } = request
  return {
    ...job,
    counts: { ...counts },
    what: [...asked.what],
    platforms: asked.platforms === 'all' ? 'all' : [...asked.platforms],
    ...target,
    ...(pinMs === undefined ? {} : { pinSeconds: Math.round(pinMs / 1000) }),
    createdAt: new Date(createdAt).toISOString(),
    updatedAt: new Date(updatedAt).toISOString(),
  }
}

export function preheatFacts({ nodes, ...job }: PreheatJob): PreheatFacts {
  return { ...summaryFacts(job), nodes: [...nodes] }
}

/** What is wrong with names and figures is said by {@link Preheats.start}. */
const askedSchema = z.strictObject({
  what: z.array(z.string()),
  platforms: z.union([z.literal('all'), z.array(z.string())]).optional(),
  scope: z.enum(['seeds', 'all']).default('seeds'),
  zone: z.string().optional(),
  share: z.number().optional(),
  pin: lifetime.optional(),
  authorizations: z.record(z.string(), z.string()).optional(),
})
export type PreheatAsked = z.input<typeof askedSchema>

/** @throws {Failure} `bad-request` */
function requestOf(body: unknown): PreheatRequest {
  const parsed = askedSchema.safeParse(body)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new Failure('bad-request', `${issue?.path.join('.') || 'the body'}: ${issue?.message ?? 'malformed'}`)
  }
  const { what, platforms, scope, zone, share, pin, authorizations } = parsed.data
  return {
    what,
    // What engines on this node's host would run: an index may have ten times as much.
    platforms: platforms ?? [platformOf(process.arch)],
    target: { scope, ...(zone === undefined ? {} : { zone }), ...(share === undefined ? {} : { share }) },
    ...(pin === undefined ? {} : { pinMs: pin }),
    ...(authorizations === undefined ? {} : { authorizations }),
  }
}

const listQuery = z.object({ limit: z.coerce.number().int().min(1).max(1000).default(50) })

export function preheatRoutes(app: Hono, preheats: Preheats): void {
  app.post('/api/v1/preheats', async (c) => {
    const body: unknown = await c.req.json().catch(() => {
      throw new Failure('bad-request', 'the body is not JSON; expected {"what": ["debian:13"], "scope": "all"}')
    })
    const facts = preheatFacts(await preheats.start(requestOf(body)))
    return c.json(facts, 202, { location: `/api/v1/preheats/${facts.id}` })
  })
  app.get('/api/v1/preheats', async (c) => {
    const query = listQuery.safeParse(c.req.query())
    if (!query.success) throw new Failure('bad-request', 'limit: expected a number from 1 to 1000')
    const jobs = await preheats.list(query.data.limit)
    return c.json({ preheats: jobs.map(summaryFacts) })
  })
  app.get('/api/v1/preheats/:id', async (c) => {
    const id = idOf(c.req.param('id'))
    const job = await preheats.find(id)
    if (!job) throw new Failure('no-name', `${unknown(id)}; GET /api/v1/preheats lists those there are`)
    return c.json(preheatFacts(job))
  })
  app.delete('/api/v1/preheats/:id', async (c) => {
    const id = idOf(c.req.param('id'))
    if (await preheats.cancel(id)) return c.body(null, 204)
    throw new Failure('no-name', `${unknown(id)}, or it is over and nothing is pinned for it any more`)
  })
}

/** A scheduler that is away may have it, whose jobs nobody else knows. */
const unknown = (id: number) => `this node knows of no preheat ${id} at present`

/** @throws {Failure} `bad-request` */
function idOf(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text)
  throw new Failure('bad-request', `"${text.slice(0, 40)}" is not the number of a preheat`)
}
