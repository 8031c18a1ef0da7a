import { afterEach, describe, expect, test } from 'bun:test'
import { hostname } from 'node:os'
import { FakeClock } from '../../test/fakes/clock.ts'
import { FakeContent } from '../../test/fakes/content.ts'
import { FakeContext } from '../../test/fakes/context.ts'
import { FakeNodeView } from '../../test/fakes/node-view.ts'
import { FakePreheats } from '../../test/fakes/preheats.ts'
import { load } from '../config/load.ts'
import { Secret } from '../config/secret.ts'
import { Failure } from '../failure.ts'
import type { LazyLayers } from '../lazy/lazy.ts'
import { ownHosts } from '../local/stranger.ts'
import { pullLog } from '../registry/registry.ts'
import type { RegistryServer } from '../registry/server.ts'
import type { Visitor } from '../rights/visitor.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { adminPort, type GuardedPort, type RegistryPort, registryPort } from './ports.ts'

let port: GuardedPort | undefined
let registry: RegistryServer | undefined
afterEach(async () => {
  await port?.close()
  await registry?.close(0)
})

const old = 'correct-horse-battery'
const other = 'staple-correct-horse'

async function start(flags: Record<string, string[]>): Promise<GuardedPort> {
  const context = new FakeContext()
  context.files['/token'] = old
  port = await adminPort({
    settings: load({ 'admin-addr': ['127.0.0.1:0'], ...flags }, {}, context.host).settings,
    ...{ view: new FakeNodeView(), preheats: new FakePreheats(), metrics: createMetrics(), log: silentLog },
    registries: { leadingTo: () => [] },
    membership: { find: () => undefined },
    notReady: () => [],
  })
  return port
}

async function startRegistry(
  flags: Record<string, string[]>,
  content: RegistryPort['content'] = new FakeContent(),
): Promise<RegistryServer> {
  const { settings } = load(flags, {}, new FakeContext().host)
  const about = { clock: new FakeClock(), log: silentLog, metrics: createMetrics() }
  registry = await registryPort({
    ...{ ...about, settings, content, random: Math.random, pulls: pullLog(about), lazy: {} as LazyLayers },
    ...{ own: undefined, tracing: undefined, files: undefined },
  })
  return registry
}

async function ask(path: string, token?: string): Promise<number> {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
  return (await fetch(`http://127.0.0.1:${port!.address.port}${path}`, { headers })).status
}

test('another token opens the admin port, and the one before nothing more', async () => {
  const port = await start({ 'admin-token-file': ['/token'] })
  for (const path of ['/api/v1/node', '/metrics', '/healthy']) expect(await ask(path, old)).toBe(200)
  port.guard(new Secret(other))
  for (const path of ['/api/v1/node', '/metrics', '/healthy']) {
    expect([await ask(path, old), await ask(path, other), await ask(path)]).toEqual([401, 200, 401])
  }
  port.guard(undefined)
  expect(await ask('/api/v1/node')).toBe(401)
})

test('an admin port that wants no token goes on so, as those who ask there know of none', async () => {
  const port = await start({})
  port.guard(new Secret(other))
  expect(await ask('/api/v1/node')).toBe(200)
})

describe.skipIf(!ownHosts().includes('::1'))('who says localhost and gets to ::1', () => {
  const status = async (port: number, path: string) =>
    (await fetch(`http://[::1]:${port}${path}`, { keepalive: false })).status

  test('is answered by the admin port', async () => {
    const { address } = await start({})
    expect(await status(address.port, '/api/v1/node')).toBe(200)
  })

  test.each(['127.0.0.1', 'localhost', '0.0.0.0'])('is answered by the registry port at %s', async (host) => {
    const registry = await startRegistry({ 'registry-addr': [`${host}:0`] })
    expect(await status(registry.port, '/v2/')).toBe(200)
  })
})

test('whoever runs as the user of the node is believed who asks this host by what it is called', async () => {
  const believed: boolean[] = []
  const content = (visitor: Visitor) => {
    const its = new FakeContent()
    its.manifest = async () => {
      believed.push(await visitor.trusted())
      throw new Failure('no-manifest', 'that was all')
    }
    return its
  }
  const registry = await startRegistry({ 'registry-addr': ['127.0.0.1:0'], advertise: ['node-1.corp'] }, content)
  const url = `http://127.0.0.1:${registry.port}/v2/app/manifests/v1?ns=ghcr.io`
  for (const host of ['localhost', hostname(), 'node-1.corp', 'evil.example']) await fetch(url, { headers: { host } })
  expect(believed).toEqual([true, true, true, false])
})
