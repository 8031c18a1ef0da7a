import { afterEach, beforeEach, expect, test } from 'bun:test'
import { connect } from 'node:net'
import { Hono } from 'hono'
import { type AdminServer, adminLimits, serveAdmin } from './admin.ts'

let server: AdminServer
let origin: string
/** Questions that were let in and have no answer yet. */
let open: (() => void)[]
beforeEach(() => {
  open = []
  const app = new Hono()
  app.get('/slow', async (c) => {
    await new Promise<void>((resolve) => open.push(resolve))
    return c.text('at last')
  })
  app.get('/long', (c) => {
    open.push(() => {})
    return c.body('x'.repeat(16 * 1024 * 1024))
  })
  app.get('/quick', (c) => c.text('here'))
  server = serveAdmin(app, { host: '127.0.0.1', port: 0 }, { ...adminLimits, requests: 4 })
  origin = `http://127.0.0.1:${server.address.port}`
})
afterEach(async () => {
  for (const answer of open) answer()
  await server.close()
})

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1000 && !(await condition()); i++) await Bun.sleep(2)
  expect(await condition()).toBe(true)
}

const quick = () => fetch(`${origin}/quick`)

test('a full admin port says so at once and why, and serves again when there is room', async () => {
  const slow = Array.from({ length: 4 }, () => fetch(`${origin}/slow`))
  await until(() => open.length === 4)
  const refused = await quick()
  expect([refused.status, refused.headers.get('retry-after'), refused.headers.get('connection')]).toEqual([
    503,
    '1',
    'close',
  ])
  expect(await refused.json()).toEqual({
    error: { code: 'too-many', message: 'too many requests are under way on this port' },
  })
  open.shift()!()
  expect(await Promise.race(slow).then((answer) => answer.text())).toBe('at last')
  await until(async () => (await quick()).status === 200)
})

test('answers that nobody takes count as under way, until their client leaves', async () => {
  const clients = Array.from({ length: 4 }, () => {
    const socket = connect(server.address.port, '127.0.0.1', () => {
      socket.write('GET /long HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n')
    })
    return socket.pause().on('error', () => {})
  })
  try {
    await until(() => open.length === 4)
    expect((await quick()).status).toBe(503)
    clients[0]!.destroy()
    await until(async () => (await quick()).status === 200)
  } finally {
    for (const client of clients) client.destroy()
  }
})

test('requests at another address of the port count as well, and both end together', async () => {
  const { port } = server.address
  server.also({ host: '127.0.0.2', port })
  const there = () => fetch(`http://127.0.0.2:${port}/quick`, { keepalive: false })
  expect((await there()).status).toBe(200)
  const slow = Array.from({ length: 4 }, () => fetch(`${origin}/slow`).catch(() => {}))
  await until(() => open.length === 4)
  expect((await there()).status).toBe(503)
  await server.close()
  await Promise.all(slow)
  await expect(there()).rejects.toThrow()
})

/** Bun looks for those that rest every four seconds. */
const longerThanMs = 5000

test('a client may wait for its answer longer than it may rest', async () => {
  const slow = async () => {
    await Bun.sleep(longerThanMs)
    return new Response('at last')
  }
  const impatient = serveAdmin({ fetch: slow }, { host: '127.0.0.1', port: 0 }, { ...adminLimits, idleSeconds: 1 })
  try {
    const { port } = impatient.address
    const ask = async (method: string) => (await fetch(`http://127.0.0.1:${port}`, { method, keepalive: false })).text()
    expect(await Promise.all(['GET', 'POST', 'DELETE'].map(ask))).toEqual(['at last', 'at last', 'at last'])
  } finally {
    await impatient.close()
  }
})

test('a client that takes nothing of its answer is cut after a while', async () => {
  const long = ({ url }: Request) => new Response('x'.repeat(url.endsWith('/long') ? 64 * 1024 * 1024 : 1))
  const limits = { ...adminLimits, idleSeconds: 1, requests: 1 }
  const impatient = serveAdmin({ fetch: long }, { host: '127.0.0.1', port: 0 }, limits)
  const { port } = impatient.address
  const socket = connect(port, '127.0.0.1', () => socket.write('GET /long HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n'))
  socket.pause().on('error', () => {})
  const status = async () => (await fetch(`http://127.0.0.1:${port}`, { keepalive: false })).status
  try {
    await until(async () => (await status()) === 503)
    const from = Date.now()
    while ((await status()) !== 200) {
      expect(Date.now() - from).toBeLessThan(4 * longerThanMs)
      await Bun.sleep(100)
    }
  } finally {
    socket.destroy()
    await impatient.close()
  }
})
