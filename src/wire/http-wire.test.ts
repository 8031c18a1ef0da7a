import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually, startTestNode, type TestNode } from '../../test/fakes/network.ts'
import { ClusterKey } from '../cluster/cluster-key.ts'
import { KeyRing } from '../cluster/key-ring.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { parseTag, repositoryOf } from '../oci/reference.ts'
import { headers, routes, wireRules } from './rules.ts'
import { Elsewhere } from './wire.ts'

const never = new AbortController().signal
const digest: Digest = digestOf(new TextEncoder().encode('blob'))
const pieceBytes = 512 * 1024

let dir: string
let path: string
let content: Uint8Array
let a: TestNode
let b: TestNode
let info: NodeInfo
/** How often `done` was called for each offer. */
let done: number[]

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'shoal-wire-'))
  path = join(dir, 'blob')
  content = crypto
    .getRandomValues(new Uint8Array(64 * 1024))
    .toHex()
    .repeat(32)
    .slice(0, 3 * pieceBytes) as never
  content = new TextEncoder().encode(content as never)
  await Bun.write(path, content)
})
afterAll(() => rm(dir, { recursive: true }))

const failureOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no failure',
    (error) => (error instanceof Failure ? error.code : String(error)),
  )

/** What nodes say of themselves. */
const asNode = () => ({ [headers.node]: a.network.membership.self.id })

const key = new ClusterKey(new Uint8Array(32).fill(9))
const clusters = [
  { kind: 'open', key: undefined, encrypt: false },
  { kind: 'keyed', key, encrypt: false },
  { kind: 'keyed and encrypted', key, encrypt: true },
  { kind: 'encrypted', key: undefined, encrypt: true },
]

describe.each(clusters)('in a cluster that is $kind', ({ key, encrypt }) => {
  beforeEach(async () => {
    const options = { ring: key && new KeyRing([key]), encrypt }
    ;[a, b] = await Promise.all([startTestNode(options), startTestNode(options)])
    info = b.network.membership.self
    done = []
    b.inbound.piece = () => {
      const offer = done.push(0) - 1
      return { piece: 1, path, start: pieceBytes, end: 2 * pieceBytes, done: () => void done[offer]!++ }
    }
  })
  afterEach(async () => {
    await Promise.all([a.network.close(), b.network.close()])
  })

  test('a piece arrives byte for byte, and which one it is is known before its bytes', async () => {
    const told: number[] = []
    const answer = await a.network.outbound.piece(info, digest, { pieces: [2, 1] }, never, (piece) => told.push(piece))
    expect(told).toEqual([1])
    expect(answer.piece).toBe(1)
    expect(Buffer.compare(answer.bytes, content.subarray(pieceBytes, 2 * pieceBytes))).toBe(0)
  })

  test('the upload slot of each piece is given back exactly once', async () => {
    for (let i = 0; i < 5; i++) await a.network.outbound.piece(info, digest, { pieces: [1] }, never, () => {})
    await Promise.all(
      Array.from({ length: 12 }, () => a.network.outbound.piece(info, digest, { pieces: [1] }, never, () => {})),
    )
    await eventually('all are given back', () => done.every((n) => n > 0))
    expect(done).toEqual(Array.from({ length: 17 }, () => 1))
  })

  test('the upload slot of a fetch that is given up is given back', async () => {
    const waiting = Promise.withResolvers<void>()
    b.inbound.piece = async (signal) => {
      waiting.resolve()
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      const offer = done.push(0) - 1
      return { piece: 1, path, start: 0, end: pieceBytes, done: () => void done[offer]!++ }
    }
    const controller = new AbortController()
    const fetched = failureOf(a.network.outbound.piece(info, digest, { pieces: [1] }, controller.signal, () => {}))
    await waiting.promise
    controller.abort()
    expect(await fetched).toBe('cancelled')
    await eventually('it is given back', () => done[0] === 1)
    expect(done).toEqual([1])
  })

  test('a busy parent, a missing piece and a dead parent are told apart', async () => {
    const { outbound } = a.network
    b.inbound.piece = () => Promise.reject(new Failure('too-many', 'busy'))
    expect(await failureOf(outbound.piece(info, digest, { pieces: [1] }, never, () => {}))).toBe('too-many')
    b.inbound.piece = undefined
    expect(await failureOf(outbound.piece(info, digest, { pieces: [1] }, never, () => {}))).toBe('no-blob')
    const dead = { ...info, url: info.url.replace(/\d+$/, '1') }
    expect(await failureOf(outbound.piece(dead, digest, { pieces: [1] }, never, () => {}))).toBe('unavailable')
  })

  test('a piece that is passed on while it comes arrives byte for byte, and is told of as it does', async () => {
    const piece = content.subarray(pieceBytes, 2 * pieceBytes)
    const over = Promise.withResolvers<boolean>()
    let more = () => {}
    b.inbound.coming = () => ({
      ...{ piece: 1, length: pieceBytes, over: over.promise },
      body: new ReadableStream({
        start(controller) {
          controller.enqueue(piece.slice(0, 20_000))
          more = () => {
            controller.enqueue(piece.slice(20_000))
            controller.close()
            over.resolve(true)
          }
        },
      }),
    })
    const came = (bytes: Uint8Array, upTo: number) => {
      if (upTo !== 20_000) return
      expect(Buffer.compare(bytes.subarray(0, upTo), piece.subarray(0, upTo))).toBe(0)
      more()
    }
    const wanted = { pieces: [1], coming: true }
    const answer = await a.network.outbound.piece(info, digest, wanted, never, () => {}, undefined, came)
    expect(Buffer.compare(answer.bytes, piece)).toBe(0)
    // Who did not say so gets what is whole.
    more = () => over.reject(new Error('nobody takes it'))
    expect((await a.network.outbound.piece(info, digest, { pieces: [1] }, never, () => {})).piece).toBe(1)
    expect(done).toHaveLength(1)
  })

  test('a piece of which less comes than it has is not taken, and neither is the node that passes it on', async () => {
    b.inbound.coming = () => ({
      ...{ piece: 1, length: pieceBytes, over: Promise.resolve(false) },
      body: new Response(content.slice(0, 1000)).body!,
    })
    const wanted = { pieces: [1], coming: true }
    expect(await failureOf(a.network.outbound.piece(info, digest, wanted, never, () => {}))).toBe('unavailable')
  })

  test('who is to be asked instead is told with the piece', async () => {
    const node = { id: info.id, url: 'http://10.0.0.7:4881', zone: 'eu/one two/ü' }
    const follow = { id: a.network.membership.self.id, url: 'http://10.0.0.8:4881', zone: 'eu' }
    let told: unknown
    b.inbound.offer = async (_, wanted) => {
      told = wanted.follow
      throw new Elsewhere(2, node)
    }
    const asked = a.network.outbound.piece(info, digest, { pieces: [1, 2], follow }, never, () => {})
    expect(await asked.catch((error) => error)).toMatchObject({ piece: 2, node, code: 'too-many' })
    expect(told).toEqual(follow)
  })

  test('a piece that nobody asked for is not taken', async () => {
    expect(await failureOf(a.network.outbound.piece(info, digest, { pieces: [0, 2] }, never, () => {}))).toBe('corrupt')
  })

  test('a piece whose file is too short is not taken for a piece', async () => {
    b.inbound.piece = () => ({ piece: 1, path, start: content.length - 10, end: content.length + 10, done() {} })
    expect(await failureOf(a.network.outbound.piece(info, digest, { pieces: [1] }, never, () => {}))).not.toBe(
      'no failure',
    )
    b.inbound.piece = () => ({ piece: 1, path: join(dir, 'gone'), start: 0, end: 10, done() {} })
    expect(await failureOf(a.network.outbound.piece(info, digest, { pieces: [1] }, never, () => {}))).not.toBe(
      'no failure',
    )
  })

  test('a failure of another node keeps its code on the way', async () => {
    const resolve = { repository: { registry: 'docker.io', name: 'library/busybox' }, tag: 'latest' }
    expect(await failureOf(a.network.outbound.resolve(info, resolve as never))).toBe('no-manifest')
  })

  test('a ping finds out that another node lives at the address', async () => {
    expect(await a.network.outbound.ping(info)).toBeGreaterThan(0)
    const { id } = a.network.membership.self
    const other = id.replace(/.$/, id.endsWith('z') ? 'y' : 'z')
    expect(await failureOf(a.network.outbound.ping({ ...info, id: other }))).toBe('unavailable')
  })

  test('a session carries frames both ways, and both ends learn of its end', async () => {
    const session = await a.network.outbound.session(info)
    await eventually('the other end has it too', () => b.inbound.sessions.length === 1)
    session.send({ t: 'want', digest })
    b.inbound.sessions[0]!.send({ t: 'have', digest, pieces: [1, 2] })
    await eventually('the frames arrive', () => a.inbound.frames.length === 1 && b.inbound.frames.length === 1)
    expect(b.inbound.frames[0]).toEqual({ from: a.network.membership.self.id, frame: { t: 'want', digest } })
    expect(a.inbound.frames[0]!.frame).toEqual({ t: 'have', digest, pieces: [1, 2] })
    session.close('test is over')
    await eventually('both know', () => a.inbound.closings.length === 1 && b.inbound.closings.length === 1)
    expect(b.inbound.closings).toEqual(['test is over'])
  })

  test('concurrent calls share one session, also when both ends dial at once', async () => {
    const there = () => a.network.outbound.session(info)
    const back = () => b.network.outbound.session(a.network.membership.self)
    const [one, two, three] = await Promise.all([there(), there(), back(), back()])
    expect(one).toBe(two)
    expect(three!.peer.id).toBe(a.network.membership.self.id)
    const open = () => [a, b].map((node) => node.inbound.sessions.filter((session) => session.open).length).join()
    await eventually('one is left, at either end', () => open() === '1,1')
    await Bun.sleep(50)
    expect(open()).toBe('1,1')
  })

  test('a session with a node that is not the one meant is refused', async () => {
    const other = { ...info, id: info.id.replace(/.$/, info.id.endsWith('z') ? 'y' : 'z') }
    expect(await failureOf(a.network.outbound.session(other))).toBe('unavailable')
  })
})

describe('in an open cluster', () => {
  beforeEach(async () => {
    ;[a, b] = await Promise.all([startTestNode(), startTestNode()])
    info = b.network.membership.self
  })
  afterEach(async () => {
    await Promise.all([a.network.close(), b.network.close()])
  })

  test.each([
    ['a frame that is no JSON', 'nonsense'],
    ['a frame of an unknown kind', '{"t":"boo"}'],
    ['a frame before the hello', JSON.stringify({ t: 'unwant', digest })],
    ['a frame that is too long', `"${'x'.repeat(600 * 1024)}"`],
  ])('%s ends the session', async (_, text) => {
    const socket = new WebSocket(`${info.url.replace('http', 'ws')}/shoal/v1/session`, { headers: asNode() })
    const closed = new Promise((resolve) => socket.addEventListener('close', resolve))
    socket.addEventListener('open', () => socket.send(text))
    await closed
    expect(b.inbound.sessions).toEqual([])
  })

  test('an answer that is compressed is not unpacked, however right it would be', async () => {
    const right = JSON.stringify({ digest, size: 1, mediaType: 'x', age: 0 })
    const encodings: Record<string, Uint8Array> = {
      identity: Buffer.from(right),
      gzip: Bun.gzipSync(Buffer.from(right)),
    }
    for (const [encoding, body] of Object.entries(encodings)) {
      const server = Bun.serve({
        hostname: '127.0.0.1',
        port: 0,
        fetch: () => new Response(body, { headers: { 'content-encoding': encoding } }),
      })
      const node = { ...info, url: `http://127.0.0.1:${server.port}` }
      const asked = a.network.outbound.resolve(node, {
        repository: repositoryOf('docker.io', 'app'),
        tag: parseTag('v1'),
      })
      expect(await failureOf(asked)).toBe(encoding === 'gzip' ? 'unavailable' : 'no failure')
      await server.stop(true)
    }
  })

  test.each([
    ['POST', '/shoal/v1/announce', '{}', 400],
    ['POST', '/shoal/v1/announce', 'nonsense', 400],
    ['POST', '/shoal/v1/announce', 'x'.repeat(1024 * 1024 + 1), 413],
    ['GET', '/shoal/v1/announce', undefined, 404],
    ['GET', `/shoal/v1/blobs/${digest}/pieces/-1`, undefined, 400],
    ['GET', `/shoal/v1/blobs/${digest}/pieces/1,,2`, undefined, 400],
    ['GET', `/shoal/v1/blobs/${digest}/pieces/${'1,'.repeat(wireRules.candidates)}1`, undefined, 400],
    ['GET', '/shoal/v1/blobs/sha256:1/pieces/1', undefined, 400],
    ['GET', '/shoal/v1/session', undefined, 400],
  ])('%s %.40s with a wrong request is refused', async (method, route, body, status) => {
    const response = await fetch(`${info.url}${route}`, {
      ...{ method, headers: asNode() },
      ...(body !== undefined && { body }),
    })
    expect(response.status).toBe(status)
  })

  describe('web pages are refused, and nodes are not', () => {
    const order = JSON.stringify({ location: { repository: repositoryOf('docker.io', 'app'), kind: 'blob', digest } })
    const asked = async (more: Record<string, string | undefined>, path: string = routes.fetch, body?: string) => {
      const given = Object.entries({ ...asNode(), ...more }).filter((header): header is [string, string] => !!header[1])
      const method = body === undefined ? 'GET' : 'POST'
      return (await fetch(`${info.url}${path}`, { method, headers: given, ...(body !== undefined && { body }) })).status
    }

    test.each<[string, Record<string, string | undefined>, number]>([
      ['a node', {}, 202],
      ['a node that calls by the name of its host', { host: 'localhost:4881' }, 202],
      ['a page of another site', { origin: 'http://evil.example' }, 401],
      ['a page that hides where it is from', { origin: 'null' }, 401],
      ['a page in a browser that says how it came', { 'sec-fetch-site': 'cross-site' }, 401],
      ['a page that cannot say who asks', { 'x-shoal-node': undefined }, 401],
      ['who is called something else than nodes are', { 'x-shoal-node': 'me' }, 401],
      ['a page whose name means this address now', { host: 'evil.example:4881' }, 401],
    ])('%s', async (_, said, status) => {
      expect(await asked(said, routes.fetch, order)).toBe(status)
      const found = status === 202 ? 204 : status
      expect(await asked(said, routes.ping)).toBe(found)
      // The other ways in, which have no router.
      const refused = (status: number) => (status === 401 ? 401 : 'asked')
      const others = [
        await asked(said, `/shoal/v1/blobs/${digest}/pieces/0`),
        await asked(said, routes.announce, '{}'),
        await asked(said, routes.session),
      ]
      expect(others.map(refused)).toEqual(others.map(() => refused(status)))
    })

    test('on a WebSocket too, which browsers let every page open', async () => {
      const open = (headers: Record<string, string>) => {
        const socket = new WebSocket(`${info.url.replace('http', 'ws')}${routes.session}`, { headers })
        return new Promise<string>((resolve) => {
          socket.addEventListener('open', () => {
            socket.close()
            resolve('open')
          })
          socket.addEventListener('error', () => resolve('refused'))
        })
      }
      expect(await open(asNode())).toBe('open')
      expect(await open({ ...asNode(), origin: 'http://evil.example' })).toBe('refused')
    })

    test('a node that is told by a name is called by it', async () => {
      const named = await startTestNode({ advertise: 'Node-1.rack' })
      const { port } = new URL(named.network.membership.self.url)
      const url = `http://127.0.0.1:${port}${routes.ping}`
      const said = async (host: string) => (await fetch(url, { headers: { ...asNode(), host } })).status
      expect([await said(`node-1.rack:${port}`), await said(`node-2.rack:${port}`)]).toEqual([204, 401])
      await named.network.close()
    })
  })
})
