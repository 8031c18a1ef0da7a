import { afterEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeClock } from '../../test/fakes/clock.ts'
import { type FakeBlob, FakeContent } from '../../test/fakes/content.ts'
import { Failure } from '../failure.ts'
import { ListenError } from '../listen.ts'
import { digestOf } from '../oci/digest.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { createRegistry } from './registry.ts'
import { type ServerLimits, serveRegistry } from './server.ts'
import { type Outgoing, takenOf } from './stalled.ts'

/** Longer than what loopback and its socket buffers swallow at once, and not a multiple of the pump's buffer. */
const size = 24 * 1024 * 1024 + 12_345
const large = Uint8Array.from({ length: size }, (_, i) => (i * 13) >> 7)

// Megabytes go through sockets here, on machines that have other work too.
setDefaultTimeout(30_000)

const cleanUps: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function setUp(limits: Partial<ServerLimits> = {}) {
  const content = new FakeContent()
  const clock = new FakeClock()
  const warnings: string[] = []
  const log = { ...silentLog, warn: (message: string) => void warnings.push(message) }
  const app = createRegistry({ content, clock, log, metrics: createMetrics() })
  const outgoing: Outgoing[] = []
  const { fetch } = app
  app.fetch = (request, env, context) => {
    if (env && 'outgoing' in env && env.outgoing) outgoing.push(env.outgoing)
    return fetch(request, env, context)
  }
  const server = await serveRegistry(app, { hostname: '127.0.0.1', port: 0, limits, clock, log })
  cleanUps.push(() => server.close(0))
  const origin = `http://127.0.0.1:${server.port}`
  const addBlob = (blob: Partial<FakeBlob>) => {
    const digest = content.addBlob({ bytes: large, ...blob })
    return { digest, path: `/v2/app/blobs/${digest}` }
  }
  return { content, clock, warnings, server, origin, outgoing, addBlob }
}

async function onDisk(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'registry-'))
  cleanUps.push(() => rm(dir, { recursive: true }))
  await Bun.write(join(dir, 'blob'), large)
  return join(dir, 'blob')
}

/** Raw bytes of an answer as they come, on a connection of one's own. */
function talk(port: number, text: string, host = '127.0.0.1') {
  const socket: Socket = connect(port, host)
  cleanUps.push(() => socket.destroy())
  const got = { bytes: 0, head: '', closed: false, socket }
  socket.on('connect', () => socket.write(text))
  socket.on('data', (data) => {
    if (got.bytes === 0) got.head = data.toString('latin1').split('\r\n\r\n')[0] ?? ''
    got.bytes += data.length
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    got.closed = true
  })
  return got
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 5000 && !condition(); i++) await Bun.sleep(2)
  expect(condition()).toBe(true)
}

/** Moves time on until the client is cut: a minute after the kernel has taken as much as it takes, at first for itself. */
async function untilCut(clock: FakeClock, cut: () => boolean): Promise<void> {
  const begun = clock.now()
  for (let i = 0; i < 100 && !cut(); i++) {
    clock.advance(7_500)
    await Bun.sleep(10)
  }
  expect(cut()).toBe(true)
  expect(clock.now() - begun).toBeGreaterThan(60_000)
}

const request = (path: string, method = 'GET') => `${method} ${path} HTTP/1.1\r\nHost: registry\r\n\r\n`

describe('over a socket, a blob', () => {
  test('on disk arrives byte for byte with its exact length', async () => {
    const { content, origin, addBlob } = await setUp()
    const { path, digest } = addBlob({ file: await onDisk() })
    const response = await fetch(origin + path)
    expect(response.headers.get('content-length')).toBe(String(size))
    expect(response.headers.get('transfer-encoding')).toBeNull()
    expect(digestOf(await response.bytes())).toBe(digest)
    await until(() => content.openReaders === 0)
  })

  test('that is still arriving does as well', async () => {
    const { content, origin, addBlob } = await setUp()
    const opened = Promise.withResolvers<void>()
    const { path, digest } = addBlob({ gate: { at: 8_000_000, open: opened.promise } })
    const response = await fetch(origin + path)
    expect(response.headers.get('content-length')).toBe(String(size))
    opened.resolve()
    expect(digestOf(await response.bytes())).toBe(digest)
    await until(() => content.openReaders === 0)
  })

  test('in ranges is the same from disk and from memory', async () => {
    const { origin, addBlob } = await setUp()
    const file = await onDisk()
    const memory = addBlob({})
    const bodies = async (path: string) => {
      const ranges = ['bytes=1-2', 'bytes=524287-524289', 'bytes=-5', 'bytes=0-600000,700000-1400000,-1']
      return Promise.all(
        ranges.map(async (range) => digestOf(await (await fetch(origin + path, { headers: { range } })).bytes())),
      )
    }
    const fromMemory = await bodies(memory.path)
    const disk = addBlob({ file })
    expect(await bodies(disk.path)).toEqual(fromMemory)
    expect(new Set(fromMemory).size).toBe(4)
  })

  test('is only described to HEAD, and the connection serves on', async () => {
    const { server, addBlob } = await setUp()
    const { path } = addBlob({})
    const client = talk(server.port, request(path, 'HEAD') + request('/v2/'))
    await until(() => client.bytes > client.head.length + 100)
    expect(client.head.toLowerCase()).toContain(`content-length: ${size}`)
    expect(client.bytes).toBeLessThan(2000)
    expect(client.closed).toBe(false)
  })

  test('that turns out wrong on the way breaks the connection short of its length', async () => {
    const { content, server, addBlob, warnings } = await setUp()
    const { path } = addBlob({ fail: { at: 20_000_000, error: new Failure('corrupt', 'a piece is wrong') } })
    const client = talk(server.port, request(path))
    await until(() => client.closed)
    expect(client.head).toStartWith('HTTP/1.1 200')
    expect(client.bytes).toBeLessThan(size)
    expect(content.openReaders).toBe(0)
    expect(warnings).toHaveLength(1)
  })

  test('whose file has been cut short breaks the connection too', async () => {
    const { content, server, addBlob } = await setUp()
    const file = await onDisk()
    const { path } = addBlob({ file })
    await Bun.write(file, large.subarray(0, 2_000_000))
    const client = talk(server.port, request(path))
    await until(() => client.closed)
    expect(client.head).toStartWith('HTTP/1.1 200')
    expect(client.bytes).toBeLessThan(2_001_000)
    expect(content.openReaders).toBe(0)
  })

  test('whose file is not there is a 404', async () => {
    const { content, origin, addBlob } = await setUp()
    const { path } = addBlob({ file: '/nonexistent/blob' })
    const response = await fetch(origin + path)
    expect(response.status).toBe(404)
    expect(await response.json()).toMatchObject({ errors: [{ code: 'BLOB_UNKNOWN' }, { code: 'UNAVAILABLE' }] })
    expect(content.openReaders).toBe(0)
  })
})

describe('a client that', () => {
  test('leaves before the first byte lets go of the blob', async () => {
    const { content, server, addBlob, warnings } = await setUp()
    const { path } = addBlob({ gate: { at: 0, open: new Promise<void>(() => {}) } })
    const client = talk(server.port, request(path))
    await until(() => content.openReaders === 1)
    expect(client.bytes).toBe(0)
    client.socket.destroy()
    await until(() => content.openReaders === 0)
    expect(warnings).toEqual([])
  })

  test('leaves on the way lets go of the blob, though no byte is due', async () => {
    const { content, server, addBlob, warnings } = await setUp()
    const { path } = addBlob({ gate: { at: 100_000, open: new Promise<void>(() => {}) } })
    const client = talk(server.port, request(path))
    await until(() => client.bytes > 50_000)
    client.socket.destroy()
    await until(() => content.openReaders === 0)
    expect(warnings).toEqual([])
  })

  test('takes no byte of a blob for a minute is cut, and what it left is dropped', async () => {
    const { content, clock, server, addBlob } = await setUp()
    const { path } = addBlob({ file: await onDisk() })
    const client = talk(server.port, request(path))
    client.socket.pause()
    await until(() => content.openReaders === 1 && clock.pending > 0)
    await untilCut(clock, () => content.openReaders === 0)
    client.socket.resume()
    await until(() => client.closed)
    expect(client.bytes).toBeLessThan(size)
  })

  test('takes some bytes every now and then gets all of them, however long that takes', async () => {
    const { content, clock, server, outgoing, addBlob } = await setUp()
    const { path } = addBlob({ file: await onDisk() })
    const client = talk(server.port, request(path))
    client.socket.pause()
    await until(() => content.openReaders === 1 && clock.pending > 0 && takenOf(outgoing[0]!) !== undefined)
    while (client.bytes < size && !client.closed) {
      // Some bytes are those of which the kernel has taken others instead: it does so in steps.
      const [before, taken] = [client.bytes, takenOf(outgoing[0]!)]
      const some = () => client.bytes > before && takenOf(outgoing[0]!) !== taken
      // At once, and not when this loop is awake again: everything might have come by then.
      const enough = () => void (some() && client.socket.pause())
      client.socket.on('data', enough).resume()
      await until(() => client.closed || some() || client.bytes > size)
      client.socket.off('data', enough).pause()
      clock.advance(45_000)
    }
    expect(client.bytes).toBeGreaterThan(size)
    // Longer than after which one is cut that takes nothing.
    expect(clock.now()).toBeGreaterThan(67_500)
  })

  test('takes no byte of a long list is cut as well', async () => {
    const { content, clock, server } = await setUp()
    const body = new Uint8Array(16 * 1024 * 1024)
    content.addPassed('app', 'tags/list', { status: 200, headers: new Headers(), body })
    const client = talk(server.port, request('/v2/app/tags/list'))
    client.socket.pause()
    await until(() => clock.pending > 0)
    await untilCut(clock, () => clock.pending === 0)
    client.socket.resume()
    await until(() => client.closed)
    expect(client.bytes).toBeLessThan(16 * 1024 * 1024)
  })

  test('asks for many things ahead gets them one after the other, in order', async () => {
    const { content, server, addBlob } = await setUp()
    const opened = Promise.withResolvers<void>()
    const { path } = addBlob({ bytes: large.subarray(0, 300_000), gate: { at: 100_000, open: opened.promise } })
    const client = talk(server.port, request(path).repeat(10) + request('/v2/'))
    await until(() => content.openReaders === 1 && client.bytes > 50_000)
    await Bun.sleep(20)
    expect(content.opened).toHaveLength(1)
    opened.resolve()
    await until(() => client.bytes > 10 * 300_000 + 100)
    expect(content.opened).toHaveLength(10)
    await until(() => content.openReaders === 0)
    expect(client.closed).toBe(false)
  })

  test('asks for too many ahead is cut', async () => {
    const { content, server, addBlob } = await setUp()
    const { path } = addBlob({ gate: { at: 100_000, open: new Promise<void>(() => {}) } })
    const client = talk(server.port, request(path).repeat(100))
    await until(() => client.closed)
    await until(() => content.openReaders === 0)
    expect(content.opened.length).toBeLessThan(2)
  })

  test('sends more headers than it may is told so', async () => {
    const { server } = await setUp({ headerBytes: 4096 })
    const client = talk(server.port, `GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Long: ${'a'.repeat(8000)}\r\n\r\n`)
    await until(() => client.closed)
    expect(client.head).toStartWith('HTTP/1.1 431')
  })

  test('asks for the 1024 ranges that containers/storage begins with is told that they are too many', async () => {
    const { server, addBlob } = await setUp()
    const { path } = addBlob({})
    const ask = (ranges: number, first: number) => {
      const list = Array.from({ length: ranges }, (_, i) => `${first + 2 * i}-${first + 2 * i}`)
      return talk(server.port, request(path).replace('\r\n\r\n', `\r\nRange: bytes=${list}\r\n\r\n`))
    }
    const many = ask(1024, 9_000_000_000)
    await until(() => many.bytes > 0)
    expect(many.head).toStartWith('HTTP/1.1 400')
    const fewer = ask(256, 1_000_000)
    await until(() => fewer.bytes > 0)
    expect(fewer.head).toStartWith('HTTP/1.1 206')
    expect(fewer.head).toContain('multipart/byteranges')
  })

  test('never finishes its request is cut', async () => {
    const { server } = await setUp({ requestMs: 50 })
    const client = talk(server.port, 'GET /v2/ HTTP/1.1\r\nHost: x\r\nX-')
    await until(() => client.closed)
    expect(client.head).toStartWith('HTTP/1.1 408')
  })

  test('speaks no HTTP is told so', async () => {
    const { server } = await setUp()
    const client = talk(server.port, '\x16\x03\x01\x02\x00\r\n\r\n')
    await until(() => client.closed)
    expect(client.head).toStartWith('HTTP/1.1 400')
  })

  test.each([
    '/v2/a/../b/manifests/x',
    '/v2/%2e%2e/b/manifests/x',
    '/v2/../../etc/manifests/x',
    '/v2/a//b/manifests/x',
  ])('asks for %s is refused, for the path is read as it was sent', async (path) => {
    const { server, content } = await setUp()
    const client = talk(server.port, request(path))
    await until(() => client.bytes > 0)
    expect(client.head).toStartWith('HTTP/1.1 400')
    expect(content.calls).toEqual([])
  })

  test('pushes is told that this is a mirror', async () => {
    const { origin } = await setUp()
    const response = await fetch(`${origin}/v2/app/blobs/uploads/`, { method: 'POST', body: 'x'.repeat(100_000) })
    expect(response.status).toBe(405)
    expect(await response.json()).toMatchObject({ errors: [{ code: 'UNSUPPORTED' }] })
  })
})

describe('connections past the limit', () => {
  const atOnce = (port: number, count: number) => Array.from({ length: count }, () => talk(port, request('/v2/')))

  test('are told to go to the registry, and the operator once; there is room again when others leave', async () => {
    const { content, server, warnings } = await setUp({ connections: 8 })
    const { path } = held(content)
    const holders = Array.from({ length: 8 }, () => talk(server.port, request(path)))
    await until(() => content.openReaders === 8)
    const late = atOnce(server.port, 4)
    await until(() => late.every(({ closed }) => closed))
    for (const { head } of late) expect(head).toMatch(/^HTTP\/1.1 404[\s\S]*retry-after: 1/i)
    expect(warnings).toEqual(['the registry port has 8 connections: more are sent away'])
    holders[0]!.socket.destroy()
    await until(() => content.openReaders === 7)
    const next = talk(server.port, request('/v2/'))
    await until(() => next.bytes > 0)
    expect(next.head).toStartWith('HTTP/1.1 200')
  })

  test('are counted over all addresses of the port', async () => {
    const { content, server, warnings } = await setUp({ connections: 2 })
    await server.also({ host: '127.0.0.2', port: server.port })
    const { path } = held(content)
    const holders = ['127.0.0.1', '127.0.0.2'].map((host) => talk(server.port, request(path), host))
    await until(() => content.openReaders === 2)
    const late = talk(server.port, request('/v2/'), '127.0.0.2')
    await until(() => late.closed)
    expect(late.head).toStartWith('HTTP/1.1 404')
    expect(warnings).toHaveLength(1)
    await server.close(10)
    await until(() => holders.every(({ closed }) => closed))
    const after = talk(server.port, request('/v2/'), '127.0.0.2')
    await until(() => after.closed)
    expect(after.bytes).toBe(0)
  })

  test('are found room for where others only rest', async () => {
    const { server } = await setUp({ connections: 8 })
    const resting = Array.from({ length: 8 }, () => talk(server.port, request('/v2/')))
    await until(() => resting.every(({ bytes }) => bytes > 0))
    const first = talk(server.port, request('/v2/'))
    await until(() => resting.every(({ closed }) => closed) && first.bytes > 0)
    const next = talk(server.port, request('/v2/'))
    await until(() => next.bytes > 0)
    expect(next.head).toStartWith('HTTP/1.1 200')
  })

  /** A blob of which the first bytes are here and the others are not. */
  function held(content: FakeContent) {
    const open = new Promise<void>(() => {})
    return { path: `/v2/app/blobs/${content.addBlob({ bytes: large, gate: { at: 100_000, open } })}` }
  }
})

describe('closing', () => {
  test('lets a response under way end', async () => {
    const { server, origin, addBlob } = await setUp()
    const opened = Promise.withResolvers<void>()
    const { path, digest } = addBlob({ gate: { at: 8_000_000, open: opened.promise } })
    const response = await fetch(origin + path)
    const closed = server.close(10_000)
    opened.resolve()
    expect(digestOf(await response.bytes())).toBe(digest)
    await closed
  })

  test('cuts what does not end in time', async () => {
    const { server, content, addBlob } = await setUp()
    const { path } = addBlob({ gate: { at: 100_000, open: new Promise<void>(() => {}) } })
    const client = talk(server.port, request(path))
    await until(() => client.bytes > 0)
    await server.close(10)
    await until(() => client.closed && content.openReaders === 0)
  })
})

test('an address that is taken is told with the flag that sets it', async () => {
  const { server } = await setUp()
  const app = createRegistry({
    content: new FakeContent(),
    clock: new FakeClock(),
    log: silentLog,
    metrics: createMetrics(),
  })
  const { port } = server
  const init = { hostname: '127.0.0.1', port, clock: new FakeClock(), log: silentLog }
  await expect(serveRegistry(app, init)).rejects.toThrow(ListenError)
})
