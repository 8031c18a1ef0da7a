/**
 * What a node is to Harbor and to registries that tell of pushes: a preheat provider of either kind that Harbor knows, and
 * a receiver of notifications. Part of the admin port, with its token; other ways to show it than on the rest of that port
 * are those that Harbor has.
 */
import { type Context, Hono } from 'hono'
import { z } from 'zod'
import type { Secret } from '../config/secret.ts'
import { Failure } from '../failure.ts'
import { parseJson } from '../json.ts'
import { parseRegistry } from '../oci/reference.ts'
import type { Preheats } from '../preheat/preheats.ts'
import type { Log } from '../telemetry/log.ts'
import { mayCall, tokenHeader } from './caller.ts'
import { answerOf, jobSchema, requestOf } from './dragonfly.ts'
import { pushesIn } from './events.ts'
import type { Names } from './images.ts'

export interface HarborParts {
  readonly preheats: Pick<Preheats, 'start' | 'find'>
  readonly names: Names
  /** Why the node cannot serve; empty when it can. */
  readonly notReady: () => readonly string[]
  /** Where a node is, for reports. */
  readonly addressOf: (node: string) => string | undefined
  readonly token?: Secret
  readonly log: Log
}

/** Of one job: a registry that was out of touch may send what it owes all at once. */
const mostImages = 100

const notificationQuery = z.object({
  /** How hosts name the registry, where it does not know that itself. */
  registry: z.string().max(255).optional(),
  scope: z.enum(['seeds', 'all']).default('seeds'),
})

export function harbor({ preheats, names, notReady, addressOf, token, log }: HarborParts): Hono {
  const app = new Hono()
  const guarded = async (c: Context, work: () => Promise<Response> | Response): Promise<Response> => {
    if (mayCall(c.req.raw.headers, token)) return work()
    const message = `this port wants its token (--admin-token-file): as a bearer token, as the password of any user, or as the header ${tokenHeader}`
    return c.json({ error: { code: 'unauthorized', message } }, 401, { 'www-authenticate': 'Bearer' })
  }

  // Who may not order anything is not told that all is well: Harbor's "test connection" finds a wrong token.
  const health = (c: Context) =>
    guarded(c, () => {
      const reasons = notReady()
      return c.json({ ready: reasons.length === 0, reasons }, reasons.length === 0 ? 200 : 503)
    })
  app.get('/healthy', health)
  app.get('/health', health)

  app.post('/oapi/v1/jobs', (c) =>
    guarded(c, async () => {
      const job = jobSchema.safeParse(await bodyOf(c))
      if (!job.success) throw wrong(job.error)
      const request = requestOf(job.data, names)
      const started = await preheats.start(request)
      log.info('preheat ordered', { by: 'the Dragonfly API', id: started.id, what: started.request.what.join(' ') })
      return c.json(answerOf(started, addressOf))
    }),
  )
  app.get('/oapi/v1/jobs/:id', (c) =>
    guarded(c, async () => {
      const id = c.req.param('id')
      const job = /^\d{1,15}$/.test(id) ? await preheats.find(Number(id)) : undefined
      if (!job) throw new Failure('no-name', `there is no preheat ${id.slice(0, 20)}`)
      return c.json(answerOf(job, addressOf))
    }),
  )

  app.post('/registry/notifications', (c) =>
    guarded(c, async () => {
      const query = notificationQuery.safeParse(c.req.query())
      if (!query.success) throw wrong(query.error)
      const { registry, scope } = query.data
      const { images, unclear } = pushesIn(await bodyOf(c), names, registry && parseRegistry(registry))
      for (const reason of unclear) log.warn('a push cannot be warmed', { reason })
      const jobs: number[] = []
      for (let at = 0; at < images.length; at += mostImages) {
        const what = images.slice(at, at + mostImages).map(({ name }) => name)
        const started = await preheats.start({ what, platforms: 'all', target: { scope } })
        log.info('preheat ordered', { by: 'a notification', id: started.id, what: what.join(' ') })
        jobs.push(started.id)
      }
      // Registries send what was refused again and again, and all that follows only after it.
      return c.json({ jobs, images: images.map(({ name }) => name), unclear: unclear.length }, 202)
    }),
  )
  return app
}

/** @throws {Failure} `bad-request` */
async function bodyOf(c: Context): Promise<unknown> {
  const text = await c.req.text()
  try {
    return parseJson(text)
  } catch {
    throw new Failure('bad-request', 'expected a body of JSON')
  }
}

function wrong(error: z.ZodError): Failure {
  const [issue] = error.issues
  return new Failure('bad-request', `${issue?.path.join('.')}: ${issue?.message}`)
}
