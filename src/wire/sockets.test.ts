import { expect, test } from 'bun:test'
import { systemClock } from '../clock.ts'
import { Identity } from '../cluster/identity.ts'
import { type Encryption, encrypt } from './encryption.ts'
import { dialSocket } from './sockets.ts'

/** A peer port that takes every session and says nothing. */
function listen({ certificate }: Encryption, port = 0) {
  return Bun.serve({
    hostname: '127.0.0.1',
    port,
    tls: certificate!,
    fetch: (request, server) => (server.upgrade(request) ? undefined : new Response(null, { status: 400 })),
    websocket: { message() {} },
  })
}

test('a node that started anew with another certificate is dialled in vain once', async () => {
  const [theirs, ours] = await Promise.all([Identity.temporary(), Identity.temporary()])
  const start = (identity: Identity) => encrypt(identity, '127.0.0.1', systemClock)
  const [before, after, encryption] = await Promise.all([start(theirs), start(theirs), start(ours)])
  const dial = dialSocket(systemClock, encryption, () => ({ headers: {}, secret: undefined }))
  const first = listen(before)
  const { port } = first
  const node = { id: theirs.id, url: `https://127.0.0.1:${port}` }
  const outcome = () =>
    new Promise<string>((resolve) => {
      const opened: Parameters<typeof dial>[1] = (pipe) => {
        pipe.terminate()
        resolve('opened')
        return { ended() {} } as unknown as ReturnType<typeof opened>
      }
      dial(node, opened, () => resolve('failed'))
    })
  expect(await outcome()).toBe('opened')
  await first.stop(true)
  const second = listen(after, port)
  expect([await outcome(), await outcome()]).toEqual(['failed', 'opened'])
  await second.stop(true)
})
