import { afterEach, expect, test } from 'bun:test'
import { FakeContext } from '../test/fakes/context.ts'
import { FakeNodeView } from '../test/fakes/node-view.ts'
import { FakePreheats } from '../test/fakes/preheats.ts'
import { load } from './config/load.ts'
import { Secret } from './config/secret.ts'
import { adminPort, type GuardedPort } from './node-ports.ts'
import { silentLog } from './telemetry/log.ts'
import { createMetrics } from './telemetry/metrics.ts'

let port: GuardedPort
afterEach(() => port.close())

const old = 'correct-horse-battery'
const other = 'staple-correct-horse'

function start(flags: Record<string, string[]>): void {
  const context = new FakeContext()
  context.files['/token'] = old
  port = adminPort({
    settings: load({ 'admin-addr': ['127.0.0.1:0'], ...flags }, {}, context.host).settings,
    ...{ view: new FakeNodeView(), preheats: new FakePreheats(), metrics: createMetrics(), log: silentLog },
    registries: { leadingTo: () => [] },
    membership: { find: () => undefined },
    notReady: () => [],
  })
}

async function ask(path: string, token?: string): Promise<number> {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
  return (await fetch(`http://127.0.0.1:${port.address.port}${path}`, { headers })).status
}

test('another token opens the admin port, and the one before nothing more', async () => {
  start({ 'admin-token-file': ['/token'] })
  for (const path of ['/api/v1/node', '/metrics', '/healthy']) expect(await ask(path, old)).toBe(200)
  port.guard(new Secret(other))
  for (const path of ['/api/v1/node', '/metrics', '/healthy']) {
    expect([await ask(path, old), await ask(path, other), await ask(path)]).toEqual([401, 200, 401])
  }
  port.guard(undefined)
  expect(await ask('/api/v1/node')).toBe(401)
})

test('an admin port that wants no token goes on so, as those who ask there know of none', async () => {
  start({})
  port.guard(new Secret(other))
  expect(await ask('/api/v1/node')).toBe(200)
})
