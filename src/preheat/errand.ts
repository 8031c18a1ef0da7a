/**
 * Bring this in the background, and keep it until then; how far is it?; leave it. Whoever runs a preheat says so to each
 * node that shall have something, and asks again until it has.
 */
import { z } from 'zod'
import { mostBlobBytes } from '../piece/layout.ts'
import { plainText } from '../printable.ts'
import type { Call } from '../wire/calls.ts'
import { locationSchema } from '../wire/messages.ts'

/** Of one errand. A list of that many fits into a body with room to spare. */
export const mostParts = 6000
const mostRepositories = 128
/** What somebody wants kept for longer, an operator pins. */
const latest = Date.UTC(2200, 0)

const { kind, digest, repository } = locationSchema.shape
const amount = z.number().int().min(0)
const part = z.object({ kind, digest, size: amount.max(mostBlobBytes) })

const requestSchema = z.object({
  /** Names it, and is what its pins are for. The same job never has two lists. */
  job: z.string().regex(/^preheat [\w:. -]{1,80}$/),
  /** Absent: only tell how far it is. */
  content: z
    .array(z.object({ repository, parts: z.array(part).max(mostParts) }))
    .max(mostRepositories)
    .refine((all) => all.reduce((sum, { parts }) => sum + parts.length, 0) <= mostParts, `more than ${mostParts} parts`)
    .exactOptional(),
  /** All of it is pinned until then, wall ms. */
  until: amount.max(latest).exactOptional(),
  /** Nobody wants it any more: what is under way stops, and nothing of it is pinned. */
  over: z.literal(true).exactOptional(),
})
export type Errand = z.infer<typeof requestSchema>

const replySchema = z.object({
  /** `unknown`: the node was not told, or has forgotten it since. */
  state: z.enum(['unknown', 'running', 'done', 'failed', 'cancelled']),
  /** Of those that are to be here, bytes that are, and all. */
  bytes: amount,
  total: amount,
  /** Why it failed. */
  code: z.string().max(64).exactOptional(),
  message: plainText(512).exactOptional(),
})
export type ErrandReply = z.infer<typeof replySchema>

export const errandCall: Call<Errand, ErrandReply> = { name: 'errand', request: requestSchema, reply: replySchema }
