/** What a node asks the seeds that keep a repository of the cluster's own. They answer from what they know themselves. */
import { z } from 'zod'
import type { Repository, Tag } from '../oci/reference.ts'
import { digestSchema as digest } from '../oci/schemas.ts'
import { mostBlobBytes } from '../piece/layout.ts'
import type { Location, Resolved, Stat } from '../source/source.ts'
import type { Call } from '../wire/calls.ts'
import { locationSchema, repositorySchema, tagSchema } from '../wire/messages.ts'

const mediaType = z.string().max(255)
const size = z.number().int().min(0).max(mostBlobBytes)

/** Backends may have to be asked for the answer, which takes longer than between nodes. */
const deadlineMs = 15_000

export const askTag: Call<{ repository: Repository; tag: Tag }, Resolved> = {
  name: 'home-tag',
  request: z.object({ repository: repositorySchema, tag: tagSchema }),
  reply: z.object({ digest, mediaType, size }),
  deadlineMs,
}

export const askContent: Call<Location, Stat> = {
  name: 'home-content',
  request: locationSchema,
  reply: z.object({ mediaType, size }),
  deadlineMs,
}

/** Whether the seed has all bytes of it in its own store, whatever the state says. */
export const askHeld: Call<Location, { readonly whole: boolean }> = {
  name: 'home-held',
  request: locationSchema,
  reply: z.object({ whole: z.boolean() }),
  deadlineMs: 5_000,
}

/** A list as the registry API has it. */
export interface ListReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export const askList: Call<{ repository: Repository; path: string; search: string }, ListReply> = {
  name: 'home-list',
  request: z.object({
    repository: repositorySchema,
    path: z.string().regex(/^(?:tags\/list|referrers\/sha(?:256|512):[0-9a-f]{64,128})$/),
    search: z.string().max(2048),
  }),
  reply: z.object({
    status: z.number().int().min(200).max(599),
    headers: z.record(z.string().max(64), z.string().max(2048)),
    body: z.string(),
  }),
  deadlineMs,
}
