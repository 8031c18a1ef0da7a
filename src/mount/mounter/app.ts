/** The mounter's API over HTTP; see `api.ts` for what goes over it. */
import { Hono } from 'hono'
import { z } from 'zod'
import { Failure } from '../../failure.ts'
import { repositoryOfRequest } from '../../oci/reference.ts'
import type { Log } from '../../telemetry/log.ts'
import {
  apiVersion,
  foldersRequestSchema,
  type LayersFacts,
  layerRequestSchema,
  type MounterFacts,
  type MountsFacts,
  mountRequestSchema,
  versionHeader,
} from './api.ts'
import type { Layers } from './layers.ts'
import type { Mounts } from './mounts.ts'

export interface AppInit {
  readonly layers: Layers
  readonly mounts: Mounts
  readonly facts: () => MounterFacts
  /** Becomes the program that is installed now; resolves when that is about to happen. */
  readonly upgrade: () => Promise<void>
  readonly log: Log
}

export function mounterApp({ layers, mounts, facts, upgrade, log }: AppInit): Hono {
  const app = new Hono()
  app.use(async (c, next) => {
    await next()
    c.header(versionHeader, String(apiVersion))
  })
  app.onError((error, c) => {
    const failure = error instanceof z.ZodError ? new Failure('bad-request', sentenceOf(error)) : Failure.from(error)
    if (failure.code === 'internal') log.error('a request failed', { path: c.req.path, error: failure.message })
    c.header(versionHeader, String(apiVersion))
    return c.json({ error: failure.message }, failure.status as 400)
  })
  app.notFound((c) => c.json({ error: `this mounter (version ${apiVersion} of its API) has no ${c.req.path}` }, 404))

  app.get('/v1', (c) => c.json(facts()))
  app.post('/v1/layers', async (c) => {
    const { node, repository, size, holder, ...rest } = layerRequestSchema.parse(await bodyOf(c.req.raw))
    const spec = {
      ...rest,
      node: node.admin === undefined ? { registry: node.registry } : { registry: node.registry, admin: node.admin },
      repository: repositoryOfRequest(repository, undefined),
      compressedSize: size,
    }
    return c.json(await layers.hold(spec, holder))
  })
  app.get('/v1/layers', (c) => c.json({ layers: layers.facts() } satisfies LayersFacts))
  app.get('/v1/layers/:id', (c) => c.json(layers.fact(c.req.param('id'))))
  app.post('/v1/layers/:id/folders', async (c) => {
    const wanted = foldersRequestSchema.parse(await bodyOf(c.req.raw))
    return c.json({ made: await layers.makeFolders(c.req.param('id'), wanted) })
  })
  app.delete('/v1/layers/:id', async (c) => {
    const holder = c.req.query('holder')
    if (!holder) throw new Failure('bad-request', 'which holder lets go of the layer? ?holder=NAME')
    await layers.release(c.req.param('id'), holder, c.req.query('discard') !== undefined)
    return c.body(null, 204)
  })
  app.post('/v1/mounts', async (c) => c.json(await mounts.add(mountRequestSchema.parse(await bodyOf(c.req.raw)))))
  app.get('/v1/mounts', (c) => c.json({ mounts: mounts.facts() } satisfies MountsFacts))
  app.delete('/v1/mounts', async (c) => {
    const dir = c.req.query('dir')
    if (!dir?.startsWith('/')) throw new Failure('bad-request', 'which mount? ?dir=/absolute/path')
    await mounts.remove(dir)
    return c.body(null, 204)
  })
  app.post('/v1/upgrade', async (c) => {
    await upgrade()
    return c.body(null, 202)
  })
  return app
}

/** `dir: expected an absolute path` */
function sentenceOf({ issues }: z.ZodError): string {
  return issues.map(({ path, message }) => `${path.join('.') || 'the request'}: ${message}`).join('; ')
}

const mostBody = 64 * 1024

async function bodyOf(request: Request): Promise<unknown> {
  const text = await request.text()
  if (text.length > mostBody) throw new Failure('too-large', `a request has at most ${mostBody} bytes`)
  try {
    return JSON.parse(text)
  } catch {
    throw new Failure('bad-request', 'the request is not JSON')
  }
}
