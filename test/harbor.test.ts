import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { type AdminServer, createAdmin, serveAdmin } from '../src/admin/admin.ts'
import { Secret } from '../src/config/secret.ts'
import { Failure } from '../src/failure.ts'
import { harbor } from '../src/harbor/harbor.ts'
import { silentLog } from '../src/telemetry/log.ts'
import { createMetrics } from '../src/telemetry/metrics.ts'
import { type HarborAuth, HarborClient, krakenBody } from './fakes/harbor.ts'
import { FakeNodeView } from './fakes/node-view.ts'
import { FakePreheats } from './fakes/preheats.ts'

const secret = 'correct-horse-battery'
const digest = `sha256:${'c'.repeat(64)}`
const image = { endpoint: 'https://harbor.corp', repository: 'team/app', tag: 'v1', digest }

let preheats: FakePreheats
let server: AdminServer
let origin: string
let notReady: string[]
let logged: string[]
function start(token: Secret | undefined): void {
  preheats = new FakePreheats()
  notReady = []
  logged = []
  const note = (message: string, fields = {}) => void logged.push(`${message} ${JSON.stringify(fields)}`)
  const log = { ...silentLog, info: note, warn: note }
  const provider = harbor({
    preheats,
    names: (url) => [{ registry: url.host, path: url.pathname.slice('/v2/'.length) }],
    notReady: () => notReady,
    addressOf: () => '10.0.0.7',
    log,
    ...(token ? { token } : {}),
  })
  const app = createAdmin(new FakeNodeView(), createMetrics(), { log, provider, ...(token ? { token } : {}) })
  server = serveAdmin(app, { host: '127.0.0.1', port: 0 })
  origin = `http://127.0.0.1:${server.address.port}`
}
beforeEach(() => start(undefined))
afterEach(() => server.close())

const post = (path: string, body: string) => fetch(`${origin}${path}`, { method: 'POST', body })

describe('to Harbor a node is a Dragonfly', () => {
  test('whose job is pending until the preheat is done', async () => {
    const client = new HarborClient(origin)
    await client.dragonflyHealth()
    const { taskId, status } = await client.dragonflyPreheat(image)
    expect(status).toBe('PENDING')
    expect(preheats.requests).toEqual([
      {
        what: ['harbor.corp/team/app:v1'],
        platforms: 'all',
        target: { scope: 'seeds' },
        authorizations: { 'harbor.corp': 'Bearer eyJhbGciOiJSUzI1NiJ9.token-of-harbor.signature' },
      },
    ])
    expect((await client.dragonflyProgress(taskId)).status).toBe('RUNNING')
    preheats.steps = [preheats.done()]
    expect(await client.dragonflyProgress(taskId)).toEqual({ taskId, status: 'SUCCESS', error: '' })
  })

  test('that says why it failed', async () => {
    const client = new HarborClient(origin)
    const { taskId } = await client.dragonflyPreheat(image)
    preheats.steps = [{ state: 'failed', reason: 'registry harbor.corp refused it' }]
    expect(await client.dragonflyProgress(taskId)).toMatchObject({
      status: 'FAIL',
      error: 'registry harbor.corp refused it',
    })
  })

  test('that knows no job which it was not given', async () => {
    const client = new HarborClient(origin)
    for (const id of ['1', 'abc', '99999999999999999999']) {
      expect(client.dragonflyProgress(id)).rejects.toThrow('404')
    }
  })

  test('that logs what was ordered, and never the credential', async () => {
    await new HarborClient(origin).dragonflyPreheat(image)
    expect(logged.join('\n')).toContain('harbor.corp/team/app:v1')
    expect(logged.join('\n')).not.toContain('token-of-harbor')
  })

  test.each([
    ['{"type":"sync_peers","args":{}}', 'type'],
    ['{"type":"preheat"}', 'args'],
    ['{"type":"preheat","args":{"type":"model","url":"https://a.b/v2/c/manifests/d"}}', 'args.type'],
    ['no JSON', 'expected a body of JSON'],
  ])('that refuses %s with the reason', async (body, why) => {
    const answer = await post('/oapi/v1/jobs', body)
    expect(answer.status).toBe(400)
    expect(((await answer.json()) as { error: { message: string } }).error.message).toContain(why)
  })
})

describe('to Harbor a node is a Kraken', () => {
  test('that warms what it is told of', async () => {
    const client = new HarborClient(origin)
    await client.krakenHealth()
    await client.krakenPreheat(image)
    expect(preheats.requests).toEqual([
      { what: [`harbor.corp/team/app:v1@${digest}`], platforms: 'all', target: { scope: 'seeds' } },
    ])
  })
})

describe('a notification', () => {
  test('may say in its URL where content shall be, and how hosts name the registry', async () => {
    const answer = await post('/registry/notifications?scope=all&registry=apps.corp', krakenBody(image))
    expect([answer.status, await answer.json()]).toEqual([
      202,
      { jobs: [1], images: [`apps.corp/team/app:v1@${digest}`], unclear: 0 },
    ])
    expect(preheats.requests[0]?.target).toEqual({ scope: 'all' })
  })

  test('of nothing that can be warmed is taken: who sent it would send it for ever', async () => {
    const answer = await post('/registry/notifications', krakenBody({ ...image, endpoint: 'http://harbor' }))
    expect([answer.status, await answer.json()]).toEqual([202, { jobs: [], images: [], unclear: 1 }])
    expect(logged.join('\n')).toContain('cannot be told from a name at Docker Hub')
  })

  test('of very much is several preheats', async () => {
    const events = Array.from({ length: 150 }, (_, i) => ({
      action: 'push',
      target: { repository: 'team/app', url: `https://harbor.corp/v2/team/app/manifests/v${i}` },
    }))
    await post('/registry/notifications', JSON.stringify({ events }))
    expect(preheats.requests.map(({ what }) => what.length)).toEqual([100, 50])
  })

  test('that cannot be kept now is refused, so that it is sent again', async () => {
    preheats.start = () => Promise.reject(new Failure('unavailable', 'the database does not answer'))
    expect((await post('/registry/notifications', krakenBody(image))).ok).toBe(false)
  })

  test.each(['scope=some', 'registry=a b'])('with the query %s is refused', async (query) => {
    expect((await post(`/registry/notifications?${query}`, krakenBody(image))).status).toBe(400)
  })
})

describe('where the admin port wants a token', () => {
  beforeEach(async () => {
    await server.close()
    start(new Secret(secret))
  })

  const right: HarborAuth[] = [
    { mode: 'BASIC', user: 'harbor', password: secret },
    { mode: 'OAUTH', token: secret },
    { mode: 'CUSTOM', header: 'X-Shoal-Token', value: secret },
  ]
  test.each(right)('Harbor shows it, %j', async (auth) => {
    const client = new HarborClient(origin, auth)
    await client.dragonflyHealth()
    await client.krakenHealth()
    await client.krakenPreheat(image)
    await client.webhook(image, 'CloudEvents')
    expect((await client.dragonflyPreheat(image)).status).toBe('PENDING')
  })

  const wrong: HarborAuth[] = [
    { mode: 'NONE' },
    { mode: 'BASIC', user: secret, password: 'x' },
    { mode: 'OAUTH', token: 'x' },
    { mode: 'CUSTOM', header: 'X-Other-Token', value: secret },
  ]
  test.each(wrong)('nothing is done or told without it, %j', async (auth) => {
    const client = new HarborClient(origin, auth)
    const calls = [
      () => client.dragonflyHealth(),
      () => client.krakenHealth(),
      () => client.krakenPreheat(image),
      () => client.webhook(image, 'Default'),
      () => client.dragonflyPreheat(image),
      () => client.dragonflyProgress('1'),
    ]
    for (const call of calls) expect(await call().then(String, String)).toContain('401')
    expect(preheats.requests).toEqual([])
  })

  test('the rest of the port wants it as a bearer token still', async () => {
    const authorization = `Basic ${btoa(`harbor:${secret}`)}`
    expect((await fetch(`${origin}/api/v1/node`, { headers: { authorization } })).status).not.toBe(200)
  })
})

test('a node that cannot serve is unhealthy to Harbor', async () => {
  notReady = ['the node is shutting down']
  expect(new HarborClient(origin).dragonflyHealth()).rejects.toThrow('503')
})
