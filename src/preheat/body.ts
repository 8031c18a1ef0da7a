/**
 * A preheat as it is kept in the cluster's state: what was asked, what the names turned out to mean, how far each node is.
 * Read with care: another version of shoal may have written it. What was lent with the request is not among it.
 */
import { z } from 'zod'
import { nodeIdSchema } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { isPlatform } from '../get/platform.ts'
import { digestOf, hexOf } from '../oci/digest.ts'
import { digestSchema as digest } from '../oci/schemas.ts'
import { plainText } from '../printable.ts'
import type { Job } from '../state/state.ts'
import { canonical, type Root, repositoryOfName } from './parts.ts'
import type { PreheatJob, PreheatNode, PreheatRequest, Progress } from './preheats.ts'

export const jobKind = 'preheat'
const mostNames = 100
const mostPlatforms = 32
const longestName = 2048
const leastPinMs = 60_000
const mostPinMs = 10 * 365 * 86_400_000

const amount = z.number().int().min(0)
export const stateSchema = z.enum(['pending', 'running', 'done', 'failed', 'cancelled'])

export const nodeSchema = z.object({
  node: nodeIdSchema,
  state: stateSchema,
  bytes: amount,
  total: amount.exactOptional(),
  reason: plainText().exactOptional(),
})

const platform = z
  .string()
  .refine((text) => text !== 'all' && isPlatform(text), 'expected linux/amd64, linux/arm/v7 or the like')

/** What is asked for, without what was lent. */
export const requestSchema = z.object({
  what: z.array(z.string().min(1).max(longestName)).min(1).max(mostNames),
  platforms: z.union([z.literal('all'), z.array(platform).min(1).max(mostPlatforms)]),
  target: z.object({
    scope: z.enum(['seeds', 'all']),
    zone: z.string().min(1).max(128).exactOptional(),
    share: z.number().gt(0).max(1).exactOptional(),
  }),
  pinMs: z.number().int().min(leastPinMs).max(mostPinMs).exactOptional(),
})
export type Request = z.infer<typeof requestSchema>

const bodySchema = z.object({
  request: requestSchema,
  /** Until when all is pinned, wall ms. */
  until: amount.exactOptional(),
  /** Credentials came with the request. */
  lent: z.literal(true).exactOptional(),
  roots: z
    .array(z.object({ name: z.string(), kind: z.enum(['manifest', 'blob']), digest, size: amount }))
    .exactOptional(),
  nodes: z.array(nodeSchema),
})
export type Body = z.infer<typeof bodySchema>

/** What was asked for, in one form. @throws {Failure} `bad-request` and the like, with the name that is none */
export function checked({ authorizations: _, ...asked }: PreheatRequest): Request {
  const parsed = requestSchema.safeParse(asked)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new Failure('bad-request', `${issue?.path.join('.') || 'the request'}: ${issue?.message ?? 'malformed'}`)
  }
  const { what, platforms, ...rest } = parsed.data
  return {
    ...rest,
    what: [...new Set(what.map(canonical))].sort(),
    platforms: platforms === 'all' ? platforms : [...new Set(platforms)].sort(),
  }
}

/** The same for who asks for the same. */
export function keyOf({ what, platforms, target, pinMs }: Omit<PreheatRequest, 'authorizations'>): string {
  const { scope, zone, share } = target
  const said = JSON.stringify([what, platforms, scope, zone ?? '', share ?? 1, pinMs ?? 0])
  return hexOf(digestOf(Buffer.from(said)))
}

/** Names the content alone: a share of the nodes is the same share for whoever asks. */
export function contentKey({ what }: Request): string {
  return what.join(' ')
}

/** @throws {Failure} `internal` for what this version cannot read */
export function bodyOf({ id, body }: Pick<Job, 'id' | 'body'>): Body {
  const parsed = bodySchema.safeParse(body)
  if (parsed.success) return parsed.data
  throw new Failure('internal', `preheat ${id} was recorded by another version of shoal, in a form unknown to this one`)
}

export function rootsOf({ roots }: Body): Root[] | undefined {
  return roots?.map((root) => ({ ...root, repository: repositoryOfName(root.name) }))
}

/** What its pins are for, on every node: no two jobs of any cluster share it. */
export function nameOfJob({ id, createdAt }: Pick<Job, 'id' | 'createdAt'>): string {
  return `preheat ${id} of ${new Date(createdAt).toISOString()}`
}

/** As whoever asks is told. */
export function told(job: Job): PreheatJob {
  const { id, state, reason, createdAt, updatedAt } = job
  const { request, nodes } = bodyOf(job)
  const head = { id, state, ...(reason === undefined ? {} : { reason }), request, createdAt, updatedAt }
  return { ...head, ...progressOf(nodes), nodes }
}

export function progressOf(nodes: readonly PreheatNode[]): Progress {
  const counts = { pending: 0, running: 0, done: 0, failed: 0, cancelled: 0 }
  let [here, all] = [0, 0]
  for (const { state, bytes, total = 0 } of nodes) {
    counts[state]++
    here += bytes
    all += total
  }
  return { bytes: here, total: all, counts }
}
