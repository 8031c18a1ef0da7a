import { expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { systemClock } from '../clock.ts'
import { Identity } from '../cluster/identity.ts'
import { type Encryption, encrypt, plain } from './encryption.ts'
import { sealLength } from './frame-seals.ts'
import { maxFrameBytes } from './messages.ts'
import type { SocketSession } from './session.ts'
import { dialSocket } from './sockets.ts'

/** A peer port that takes every session and says nothing. */
async function listen({ certificate }: Encryption, port = 0) {
  return Bun.serve({
    hostname: '127.0.0.1',
    port,
    tls: (await certificate('127.0.0.1'))!,
    fetch: (request, server) => (server.upgrade(request) ? undefined : new Response(null, { status: 400 })),
    websocket: { message() {} },
  })
}

test('a node that started anew with another certificate is dialled in vain once', async () => {
  const [theirs, ours] = await Promise.all([Identity.temporary(), Identity.temporary()])
  const start = (identity: Identity) => encrypt(identity, systemClock)
  const [before, after, encryption] = await Promise.all([start(theirs), start(theirs), start(ours)])
  const dial = dialSocket(systemClock, encryption, () => ({ headers: {}, secret: undefined }))
  const first = await listen(before)
  const { port } = first
  const node = { id: theirs.id, url: `https://127.0.0.1:${port}` }
  const outcome = () =>
    new Promise<string>((resolve) => {
      const opened: Parameters<typeof dial>[1] = (pipe) => {
        pipe.terminate()
        resolve('opened')
        return { ended() {} } as unknown as SocketSession
      }
      dial(node, opened, () => resolve('failed'))
    })
  expect(await outcome()).toBe('opened')
  await first.stop(true)
  const second = await listen(after, port)
  expect([await outcome(), await outcome()]).toEqual(['failed', 'opened'])
  await second.stop(true)
})

/** The head of a text frame, or of a part of one, with as much as there is of what it says comes. */
function frame(says: number, { last = true, first = true, comes = says } = {}): Buffer {
  const head = Buffer.alloc(10)
  head[0] = (last ? 0x80 : 0) | (first ? 1 : 0)
  head[1] = 127
  head.writeBigUInt64BE(BigInt(says), 2)
  return Buffer.concat([head, Buffer.alloc(comes, 'x')])
}

/** A peer port that takes a session and says `frames`, whatever it is told. */
function babbling(frames: readonly Buffer[]) {
  return Bun.listen<{ left: Buffer }>({
    hostname: '127.0.0.1',
    port: 0,
    socket: {
      data(socket, bytes) {
        const key = /sec-websocket-key: (.*)\r\n/i.exec(bytes.toString())?.[1]
        if (!key) return
        const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
        const head = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade']
        const answer = `${[...head, `Sec-WebSocket-Accept: ${accept}`].join('\r\n')}\r\n\r\n`
        socket.data = { left: Buffer.concat([Buffer.from(answer), ...frames]) }
        socket.data.left = socket.data.left.subarray(socket.write(socket.data.left))
      },
      drain(socket) {
        socket.data.left = socket.data.left.subarray(socket.write(socket.data.left))
      },
    },
  })
}

const most = maxFrameBytes + sealLength
test.each([
  ['as long as one may be is read', [frame(most)], `read ${most}`],
  ['that would be longer is not waited for', [frame(64 * most, { comes: 1 })], 'Max payload size exceeded'],
  [
    'in parts that are longer together is not gathered',
    [frame(most, { last: false }), frame(2, { last: false, first: false, comes: 1 })],
    'Max payload size exceeded',
  ],
])('a frame %s', async (_, frames, outcome) => {
  const server = babbling(frames)
  const { promise, resolve } = Promise.withResolvers<string>()
  const session = { received: (text: string) => resolve(`read ${text.length}`), ended: resolve, alive() {} }
  const dial = dialSocket(systemClock, plain, () => ({ headers: {}, secret: undefined }))
  const url = `http://127.0.0.1:${server.port}`
  const giveUp = dial({ id: 'babbler', url }, () => ({ ...session, close() {} }) as unknown as SocketSession, resolve)
  expect(await promise).toBe(outcome)
  giveUp()
  server.stop(true)
})
