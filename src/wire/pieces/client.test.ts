import { afterEach, beforeEach, expect, test } from 'bun:test'
import type { Socket, TCPSocketListener } from 'bun'
import { FakeClock } from '../../../test/fakes/clock.ts'
import { eventually } from '../../../test/fakes/network.ts'
import { seededRandom } from '../../clock.ts'
import { ClusterKey } from '../../cluster/cluster-key.ts'
import { Identity } from '../../cluster/identity.ts'
import { KeyRing } from '../../cluster/key-ring.ts'
import { Tickets } from '../../cluster/tickets.ts'
import { Failure } from '../../failure.ts'
import { digestOf } from '../../oci/digest.ts'
import { Gate } from '../../rate.ts'
import { plain } from '../encryption.ts'
import { wireRules } from '../rules.ts'
import { Elsewhere, type PieceAnswer, type WantedPieces } from '../wire.ts'
import { headBytes } from './answer.ts'
import { PieceClient, type PieceClientOptions } from './client.ts'

const KiB = 1024
const digest = digestOf(new TextEncoder().encode('blob'))
const never = new AbortController().signal

/** A parent that says what a test tells it to, to each request. */
let parent: TCPSocketListener<undefined>
let reply: (socket: Socket<undefined>, request: string) => void
/** What the parent does when the kernel takes more from it. */
let pour: (socket: Socket<undefined>) => void
let requests: string[]
let open: Set<Socket<undefined>>
let connections: number
let clock: FakeClock
let client: PieceClient

beforeEach(() => {
  requests = []
  pour = () => {}
  open = new Set()
  connections = 0
  clock = new FakeClock()
  client = clientWith(() => ({ 'x-shoal-node': 'me' }))
  parent = Bun.listen({
    hostname: '127.0.0.1',
    port: 0,
    socket: {
      open(socket) {
        connections++
        open.add(socket)
      },
      data(socket, bytes) {
        requests.push(bytes.toString())
        reply(socket, bytes.toString())
      },
      drain: (socket) => pour(socket),
      close: (socket) => void open.delete(socket),
    },
  })
})
afterEach(() => {
  client.close()
  parent.stop(true)
})

const clientWith = (headers: PieceClientOptions['headers'], gate = new Gate({ clock })) =>
  new PieceClient({
    headers,
    encryption: plain,
    gate,
    received: undefined,
    clock,
    metrics: undefined,
  })

const fetchPiece = (
  wanted: WantedPieces = { pieces: [1], bytes: 512 * KiB },
  signal = never,
  id = 'p',
): Promise<PieceAnswer> =>
  client.fetch({ id, url: `http://127.0.0.1:${parent.port}` }, digest, wanted, signal, () => {})

const failureOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no failure',
    (error) => (error instanceof Failure ? error.code : String(error)),
  )

const head = (length: number, { piece = 1, body = length, more = '' } = {}) =>
  `HTTP/1.1 200 OK\r\ncontent-length: ${body}\r\nx-shoal-piece: ${piece}\r\nx-shoal-length: ${length}\r\n${more}\r\n`
const send = (text: string) => (socket: Socket<undefined>) => void socket.write(text)

test('a request names the blob, the pieces and who asks', async () => {
  reply = send(`${head(4)}abcd`)
  const { piece, bytes } = await fetchPiece({ pieces: [3, 1], background: true })
  expect([piece, Buffer.from(bytes).toString()]).toEqual([1, 'abcd'])
  expect(requests).toEqual([
    `GET /shoal/v1/blobs/${digest}/pieces/3,1 HTTP/1.1\r\nhost: 127.0.0.1:${parent.port}\r\n` +
      'x-shoal-node: me\r\nx-shoal-background: 1\r\n\r\n',
  ])
})

test('a request says that its piece may come from others, or before it is whole', async () => {
  reply = send(`${head(4)}abcd`)
  const follow = { id: 'me', url: 'http://10.0.0.7:4881', zone: 'eu/one' }
  await fetchPiece({ pieces: [1], follow, coming: true })
  const said = ['x-shoal-follow: 1', 'x-shoal-url: http://10.0.0.7:4881', 'x-shoal-zone: eu%2Fone', 'x-shoal-coming: 1']
  expect(requests[0]).toContain(`\r\n${said.join('\r\n')}\r\n`)
})

test('who is to be asked instead is told, and the connection is used again', async () => {
  const { id } = await Identity.temporary()
  reply = send(
    `HTTP/1.1 503 Busy\r\nx-shoal-piece: 1\r\nx-shoal-elsewhere: ${id}\r\nx-shoal-url: http://10.0.0.7:4881\r\ncontent-length: 0\r\n\r\n`,
  )
  const failure = await fetchPiece().catch((error) => error)
  expect(failure).toBeInstanceOf(Elsewhere)
  expect(failure).toMatchObject({ piece: 1, node: { id, url: 'http://10.0.0.7:4881' }, code: 'too-many' })
  reply = send(`${head(2)}ok`)
  await fetchPiece()
  expect(connections).toBe(1)
})

test('a piece that comes in chunks is told of as it comes', async () => {
  const told: [bytes: string, upTo: number][] = []
  reply = (socket) => {
    const length = 'transfer-encoding: chunked\r\nx-shoal-piece: 1\r\nx-shoal-length: 4\r\n'
    socket.write(`HTTP/1.1 200 OK\r\n${length}\r\n2\r\nab\r\n`)
  }
  const came = (bytes: Uint8Array, upTo: number) => {
    told.push([Buffer.from(bytes.subarray(0, upTo)).toString(), upTo])
    if (upTo === 2) for (const socket of open) socket.write('2\r\ncd\r\n0\r\n\r\n')
  }
  const node = { id: 'p', url: `http://127.0.0.1:${parent.port}` }
  const answer = await client.fetch(node, digest, { pieces: [1], bytes: 4 }, never, () => {}, undefined, came)
  expect(Buffer.from(answer.bytes).toString()).toBe('abcd')
  expect(told).toEqual([
    ['ab', 2],
    ['abcd', 4],
  ])
})

test('who asks is told when a limit of this node keeps the request back, and when it is sent', async () => {
  reply = send(`${head(4)}abcd`)
  client.close()
  client = clientWith(() => ({}), new Gate({ clock, bytesPerSecond: 4 }))
  const told: [told: boolean | string, sent: number][] = []
  const ask = () =>
    client.fetch(
      { id: 'p', url: `http://127.0.0.1:${parent.port}` },
      ...([digest, { pieces: [1], bytes: 4 }, never] as const),
      () => told.push(['chosen', requests.length]),
      (waits) => told.push([waits, requests.length]),
    )
  await ask()
  expect(told.splice(0)).toEqual([['chosen', 1]])
  const second = ask()
  expect(told.splice(0)).toEqual([[true, 1]])
  clock.advance(1000)
  await second
  expect(told).toEqual([
    [false, 1],
    ['chosen', 2],
  ])
})

test('a request for any piece takes whichever comes', async () => {
  reply = send(`${head(2, { piece: 70 })}ok`)
  expect((await fetchPiece({ unwanted: Uint8Array.of(255), from: 8 })).piece).toBe(70)
  expect(requests[0]).toContain('/pieces/any HTTP/1.1\r\n')
})

test('a connection is used again, and closed when it was not for a while', async () => {
  reply = send(`${head(2)}ok`)
  for (let i = 0; i < 5; i++) await fetchPiece()
  expect([connections, open.size]).toEqual([1, 1])
  clock.advance(2000 * wireRules.keepSeconds)
  await eventually('it is closed', () => open.size === 0)
  await fetchPiece()
  expect(connections).toBe(2)
})

test('each request has a connection of its own', async () => {
  const waiting: Socket<undefined>[] = []
  reply = (socket) => {
    waiting.push(socket)
    if (waiting.length === 3) for (const each of waiting) each.write(`${head(2)}ok`)
  }
  await Promise.all([fetchPiece(), fetchPiece(), fetchPiece()])
  expect(connections).toBe(3)
})

test('a kept connection that the parent closes instead of answering is replaced', async () => {
  reply = send(`${head(2)}ok`)
  await fetchPiece()
  reply = (socket) => {
    reply = send(`${head(2)}ok`)
    socket.terminate()
  }
  expect((await fetchPiece()).piece).toBe(1)
  expect(requests).toHaveLength(3)
})

test('a request that is sent again is admitted again: the parent may have read it before it went away', async () => {
  const [self, node] = await Promise.all([Identity.temporary(), Identity.temporary()])
  const ring = new KeyRing([new ClusterKey(new Uint8Array(32).fill(1))])
  const ticketsOf = (of: Identity) =>
    new Tickets({ self: of.id, agree: (other) => of.agree(other), ring, clock, random: seededRandom(1) })
  const [mine, theirs] = [ticketsOf(self), ticketsOf(node)]
  client.close()
  client = clientWith(({ id }, target) => ({ 'x-shoal-ticket': mine.make(id, 'GET', target).text }))
  let goesAway = false
  reply = (socket, request) => {
    const [, target = ''] = request.split(' ', 2)
    theirs.check(/^x-shoal-ticket: (.*)$/m.exec(request)![1]!.trim(), self.id, 'GET', target)
    if (goesAway) socket.terminate()
    else socket.write(`${head(2)}ok`)
    goesAway = false
  }
  await fetchPiece(undefined, never, node.id)
  goesAway = true
  expect((await fetchPiece(undefined, never, node.id)).piece).toBe(1)
  expect(requests).toHaveLength(3)
})

test('a parent that closes a new connection instead of answering is asked once', async () => {
  reply = (socket) => void socket.terminate()
  expect(await failureOf(fetchPiece())).toBe('unavailable')
  expect(requests).toHaveLength(1)
})

test('a parent that goes away in the middle of a piece is asked once', async () => {
  reply = send(`${head(2)}ok`)
  await fetchPiece()
  reply = (socket) => void socket.end(`${head(1000)}the beginning`)
  expect(await failureOf(fetchPiece())).toBe('unavailable')
  expect(requests).toHaveLength(2)
})

test('a request that is given up closes its connection, also before it is there', async () => {
  reply = send(head(1000))
  const controller = new AbortController()
  const given = failureOf(fetchPiece(undefined, controller.signal))
  await eventually('the request is there', () => requests.length === 1)
  controller.abort()
  expect(await given).toBe('cancelled')
  await eventually('it is closed', () => open.size === 0)
  const early = new AbortController()
  const gone = failureOf(fetchPiece(undefined, early.signal))
  await Promise.resolve()
  early.abort()
  expect(await gone).toBe('cancelled')
  await eventually('nothing stays open', () => open.size === 0)
})

test('a parent that sends too slowly is given up after a while', async () => {
  reply = send(head(1000))
  const slow = failureOf(fetchPiece())
  await eventually('the request is there', () => requests.length === 1)
  clock.advance(wireRules.pieceDeadline - 1)
  expect(open.size).toBe(1)
  clock.advance(wireRules.pieceDeadline / 4)
  expect(await slow).toBe('unavailable')
  await eventually('it is closed', () => open.size === 0)
})

test.each([
  ['a piece nobody asked for', head(4, { piece: 2 }), 'corrupt'],
  ['a piece that is longer than it can be', head(512 * KiB + 1), 'corrupt'],
  ['no piece at all', 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody', 'corrupt'],
  ['less than the piece has', head(1000, { body: 900 }), 'unavailable'],
  ['a body of unknown length', head(4).replace('content-length', 'x'), 'unavailable'],
  ['a body in chunks', head(4, { more: 'transfer-encoding: chunked\r\n' }), 'unavailable'],
  ['more than it announced', `${head(4)}abcdefgh`, 'unavailable'],
  ['an endless head', `HTTP/1.1 200 OK\r\n${'x: y\r\n'.repeat(headBytes)}`, 'unavailable'],
  ['nonsense', 'nonsense\r\n\r\n', 'unavailable'],
  ['a redirect', 'HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n', 'unavailable'],
  [
    'a piece in chunks, and less of it than it has',
    `${head(4).replace('content-length: 4', 'transfer-encoding: chunked')}2\r\nab\r\n0\r\n\r\n`,
    'unavailable',
  ],
  ['that it is busy', 'HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n', 'too-many'],
  ['that it has none', 'HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n', 'no-blob'],
])('a parent that sends %s is refused', async (_, text, code) => {
  reply = send(text)
  expect(await failureOf(fetchPiece())).toBe(code)
})

test('a parent that talks on after its answer has its connection closed', async () => {
  reply = send(`${head(2)}ok`)
  await fetchPiece()
  for (const socket of open) socket.write('and another thing')
  await eventually('it is closed', () => open.size === 0)
})

test('a parent that never stops sending gets its connection closed after a piece', async () => {
  const flood = 'y'.repeat(64 * KiB)
  let poured = 0
  pour = (socket) => {
    for (let n = 1; n > 0; poured += Math.max(0, n)) n = socket.write(flood)
  }
  reply = (socket) => {
    socket.write(head(512 * KiB))
    pour(socket)
  }
  expect(await failureOf(fetchPiece())).toBe('unavailable')
  await eventually('it is closed', () => open.size === 0)
  expect(poured).toBeGreaterThan(512 * KiB)
})
