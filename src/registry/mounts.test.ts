import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { Readable } from 'node:stream'
import { FakeClock } from '../../test/fakes/clock.ts'
import { FakeContent } from '../../test/fakes/content.ts'
import { type OwnConnection, ownConnection } from '../../test/fakes/own-connection.ts'
import { told } from '../../test/fakes/told.ts'
import { mostToldBytes, type Told } from '../lazy/mounted.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { createRegistry } from './registry.ts'
import { kindOfTarget } from './request.ts'

let connection: OwnConnection
beforeAll(async () => {
  connection = await ownConnection()
})
afterAll(() => connection.close())

let heard: Told[]
beforeEach(() => {
  heard = []
})

async function put(
  body: string,
  { socket = connection.socket as object, headers = {}, method = 'PUT' } = {},
): Promise<Response> {
  const nobody = () => Promise.reject(new Error('not asked'))
  const app = createRegistry({
    ...{ content: new FakeContent(), clock: new FakeClock(), metrics: createMetrics(), log: silentLog },
    lazy: {
      mounted: { hear: (said) => void heard.push(said) },
      content: new FakeContent(),
      indexes: { index: nobody },
      reads: { of: nobody, add: nobody },
    },
  })
  const target = '/v2/_shoal/mounts'
  const incoming = Object.assign(Readable.from([Buffer.from(body)]), { url: target, socket })
  return app.request(target, { method, headers }, { incoming } as object)
}

describe('what is mounted', () => {
  test('is taken from the user of this node, on a connection of this host', async () => {
    const said = told({ mounts: 1, layers: 2 })
    const response = await put(JSON.stringify(said))
    expect([response.status, await response.text()]).toEqual([204, ''])
    expect(heard).toEqual([said])
  })

  test('is not taken where nobody knows who tells it, through a proxy, or by the name of a page in a browser', async () => {
    const said = JSON.stringify(told({}))
    for (const how of [
      { socket: { remoteAddress: '127.0.0.1' } },
      { socket: { remoteAddress: '127.0.0.1', remotePort: 1, localAddress: '127.0.0.1', localPort: 2 } },
      { socket: { remoteAddress: '10.0.0.9', remotePort: 1, localAddress: '10.0.0.1', localPort: 4880 } },
      { headers: { 'x-forwarded-for': '10.0.0.9' } },
      { headers: { origin: 'http://evil.example' } },
      { headers: { host: 'evil.example:4880' } },
    ])
      expect((await put(said, how)).status).toBe(403)
    expect(heard).toEqual([])
  })

  test('is refused with what is wrong with it', async () => {
    const { mounter: _, ...nameless } = told({})
    for (const [body, status, sentence] of [
      ['{', 400, 'this is no list of mounts'],
      [JSON.stringify(nameless), 400, 'this is no list of mounts: mounter: '],
      [' '.repeat(mostToldBytes + 1), 413, 'a list of mounts has at most'],
    ] as const) {
      const response = await put(body)
      const { errors } = (await response.json()) as { errors: { message: string }[] }
      expect([response.status, errors[0]?.message]).toEqual([status, expect.stringContaining(sentence)])
    }
    expect(heard).toEqual([])
  })

  test('is told here and asked at the admin port', async () => {
    expect((await put('', { method: 'GET' })).status).toBe(404)
    expect(kindOfTarget('/v2/_shoal/mounts')).toBe('lazy')
  })
})
