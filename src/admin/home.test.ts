import { expect, test } from 'bun:test'
import { FakeNodeView } from '../../test/fakes/node-view.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { createAdmin } from './admin.ts'
import { homeSchema } from './home.ts'

test('tells where repositories of the cluster are kept, and what is owed to there and why', async () => {
  const view = new FakeNodeView()
  const at = Date.UTC(2026, 0, 1, 12)
  view.keeps = {
    homes: [{ pattern: 'apps.corp/**', backend: 's3://images/shoal', writable: true }, { pattern: 'docker.io/ours/*' }],
    mode: 'back',
    waiting: 1,
    oldestAt: at,
    some: [{ what: 'tag apps.corp/app:v1', tries: 2, dueAt: at + 60_000, error: 'HTTP 503' }],
  }
  const answer = await createAdmin(view, createMetrics(), { log: silentLog }).request('/api/v1/home')
  expect(answer.status).toBe(200)
  expect(homeSchema.parse(await answer.json())).toEqual({
    homes: [{ pattern: 'apps.corp/**', backend: 's3://images/shoal', writable: true }, { pattern: 'docker.io/ours/*' }],
    write: 'back',
    waiting: 1,
    oldestAt: '2026-01-01T12:00:00.000Z',
    owed: [{ what: 'tag apps.corp/app:v1', tries: 2, dueAt: '2026-01-01T12:01:00.000Z', error: 'HTTP 503' }],
  })
})
