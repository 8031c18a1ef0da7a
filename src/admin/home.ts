/** What the admin port tells of repositories of the cluster's own: where they are kept, and what is owed to there. */
import type { Hono } from 'hono'
import { z } from 'zod'
import { homeWrites } from '../config/settings.ts'
import type { KeepingFacts } from '../home/keeping.ts'

const count = z.number().int().min(0)
const time = z.iso.datetime()

export const homeSchema = z.object({
  /** The first pattern that matches a repository counts; `backend` is absent where seeds' stores are all there is. */
  homes: z.array(z.object({ pattern: z.string(), backend: z.string().optional(), writable: z.boolean().optional() })),
  write: z.enum(homeWrites),
  /** Blobs, manifests and tags that a backend does not have yet, and since when the oldest waits. */
  waiting: count,
  oldestAt: time.optional(),
  /** The oldest hundred. */
  owed: z.array(z.object({ what: z.string(), tries: count, dueAt: time, error: z.string().optional() })),
})
export type HomeFacts = z.infer<typeof homeSchema>

export function homeFacts({ homes, mode, waiting, oldestAt, some }: KeepingFacts): HomeFacts {
  const iso = (at: number) => new Date(at).toISOString()
  return {
    homes: homes.map((home) => ({ ...home })),
    write: mode,
    waiting,
    ...(oldestAt === undefined ? {} : { oldestAt: iso(oldestAt) }),
    owed: some.map(({ dueAt, ...owed }) => ({ ...owed, dueAt: iso(dueAt) })),
  }
}

export interface KeepingView {
  facts(): Promise<KeepingFacts>
}

export function homeRoutes(app: Hono, keeping: KeepingView): void {
  app.get('/api/v1/home', async (c) => c.json(homeFacts(await keeping.facts())))
}
