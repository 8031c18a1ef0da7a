import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { FakeContent } from '../../test/fakes/content.ts'
import { FakeDoor } from '../../test/fakes/door.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { type OwnConnection, ownConnection } from '../../test/fakes/own-connection.ts'
import { seededRandom } from '../clock.ts'
import { parseTag, repositoryOf } from '../oci/reference.ts'
import { Rights } from '../rights/rights.ts'
import type { Visitor } from '../rights/visitor.ts'
import { silentLog as log } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { createRegistry } from './registry.ts'

let connection: OwnConnection
beforeAll(async () => {
  connection = await ownConnection()
})
afterAll(() => connection.close())

const repository = repositoryOf('ghcr.io', 'corp/app')
const target = '/v2/corp/app/manifests/v1?ns=ghcr.io'

/** What the node's own user gets of an image that only the node's login may read, and what the registry was asked. */
async function pull(headers: Record<string, string>) {
  const [clock, metrics, door] = [new FakeClock(), createMetrics(), new FakeDoor()]
  door.login = true
  door.let(repository, 'node')
  const store = new MemoryStore({ clock })
  const given = { loginsFor: 'root', isHome: () => false, key: new Uint8Array(32), learned: () => {} } as const
  const rights = new Rights({ store, door, clock, random: seededRandom(1), log, metrics, ...given })
  const whole = new FakeContent()
  whole.addManifest('ghcr.io/corp/app', new TextEncoder().encode('{}'), 'v1')
  const content = (visitor: Visitor) => {
    const its = new FakeContent()
    its.manifest = async (...asked) => {
      await rights.admit(visitor, { repository, kind: 'manifest', reference: parseTag('v1') })
      return whole.manifest(...asked)
    }
    return its
  }
  const app = createRegistry({ content, names: ['node-1.corp'], clock, metrics, log })
  const incoming = { url: target, socket: connection.socket }
  const { status } = await app.request(target, { headers }, { incoming } as object)
  return { status, asked: door.asked }
}

describe("an image for this node's logins alone", () => {
  test('is given to who runs on this host as its user', async () => {
    const { status, asked } = await pull({})
    expect([status, asked]).toEqual([200, ['node ghcr.io/corp/app v1']])
  })

  test.each(['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-proto', 'x-real-ip'])(
    'is given to nobody through a proxy that runs as that user, nor asked for by those logins: %s',
    async (name) => {
      const { status, asked } = await pull({ [name]: 'for=10.0.0.9' })
      expect(status).toBe(401)
      expect(asked.filter((question) => question.startsWith('node'))).toEqual([])
    },
  )

  test.each(['localhost:4880', '127.0.0.1:4880', '[::1]:4880', '10.0.0.7:4880', 'node-1.corp:4880'])(
    'is given to who asks this host as %s',
    async (host) => expect((await pull({ host })).status).toBe(200),
  )

  test("is neither given nor asked for by those logins where the name that was asked may be a web page's own", async () => {
    const { status, asked } = await pull({ host: 'evil.example:4880' })
    expect(status).toBe(401)
    expect(asked.filter((question) => question.startsWith('node'))).toEqual([])
  })
})

describe('a browser on this host', () => {
  const page = { host: 'evil.example:4880', 'accept-language': 'de' }

  test.each(['origin', 'sec-fetch-site', 'accept-language'])(
    'that asks by the name of a page gets nothing at all: %s',
    async (header) => expect(await pull({ host: page.host, [header]: 'x' })).toEqual({ status: 403, asked: [] }),
  )

  test('that asks by a name of this host, or through a proxy, is another client', async () => {
    expect((await pull({ ...page, host: 'localhost:4880' })).status).toBe(200)
    expect((await pull({ ...page, 'x-forwarded-for': '10.0.0.9' })).status).toBe(401)
  })
})
