import { describe, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { FakeContent } from '../../test/fakes/content.ts'
import type { Visitor } from '../rights/visitor.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { createRegistry } from './registry.ts'
import { mostKept, Tokens } from './tokens.ts'

const ann = `Basic ${Buffer.from('ann:open-sesame').toString('base64')}`
const localSocket = { remoteAddress: '127.0.0.1' }

function setUp() {
  const clock = new FakeClock()
  const visitors: Visitor[] = []
  const content = new FakeContent()
  content.addManifest('library/app', Buffer.from('{}'), 'v1')
  const contentFor = (visitor: Visitor) => {
    visitors.push(visitor)
    return content
  }
  const app = createRegistry({ content: contentFor, log: silentLog, metrics: createMetrics(), clock })
  const get = (path: string, headers: Record<string, string> = {}, socket: object = localSocket) => {
    const request = new Request(`http://127.0.0.1:4880${path}`, { headers: { host: '127.0.0.1:4880', ...headers } })
    return app.request(request, undefined, { incoming: { url: path, socket } } as never)
  }
  const tokenFor = async (headers: Record<string, string> = {}) =>
    ((await (await get('/shoal/token?service=shoal', headers)).json()) as { token: string }).token
  const seenWith = async (token: string) => {
    await get('/v2/library/app/manifests/v1', { authorization: `Bearer ${token}` })
    const { shown, credential } = visitors.at(-1)!
    return { shown, credential: credential?.kind === 'basic' ? credential.username : credential?.kind }
  }
  return { clock, get, tokenFor, seenWith }
}
const docker = { 'user-agent': 'docker/28.2.2 go/go1.24' }

describe('dockerd', () => {
  test('of this host is sent for a token by the address that it asked', async () => {
    const { get } = setUp()
    const answer = await get('/v2/', docker)
    expect(answer.status).toBe(401)
    const realm = 'Bearer realm="http://127.0.0.1:4880/shoal/token",service="shoal"'
    expect(answer.headers.get('www-authenticate')).toBe(realm)
    expect((await get('/v2/', { ...docker, authorization: 'Bearer shoal.nobody' })).status).toBe(200)
  })

  test('without a login gets a token that stands for nobody', async () => {
    const { tokenFor, seenWith } = setUp()
    expect(await seenWith(await tokenFor(docker))).toEqual({ shown: false, credential: undefined })
  })

  test('with a login gets one that stands for it, and does not hold it', async () => {
    const { tokenFor, seenWith } = setUp()
    const token = await tokenFor({ ...docker, authorization: ann })
    expect(await seenWith(token)).toEqual({ shown: true, credential: 'ann' })
    expect(Buffer.from(token, 'base64').toString()).not.toContain('sesame')
    expect(token).not.toBe(await tokenFor({ ...docker, authorization: ann }))
  })

  test('with a token of before, or one that it made up, is somebody whom nobody knows', async () => {
    const { clock, tokenFor, seenWith } = setUp()
    const token = await tokenFor({ ...docker, authorization: ann })
    clock.advance(600_000)
    for (const one of [token, 'shoal.made-up', 'shoal.']) {
      expect(await seenWith(one)).toMatchObject({ shown: true, credential: one === 'shoal.' ? 'registry' : undefined })
    }
  })
})

describe('others', () => {
  test.each([
    ['skopeo', { 'user-agent': 'skopeo/1.9.3' }, localSocket],
    ['dockerd on another host, whose login would be readable on its way', docker, { remoteAddress: '10.0.0.9' }],
    ['who cannot be told where', { ...docker, host: 'a"b' }, localSocket],
  ])('are not sent for one: %s', async (_, headers, socket) => {
    const { get } = setUp()
    const answer = await get('/v2/', headers, socket)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('www-authenticate')).toStartWith('Basic')
  })

  test('show tokens of registries as they are', async () => {
    const { seenWith } = setUp()
    expect(await seenWith('of-a-registry')).toEqual({ shown: true, credential: 'registry' })
  })
})

test('a token is forgotten after a while, with what it stands for', () => {
  const clock = new FakeClock()
  const tokens = new Tokens(clock, () => 'drawn')
  const token = tokens.issue(ann)
  expect(token).toBe('shoal.drawn')
  expect(tokens.meant(`Bearer ${token}`)).toBe(ann)
  expect(Bun.inspect(tokens, { depth: 9 })).not.toContain(ann)
  clock.advance(600_000)
  expect(tokens.meant(`Bearer ${token}`)).toBe('Bearer')
  expect(tokens.meant('Basic Og==')).toBe('Basic Og==')
  expect(tokens.issue(undefined)).toBe('shoal.nobody')
  expect(tokens.meant(`Bearer ${tokens.issue(`Basic ${'A'.repeat(5000)}`)}`)).toBe('Bearer')
})

test('tokens that gave way to newer ones leave nothing behind, not even a timer', () => {
  const clock = new FakeClock()
  const tokens = new Tokens(clock)
  const first = tokens.issue(ann)
  for (let n = 0; n < 2 * mostKept; n++) tokens.issue(ann)
  expect(clock.pending).toBe(mostKept)
  expect(tokens.meant(`Bearer ${first}`)).toBe('Bearer')
  clock.advance(600_000)
  expect(clock.pending).toBe(0)
})
