import { beforeEach, expect, test } from 'bun:test'
import type { Hono } from 'hono'
import { FakeNodeView } from '../../test/fakes/node-view.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { createAdmin } from './admin.ts'
import { preheatSchema, preheatsSchema } from './preheats.ts'

let view: FakeNodeView
let app: Hono
beforeEach(() => {
  view = new FakeNodeView()
  app = createAdmin(view, createMetrics(), { log: silentLog })
})

const post = (body: unknown) =>
  app.request('/api/v1/preheats', { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) })
const at = (id: number | string, method = 'GET') => app.request(`/api/v1/preheats/${id}`, { method })
const refusal = async (answer: Response) => ((await answer.json()) as { error: { message: string } }).error.message

test('a preheat that is asked for is accepted, and can be looked at', async () => {
  const answer = await post({ what: ['debian:13'], platforms: 'all', scope: 'all', zone: 'eu', share: 0.5, pin: '7d' })
  expect([answer.status, answer.headers.get('location')]).toEqual([202, '/api/v1/preheats/1'])
  const facts = preheatSchema.parse(await answer.json())
  expect(facts).toMatchObject({
    id: 1,
    state: 'running',
    what: ['docker.io/library/debian:13'],
    platforms: 'all',
    scope: 'all',
    zone: 'eu',
    share: 0.5,
    pinSeconds: 604_800,
    bytes: 2048,
    total: 8192,
    counts: { running: 2, done: 0 },
  })
  expect(preheatSchema.parse(await (await at(1)).json())).toEqual(facts)
})

test('unless said otherwise it is for seeds, of the platform of the host, and not pinned', async () => {
  const facts = preheatSchema.parse(await (await post({ what: ['debian:13'] })).json())
  expect([facts.scope, facts.platforms, facts.pinSeconds]).toEqual([
    'seeds',
    [process.arch === 'arm64' ? 'linux/arm64' : 'linux/amd64'],
    undefined,
  ])
})

test('a list has no nodes, for there may be thousands', async () => {
  for (const name of ['one', 'two', 'three']) await post({ what: [name] })
  const answer = await app.request('/api/v1/preheats?limit=2')
  const text = await answer.text()
  const { preheats } = preheatsSchema.parse(JSON.parse(text))
  expect(preheats.map(({ id }) => id)).toEqual([3, 2])
  expect(text).not.toContain('"nodes"')
})

test('one that is under way is cancelled, and one that is over or was never there is not', async () => {
  await post({ what: ['debian:13'] })
  expect((await at(1, 'DELETE')).status).toBe(204)
  expect((await at(1, 'DELETE')).status).toBe(404)
  const unknown = await at(2)
  expect([unknown.status, await refusal(unknown)]).toEqual([
    404,
    expect.stringContaining('knows of no preheat 2 at present'),
  ])
  expect(preheatSchema.parse(await (await at(1)).json()).state).toBe('cancelled')
})

test('logins are passed on to who uses them, and told to nobody', async () => {
  const authorizations = { 'docker.io': 'Basic YW5uOm9wZW4tc2VzYW1l' }
  const answer = await post({ what: ['debian:13'], authorizations })
  expect(await answer.text()).not.toContain('YW5u')
  expect(view.preheats.requests[0]?.authorizations).toEqual(authorizations)
})

test.each([
  ['no JSON', 'debian', 'not JSON'],
  ['nothing to bring', { what: [] }, 'what'],
  ['a key that there is not', { what: ['debian'], scpe: 'all' }, 'scpe'],
  ['a scope that there is not', { what: ['debian'], scope: 'some' }, 'scope'],
  ['a share of more than all', { what: ['debian'], share: 2 }, 'share'],
  ['a time that is too short', { what: ['debian'], pin: '5s' }, 'pin'],
  ['what is no name', { what: ['Debian'] }, 'Debian'],
])('%s is refused with what is wrong', async (_, body, says) => {
  const answer = await post(body)
  expect(answer.status).toBe(400)
  expect(await refusal(answer)).toContain(says)
})

test.each(['0', 'x', '1.5', '99999999999999999999'])('%s is no number of a preheat', async (id) => {
  expect((await at(id)).status).toBe(400)
})
