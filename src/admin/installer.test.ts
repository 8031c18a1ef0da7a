import { expect, test } from 'bun:test'
import { FakeNodeView } from '../../test/fakes/node-view.ts'
import { Secret } from '../config/secret.ts'
import type { OwnBinary } from '../install/own-binary.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { createAdmin } from './admin.ts'

const token = 'correct-horse-battery'
const authorized = { headers: { authorization: `Bearer ${token}`, host: 'first:4883' } }
const binary: OwnBinary = {
  version: '1.2.3',
  platform: 'linux-x64',
  file: new Blob(['the binary']),
  sha256: async () => 'ab'.repeat(32),
}

function admin(options: { token?: Secret; binary?: OwnBinary }) {
  return createAdmin(new FakeNodeView(), createMetrics(), { ...options, log: silentLog })
}

test('who has the token gets an installer, and with that the binary, by a key that opens nothing else', async () => {
  const app = admin({ token: new Secret(token), binary })
  const script = await (await app.request('http://first:4883/install.sh', authorized)).text()
  const url = /offer_url='([^']+)'/.exec(script)?.[1] ?? ''
  expect(url).toStartWith('http://first:4883/shoal?key=')
  expect(script).toContain("offer_flags='--join /ip4/10.0.0.7/tcp/4882'")
  const answer = await app.request(url)
  expect([answer.status, await answer.text()]).toEqual([200, 'the binary'])
  expect(answer.headers.get('content-length')).toBe('10')
  const { search } = new URL(url)
  for (const path of ['/install.sh', '/shoal.sha256', '/api/v1/node']) {
    expect((await app.request(path + search)).status).toBe(401)
  }
})

test('without the token there is neither installer nor binary, whatever key is shown', async () => {
  const app = admin({ token: new Secret(token), binary })
  const wrong = 'f'.repeat(32)
  for (const path of ['/install.sh', '/shoal', '/shoal.sha256', '/shoal?key=', `/shoal?key=${wrong}`, '/shoal?key=é']) {
    expect([path, (await app.request(path)).status]).toEqual([path, 401])
  }
})

test('the binary is offered with its SHA-256, as sha256sum checks it', async () => {
  const app = admin({ binary })
  expect(await (await app.request('/shoal')).text()).toBe('the binary')
  expect(await (await app.request('/shoal.sha256')).text()).toBe(`${'ab'.repeat(32)}  shoal\n`)
  const head = await app.request('/shoal', { method: 'HEAD' })
  expect([head.headers.get('content-length'), await head.text()]).toEqual(['10', ''])
})

test('a node that runs from source says that it has none', async () => {
  const answer = await admin({}).request('/install.sh')
  expect([answer.status, ((await answer.json()) as { error: { message: string } }).error.message]).toEqual([
    404,
    'this node runs from source: it has no binary to offer',
  ])
})
