/** Replication over the admin port: what the API tells of it. */
import type { Hono } from 'hono'
import { z } from 'zod'
import type { Progress, Replicating } from '../replicate/progress.ts'

const count = z.number().int().min(0)
const time = z.iso.datetime()

export const replicationSchema = z.object({
  /** One for each --replicate of this node. */
  rules: z.array(
    z.object({
      pattern: z.string(),
      target: z.string(),
      deletes: z.boolean(),
      /** Tags and manifests that are not there yet. */
      waiting: count,
      /** How long the oldest of them waits; 0 where everything is there. */
      lagSeconds: z.number().min(0),
      /** The oldest of them, and why they were not copied when that was tried last. */
      oldest: z.array(
        z.object({
          /** `apps.corp/team/app:v1` */
          what: z.string(),
          since: time,
          nextTry: time,
          tries: count,
          lastError: z.string().optional(),
        }),
      ),
    }),
  ),
})
export type ReplicationFacts = z.infer<typeof replicationSchema>

/** `replication`: absent where nothing is copied. */
export function replicationRoutes(app: Hono, replication: Replicating | undefined): void {
  app.get('/api/v1/replication', async (c) => {
    const rules = ((await replication?.progress()) ?? []).map(ruleFacts)
    return c.json({ rules } satisfies ReplicationFacts)
  })
}

function ruleFacts({ lagMs, oldest, ...rule }: Progress): ReplicationFacts['rules'][number] {
  const iso = (at: number) => new Date(at).toISOString()
  return {
    ...rule,
    lagSeconds: Math.round(lagMs / 100) / 10,
    oldest: oldest.map(({ addedAt, dueAt, ...waiting }) => ({ ...waiting, since: iso(addedAt), nextTry: iso(dueAt) })),
  }
}
