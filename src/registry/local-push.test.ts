import { afterEach, beforeEach, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { FakeContent } from '../../test/fakes/content.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { Pusher } from '../push/pusher.ts'
import { Uploads } from '../push/uploads.ts'
import { openSqlite } from '../state/sqlite.ts'
import type { State } from '../state/state.ts'
import { silentLog as log } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { createRegistry } from './registry.ts'

let state: State
let uploads: Uploads
beforeEach(async () => {
  state = await openSqlite(':memory:')
})
afterEach(async () => {
  await uploads.close()
  await state.close()
})

/** What a node where nobody has a login to push answers to somebody at this address. */
async function pushFrom(remoteAddress: string, headers: Record<string, string> = {}): Promise<number> {
  const clock = new FakeClock()
  const store = new MemoryStore({ clock })
  const metrics = createMetrics()
  uploads = new Uploads(store, clock)
  const signer = { id: 'me', sign: () => new Uint8Array(64) }
  const wall = () => clock.wall()
  const pusher = new Pusher({ store, state, uploads, signer, stored: () => {}, wall, log, metrics })
  const own = {
    catalog: () => Promise.reject(new Error('nobody asks')),
    pushing: { pusher, deletes: false, keeps: () => true },
  }
  const app = createRegistry({ content: new FakeContent(), clock, metrics, log, own })
  const target = '/v2/apps.corp/app/blobs/uploads/'
  const incoming = { url: target, socket: { remoteAddress } }
  const bindings = { incoming } as unknown as Parameters<typeof app.request>[2]
  return (await app.request(target, { method: 'POST', headers }, bindings)).status
}

test('without logins clients of this host push, and no others', async () => {
  expect(await pushFrom('127.0.0.1')).toBe(202)
  expect(await pushFrom('::1')).toBe(202)
  expect(await pushFrom('::ffff:127.0.0.1')).toBe(202)
  expect(await pushFrom('10.0.0.9')).toBe(403)
})

test.each(['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-proto', 'x-real-ip'])(
  'without logins nobody pushes through a proxy on this host, who may be anybody: %s',
  async (name) => {
    expect(await pushFrom('127.0.0.1', { [name]: 'for=10.0.0.9' })).toBe(403)
  },
)

test('without logins no web page pushes', async () => {
  expect(await pushFrom('127.0.0.1', { origin: 'http://evil.example' })).toBe(403)
})
