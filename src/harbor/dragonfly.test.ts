import { describe, expect, test } from 'bun:test'
import type { PreheatJob } from '../preheat/preheats.ts'
import { answerOf, jobSchema, requestOf } from './dragonfly.ts'
import type { Names } from './images.ts'

const names: Names = (url) => [{ registry: url.host, path: url.pathname.slice('/v2/'.length) }]
const url = 'https://harbor.corp/v2/team/app/manifests/v1'
const asked = (args: object) => requestOf(jobSchema.parse({ type: 'preheat', args }), names)

describe('an order for Dragonfly', () => {
  test('is one for the image at that URL, for all its platforms, to seeds', () => {
    expect(asked({ type: 'image', url, scope: '' })).toEqual({
      what: ['harbor.corp/team/app:v1'],
      platforms: 'all',
      target: { scope: 'seeds' },
    })
  })

  test.each([
    ['single_peer', { scope: 'seeds' }],
    ['single_seed_peer', { scope: 'seeds' }],
    ['all_seed_peers', { scope: 'seeds' }],
    ['all_peers', { scope: 'all' }],
  ] as const)('with the scope %s goes there', (scope, target) => {
    expect(asked({ url, scope }).target).toEqual(target)
  })

  test('may be for a share of the peers, and for one platform', () => {
    expect(asked({ url, scope: 'all_peers', percentage: 30, platform: 'linux/arm64' })).toMatchObject({
      platforms: ['linux/arm64'],
      target: { scope: 'all', share: 0.3 },
    })
  })

  test('brings a credential for the registry of its URL, and for no other', () => {
    const given = (args: object) => asked({ url, ...args }).authorizations
    expect(given({ headers: { authorization: 'Bearer abc' } })).toEqual({ 'harbor.corp': 'Bearer abc' })
    expect(given({ username: 'me', password: 'a:b' })).toEqual({ 'harbor.corp': `Basic ${btoa('me:a:b')}` })
    expect(given({ headers: {} })).toBeUndefined()
  })

  test('may be for files, which no credential is sent for', () => {
    const urls = ['https://files.corp/a.img', 'https://files.corp/b.img?x=1']
    expect(asked({ type: 'file', urls, headers: { Authorization: 'Bearer abc' } })).toEqual({
      what: urls,
      platforms: 'all',
      target: { scope: 'seeds' },
    })
  })

  test.each([
    [{ scope: 'everywhere', url }, 'expected one of single_peer'],
    [{ scope: 'toString', url }, 'expected one of single_peer'],
    [{}, 'expected what to preheat'],
    [{ url: 'https://harbor.corp/v2/' }, 'not the URL of a manifest'],
    [{ type: 'file', url: 'ftp://files.corp/a' }, 'not an http or https URL'],
  ])('is refused with what is wrong, %#', (args, why) => {
    expect(() => asked(args)).toThrow(why)
  })
})

describe('what is answered', () => {
  const job: PreheatJob = {
    id: 7,
    state: 'running',
    request: { what: ['harbor.corp/team/app:v1'], platforms: 'all', target: { scope: 'seeds' } },
    createdAt: Date.UTC(2026, 0, 1, 12),
    updatedAt: Date.UTC(2026, 0, 1, 12, 1),
    bytes: 6,
    total: 5,
    counts: { pending: 0, running: 0, done: 1, failed: 1, cancelled: 0 },
    nodes: [
      { node: 'seed-1', state: 'done', bytes: 5, total: 5 },
      { node: 'seed-2', state: 'failed', bytes: 1, reason: 'it left' },
    ],
  }
  const answered = (change: Partial<PreheatJob>) => answerOf({ ...job, ...change }, (node) => `addr of ${node}`)

  test.each([
    ['pending', 'PENDING'],
    ['running', 'PENDING'],
    ['done', 'SUCCESS'],
    ['failed', 'FAILURE'],
    ['cancelled', 'FAILURE'],
  ] as const)('a job that is %s is %s', (state, word) => {
    expect(answered({ state }).state).toBe(word)
  })

  test('has an integer for an id, times with a zone, and which nodes have it', () => {
    const { id, created_at, updated_at, result } = answered({})
    expect([id, created_at, updated_at]).toEqual([7, '2026-01-01T12:00:00.000Z', '2026-01-01T12:01:00.000Z'])
    const [{ success_tasks, failure_tasks } = { success_tasks: [], failure_tasks: [] }] = result.job_states[0]!.results
    expect(success_tasks).toEqual([{ url: 'harbor.corp/team/app:v1', hostname: 'seed-1', ip: 'addr of seed-1' }])
    expect(failure_tasks).toMatchObject([{ hostname: 'seed-2', description: 'it left' }])
  })

  test('says why where it failed', () => {
    const why = (change: Partial<PreheatJob>) => answered(change).result.job_states[0]!.error
    expect(why({ state: 'failed', reason: 'no such tag' })).toBe('no such tag')
    expect(why({ state: 'cancelled' })).toBe('the preheat was cancelled')
    expect(why({ state: 'done', reason: 'one node left' })).toBe('')
  })
})
