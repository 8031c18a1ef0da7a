/** The index of tags over the admin port: what tags point to, pointed to, and since when. */
import { type Context, Hono } from 'hono'
import { z } from 'zod'
import { Failure } from '../failure.ts'
import { formatReference, formatRepository, parseTag, type Repository, repositoryOfRequest } from '../oci/reference.ts'
import type { TagEntry, TagIndex } from '../state/state.ts'

const time = z.iso.datetime()

export const tagEntrySchema = z.object({
  /** Absent: from then on there was no such tag. */
  digest: z.string().optional(),
  mediaType: z.string(),
  size: z.number().int().min(0),
  /** From when on it pointed there. */
  at: time,
  /** When somebody said so last. */
  seenAt: time,
  /** The node that asked the source, or the uploader. */
  by: z.string(),
})
export type TagEntryFacts = z.infer<typeof tagEntrySchema>
export const tagSchema = tagEntrySchema.extend({ tag: z.string() })
/** `next`: where the next page begins, as `after`. */
export const tagPageSchema = z.object({ repository: z.string(), tags: z.array(tagSchema), next: z.string().optional() })
export type TagPage = z.infer<typeof tagPageSchema>
export const tagHistorySchema = z.object({ history: z.array(tagEntrySchema) })
export const tagRepositoriesSchema = z.object({ repositories: z.array(z.string()), next: z.string().optional() })

const pageQuery = z.object({
  after: z.string().max(2400).optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
})
const atQuery = z.object({ at: time.optional() })

/** Undefined on nodes that keep no tags. */
export function tagRoutes(index: () => TagIndex | undefined): Hono {
  const app = new Hono()
  const tags = (): TagIndex => {
    const found = index()
    if (found) return found
    throw new Failure('no-name', 'this node keeps no tags: ask a seed or a scheduler, or give it --state')
  }
  app.get('/', async (c) => {
    const { after, limit } = queryOf(c, pageQuery)
    const found = (await tags().repositories(pageOf(after, limit))).map(formatRepository)
    return c.json({ repositories: found, ...next(found, limit) })
  })
  app.get('/:repository', async (c) => {
    const repository = repositoryIn(c)
    const { after, limit } = queryOf(c, pageQuery)
    const names = await tags().list(repository, pageOf(after, limit))
    const entries = await Promise.all(names.map((tag) => tags().get(repository, tag)))
    const found = names.flatMap((tag, i) => (entries[i] ? [{ tag, ...entryFacts(entries[i]) }] : []))
    return c.json({ repository: formatRepository(repository), tags: found, ...next(names, limit) })
  })
  app.get('/:repository/:tag', async (c) => {
    const [repository, tag] = [repositoryIn(c), parseTag(c.req.param('tag'))]
    const { at } = queryOf(c, atQuery)
    const entry =
      at === undefined ? await tags().get(repository, tag) : await tags().at(repository, tag, Date.parse(at))
    if (entry?.digest) return c.json({ tag, ...entryFacts(entry) })
    const when = at === undefined ? '' : ` at ${at}`
    throw new Failure('no-manifest', `nothing is known of ${formatReference({ ...repository, tag })}${when}`)
  })
  app.get('/:repository/:tag/history', async (c) => {
    const [repository, tag] = [repositoryIn(c), parseTag(c.req.param('tag'))]
    const { limit } = queryOf(c, pageQuery)
    return c.json({ history: (await tags().history(repository, tag, limit)).map(entryFacts) })
  })
  return app
}

function entryFacts({ at, seenAt = at, ...entry }: TagEntry): TagEntryFacts {
  return { ...entry, at: new Date(at).toISOString(), seenAt: new Date(seenAt).toISOString() }
}

function pageOf(after: string | undefined, limit: number) {
  return { limit, ...(after === undefined ? {} : { after }) }
}

function next(found: readonly string[], limit: number): { next?: string } {
  return found.length === limit ? { next: found[limit - 1]! } : {}
}

/** @throws {Failure} `bad-name` */
function repositoryIn(c: Context): Repository {
  return repositoryOfRequest(c.req.param('repository') ?? '', undefined)
}

/** @throws {Failure} `bad-request` */
function queryOf<T>(c: Context, schema: z.ZodType<T>): T {
  const query = schema.safeParse(c.req.query())
  if (query.success) return query.data
  const [issue] = query.error.issues
  throw new Failure('bad-request', `${issue?.path.join('.')}: ${issue?.message}`)
}
