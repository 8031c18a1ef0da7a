import { describe, expect, test } from 'bun:test'
import { z } from 'zod'
import { FakeNodeView } from '../../test/fakes/node-view.ts'
import { Secret } from '../config/secret.ts'
import { ListenError } from '../listen.ts'
import { digestOf } from '../oci/digest.ts'
import { type Fields, silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { createAdmin, serveAdmin } from './admin.ts'
import {
  banSchema,
  blobPageSchema,
  blobSchema,
  clusterHistorySchema,
  clusterSchema,
  evictionSchema,
  faultsSchema,
  historySchema,
  memberSchema,
  nodeSchema,
  pinsSchema,
  swarmSchema,
  transfersSchema,
} from './view.ts'

const token = 'correct-horse-battery'

function admin(options: { token?: Secret } = {}) {
  const view = new FakeNodeView()
  const metrics = createMetrics()
  const errors: Fields[] = []
  const log = { ...silentLog, error: (_: string, fields: Fields = {}) => void errors.push(fields) }
  return { view, metrics, errors, app: createAdmin(view, metrics, { ...options, log }) }
}

describe('health', () => {
  test('is alive whenever it can answer', async () => {
    const answer = await admin().app.request('/healthz')
    expect([answer.status, await answer.json()]).toEqual([200, { status: 'alive' }])
  })

  test('is ready only when nothing is in the way, and says what is', async () => {
    const { app, view } = admin()
    const ready = await app.request('/readyz')
    expect([ready.status, await ready.json()]).toEqual([200, { ready: true, reasons: [] }])
    view.notReady = ['the store is full']
    const not = await app.request('/readyz')
    expect([not.status, await not.json()]).toEqual([503, { ready: false, reasons: ['the store is full'] }])
  })

  test('warns of a state out of reach, and stays ready, for pulls go on without it', async () => {
    const { app, view } = admin()
    view.stateTrouble = 'postgres://shoal@db/images: connection refused'
    const answer = await app.request('/readyz')
    const warnings = ['the state of the cluster is out of reach; `shoal status` says why']
    expect([answer.status, await answer.json()]).toEqual([200, { ready: true, reasons: [], warnings }])
  })

  test('warns of a store that takes nothing, and stays ready, for it serves all the same', async () => {
    const { app, view } = admin()
    view.trouble = 'no room for sha256:0123456789ab'
    const answer = await app.request('/readyz')
    const warnings = ['the store cannot keep what comes; `shoal status` says why']
    expect([answer.status, await answer.json()]).toEqual([200, { ready: true, reasons: [], warnings }])
  })
})

test('metrics are in the text format, with gauges set just before', async () => {
  const { app, view, metrics } = admin()
  Object.assign(view, { beforeMetrics: () => metrics.storeBytes.set(4711) })
  const answer = await app.request('/metrics')
  expect(answer.headers.get('content-type')).toStartWith('text/plain')
  expect(await answer.text()).toContain('shoal_store_bytes 4711')
})

describe('the API', () => {
  const shapes: [string, z.ZodType][] = [
    ['/api/v1/node', nodeSchema],
    ['/api/v1/members', z.object({ members: z.array(memberSchema).length(2) })],
    ['/api/v1/blobs', blobPageSchema],
    ['/api/v1/transfers', transfersSchema],
    ['/api/v1/swarms', z.object({ swarms: z.array(swarmSchema).length(1) })],
    ['/api/v1/history', historySchema],
    ['/api/v1/history?span=24h', historySchema],
    ['/api/v1/faults', faultsSchema],
    ['/api/v1/cluster', clusterSchema],
    ['/api/v1/cluster/history?span=24h', clusterHistorySchema],
    ['/api/v1/bans', z.object({ bans: z.array(banSchema) })],
  ]
  test.each(shapes)('%s has the shape that is promised', async (path, schema) => {
    const answer = await admin().app.request(path)
    expect(answer.status).toBe(200)
    expect(schema.safeParse(await answer.json()).error).toBeUndefined()
  })

  test('pins by name, digest or image, for a time or without one, and says what is wrong', async () => {
    const { app } = admin()
    const path = `/api/v1/blobs/${encodeURIComponent('ghcr.io/org/app:v1')}/pin`
    const ask = async (method: string, where = path) => {
      const answer = await app.request(where, { method })
      return [answer.status, answer.status === 204 ? undefined : await answer.json()]
    }
    expect(await ask('GET')).toMatchObject([404, { error: { code: 'no-name' } }])
    expect(await ask('PUT', `${path}?for=7m`)).toMatchObject([
      200,
      { pins: [{ name: 'ghcr.io/org/app:v1', until: '2026-01-01T12:07:00.000Z' }] },
    ])
    const [status, body] = await ask('GET')
    expect([status, pinsSchema.parse(body).pins]).toEqual([
      200,
      pinsSchema.parse((await ask('GET', '/api/v1/pins'))[1]).pins,
    ])
    expect(await ask('DELETE')).toEqual([204, undefined])
    expect(await ask('DELETE')).toMatchObject([404, {}])
    expect(await ask('PUT', `${path}?for=soon`)).toMatchObject([
      400,
      { error: { message: expect.stringContaining('24h or 7d') } },
    ])
  })

  test('says what an eviction would remove, and removes it only when posted', async () => {
    const { app, view } = admin()
    const ask = async (method: string, query: string) =>
      (await app.request(`/api/v1/eviction${query}`, { method })).json()
    expect(evictionSchema.parse(await ask('GET', '?to=0'))).toMatchObject({ done: false, remove: { length: 3 } })
    expect(view.stored.size).toBe(3)
    expect(evictionSchema.parse(await ask('POST', ''))).toMatchObject({ done: true, keep: { length: 3 } })
    expect(evictionSchema.parse(await ask('POST', '?to=0'))).toMatchObject({ done: true, keep: [] })
    expect(view.stored.size).toBe(0)
    for (const to of ['-1', 'x', '1e99']) {
      expect(await ask('POST', `?to=${to}`)).toMatchObject({ error: { message: expect.stringContaining('to: ') } })
    }
  })

  test('lists who is banned and why, and lifts a ban once', async () => {
    const { app, view } = admin()
    const liar = `12D3KooW${'A'.repeat(44)}`
    view.banned.push(liar)
    const list = await app.request('/api/v1/bans')
    expect(await list.json()).toMatchObject({ bans: [{ node: liar, reason: 'sent wrong bytes' }] })
    const lift = async (node: string) => (await app.request(`/api/v1/bans/${node}`, { method: 'DELETE' })).status
    expect(await lift(liar)).toBe(204)
    expect(await lift(liar)).toBe(404)
    expect(await lift('0')).toBe(400)
    expect(await (await app.request('/api/v1/bans')).json()).toEqual({ bans: [] })
  })

  test('lists blobs in pages, by filter and state', async () => {
    const { app, view } = admin()
    const list = async (query: string) =>
      blobPageSchema.parse(await (await app.request(`/api/v1/blobs${query}`)).json())
    expect(await list('?limit=1&offset=1')).toMatchObject({ blobs: [{}], total: 3, limit: 1, offset: 1 })
    expect(await list('?state=partial&filter=GHCR.io%2Forg')).toMatchObject({ total: 1, limit: 100, offset: 0 })
    expect(view.queries).toEqual([
      { limit: 1, offset: 1 },
      { limit: 100, offset: 0, state: 'partial', filter: 'GHCR.io/org' },
    ])
  })

  test.each(['limit=0', 'limit=1001', 'limit=x', 'offset=-1', 'state=odd'])(
    'refuses ?%s and names it',
    async (query) => {
      const answer = await admin().app.request(`/api/v1/blobs?${query}`)
      expect(answer.status).toBe(400)
      expect(await answer.json()).toMatchObject({
        error: { code: 'bad-request', message: expect.stringContaining(query.split('=')[0]!) },
      })
    },
  )

  test.each(['/api/v1/history', '/api/v1/cluster/history'])('%s refuses a span that is none', async (path) => {
    const answer = await admin().app.request(`${path}?span=odd`)
    expect([answer.status, await answer.json()]).toMatchObject([
      400,
      { error: { message: expect.stringContaining('span') } },
    ])
  })

  test('tells about one blob, and removes it once', async () => {
    const { app, view } = admin()
    const [digest] = view.stored.keys()
    const path = `/api/v1/blobs/${digest}`
    expect(blobSchema.parse(await (await app.request(path)).json()).digest).toBe(digest!)
    expect((await app.request(path, { method: 'DELETE' })).status).toBe(204)
    for (const method of ['GET', 'DELETE']) {
      const gone = await app.request(path, { method })
      expect([gone.status, await gone.json()]).toEqual([
        404,
        { error: { code: 'no-blob', message: `this node does not have ${digest}` } },
      ])
    }
  })

  test('answers what it does not know, and its own failures, as JSON', async () => {
    const { app, view, errors } = admin()
    const unknown = await app.request('/api/v1/nope')
    expect([unknown.status, await unknown.json()]).toEqual([
      404,
      { error: { code: 'no-route', message: 'GET /api/v1/nope is not part of this API' } },
    ])
    const bad = await app.request('/api/v1/blobs/sha256:xyz')
    expect([bad.status, await bad.json()]).toMatchObject([400, { error: { code: 'bad-digest' } }])
    view.removeBlob = () => Promise.reject(new Error('disk on fire'))
    const broken = await app.request(`/api/v1/blobs/${digestOf(new Uint8Array())}`, { method: 'DELETE' })
    expect([broken.status, await broken.json()]).toEqual([
      500,
      { error: { code: 'internal', message: 'disk on fire' } },
    ])
    expect(errors).toHaveLength(1)
  })
})

describe('with a token', () => {
  const { app } = admin({ token: new Secret(token) })
  const status = async (path: string, authorization?: string) =>
    (await app.request(path, authorization ? { headers: { authorization } } : {})).status

  test('health checks need none', async () => {
    expect(await status('/healthz')).toBe(200)
    expect(await status('/readyz')).toBe(200)
  })

  test.each(['/metrics', '/api/v1/node', '/api/v1/blobs', '/nope'])('%s needs it', async (path) => {
    expect(await status(path)).toBe(401)
    expect(await status(path, `Bearer ${token}x`)).toBe(401)
    expect(await status(path, `Basic ${token}`)).toBe(400)
    expect(await status(path, `Bearer ${token}`)).toBe(path === '/nope' ? 404 : 200)
  })

  const open = new Set(['/healthz', '/readyz', '/*'])
  const routes = app.routes.filter(({ path }) => !open.has(path))

  test('there is no route that it does not guard', async () => {
    expect(routes.length).toBeGreaterThan(10)
    for (const { method, path } of routes) {
      for (const authorization of [undefined, 'Bearer ', `Bearer ${token.slice(0, -1)}`, `Bearer ${token}${token}`]) {
        const headers: Record<string, string> = authorization === undefined ? {} : { authorization }
        const answer = await app.request(path, { method, headers })
        // RFC 6750, 3.1: a header that is no token at all is 400.
        expect([method, path, [400, 401].includes(answer.status)]).toEqual([method, path, true])
        expect(await answer.json()).toEqual({ error: { code: 'unauthorized', message: expect.any(String) } })
      }
    }
  })

  test('a refusal is JSON that says what is missing, and removes nothing', async () => {
    const { app, view } = admin({ token: new Secret(token) })
    const [digest] = view.stored.keys()
    const answer = await app.request(`/api/v1/blobs/${digest}`, { method: 'DELETE' })
    expect([answer.status, await answer.json()]).toEqual([
      401,
      { error: { code: 'unauthorized', message: 'this port wants a bearer token; see --admin-token-file' } },
    ])
    expect(answer.headers.get('www-authenticate')).toStartWith('Bearer')
    expect(view.stored.has(digest!)).toBe(true)
  })
})

test('a page of another site removes nothing, whatever it asks', async () => {
  const { app, view } = admin()
  const [digest] = view.stored.keys()
  const headers = { host: '127.0.0.1:4883', origin: 'https://evil.example' }
  const answer = await app.request(`/api/v1/blobs/${digest}`, { method: 'DELETE', headers })
  expect([answer.status, view.stored.has(digest!)]).toEqual([403, true])
  const renamed = await app.request('/api/v1/node', { headers: { host: 'evil.example:4883' } })
  expect([renamed.status, await renamed.json()]).toEqual([
    403,
    { error: { code: 'foreign', message: expect.any(String) } },
  ])
})

test('on a port of its own it answers, and a second one is told that the port is taken', async () => {
  const { app } = admin()
  const server = serveAdmin(app, { host: '127.0.0.1', port: 0 })
  try {
    expect((await fetch(`http://127.0.0.1:${server.address.port}/healthz`)).status).toBe(200)
    expect(() => serveAdmin(app, server.address)).toThrow(ListenError)
  } finally {
    await server.close()
  }
})
