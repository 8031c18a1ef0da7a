/** What one host may take up of the peer port, over sockets: hosts are addresses of loopback, which count here. */
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { connect, type Socket } from 'node:net'
import { FakeClock } from '../../test/fakes/clock.ts'
import { infoOf } from '../../test/fakes/members.ts'
import { Failure } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { silentLog } from '../telemetry/log.ts'
import { Intake } from './intake.ts'
import { maxControlBytes } from './messages.ts'
import { type RunningPeerServer, startPeerServer } from './peer-server.ts'
import { routes } from './rules.ts'
import type { Inbound } from './wire.ts'

const [one, other] = ['127.0.0.7', '127.0.0.8']
const unasked = () => {
  throw new Failure('internal', 'not asked for in these tests')
}
const inbound: Inbound = {
  opened: unasked,
  frame: unasked,
  closed: unasked,
  offer: unasked,
  passOn: unasked,
  order: unasked,
  schedule: unasked,
  announce: unasked,
  resolve: unasked,
}

let server: RunningPeerServer
let offer: Inbound['offer']
let clock: FakeClock
/** Requests that got as far as having a place. */
let admitted: number
const sockets: Socket[] = []
beforeEach(() => {
  clock = new FakeClock()
  admitted = 0
  offer = unasked
  const limits = { requestsOfHost: 4, bodyBytesOfHost: 2 * maxControlBytes, bodyBytes: 4 * maxControlBytes }
  server = startPeerServer({
    address: { host: '127.0.0.1', port: 0 },
    certificate: undefined,
    self: () => infoOf('self'),
    inbound: () => ({ ...inbound, offer }),
    admit: () => {
      admitted++
      return { sender: undefined, pass: undefined }
    },
    refused: () => {},
    sessions: () => undefined,
    intake: new Intake(limits, () => false),
    clock,
    log: silentLog,
    metrics: undefined,
  })
})
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await server.close()
})

/** Sends `text` from that address, and gathers what comes back. */
function say(from: string, text: string) {
  const socket = connect({ host: '127.0.0.1', port: server.port, localAddress: from })
  sockets.push(socket)
  const said = { answer: '', socket }
  socket.on('connect', () => socket.write(text))
  socket.on('data', (data) => {
    said.answer += data.toString('latin1')
  })
  socket.on('error', () => {})
  return said
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !condition(); i++) await Bun.sleep(2)
  expect(condition()).toBe(true)
}

const ping = `GET ${routes.ping} HTTP/1.1\r\nhost: node\r\n\r\n`
const post = (route: string, length: number) =>
  `POST ${route} HTTP/1.1\r\nhost: node\r\ncontent-length: ${length}\r\n\r\n`

/** The answer to what is said from that address. */
async function answerTo(from: string, text: string): Promise<string> {
  const said = say(from, text)
  await until(() => said.answer.includes('\r\n\r\n'))
  said.socket.destroy()
  return said.answer
}

/** Requests that promise a body of that length, of which nothing comes. */
async function hold(from: string, count: number, length: number, route: string): Promise<Socket[]> {
  const before = admitted
  const held = Array.from({ length: count }, () => say(from, post(route, length)).socket)
  await until(() => admitted === before + count)
  return held
}

const busy = /^HTTP\/1.1 503[\s\S]*retry-after: 1\r\n[\s\S]*"code":"too-many"/i

test.each([routes.announce, routes.schedule, routes.resolve])(
  'a host that has too many requests to %s under way is told to wait, and others are served',
  async (route) => {
    const [held] = await hold(one, 4, 10, route)
    expect(await answerTo(one, ping)).toMatch(busy)
    expect(await answerTo(one, post(routes.announce, 0))).toMatch(busy)
    expect(await answerTo(other, ping)).toStartWith('HTTP/1.1 204')
    held!.destroy()
    let answer = ''
    for (let i = 0; i < 100 && !answer.startsWith('HTTP/1.1 204'); i++) answer = await answerTo(one, ping)
    expect(answer).toStartWith('HTTP/1.1 204')
  },
)

test.each([routes.announce, routes.schedule, routes.resolve])(
  'a host whose bodies for %s fill its share is told to wait, and others are heard',
  async (route) => {
    await hold(one, 2, maxControlBytes, route)
    for (const next of [routes.announce, routes.schedule, routes.resolve, routes.fetch]) {
      expect(await answerTo(one, post(next, 1))).toMatch(busy)
      // It is heard, and found to be no message.
      expect(await answerTo(other, `${post(next, 1)}x`)).toStartWith('HTTP/1.1 400')
    }
    expect(await answerTo(one, ping)).toStartWith('HTTP/1.1 204')
  },
)

test('all of the head of a piece is said by this program: what the runtime adds, it sends in packets of its own', async () => {
  offer = async () => {
    // As when a turn is waited for.
    await Bun.sleep(1)
    return { piece: 0, path: import.meta.path, start: 0, end: 10, done: () => {} }
  }
  const path = routes.piece.replace(':digest', digestOf(new Uint8Array())).replace(':list', '0')
  const answer = await answerTo(one, `GET ${path} HTTP/1.1\r\nhost: node\r\n\r\n`)
  const [head] = answer.split('\r\n\r\n')
  expect(head!.match(/^date: .*$/gim)).toEqual([`Date: ${new Date(clock.wall()).toUTCString()}`])
})

test('bodies that do not come in time are given up, and make room for others of their host', async () => {
  await hold(one, 2, maxControlBytes, routes.announce)
  clock.advance(10_000)
  let answer = ''
  for (let i = 0; i < 100 && !answer.startsWith('HTTP/1.1 400'); i++) {
    answer = await answerTo(one, `${post(routes.announce, 1)}x`)
  }
  expect(answer).toStartWith('HTTP/1.1 400')
})
