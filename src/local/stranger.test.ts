import { afterEach, describe, expect, test } from 'bun:test'
import { notRoot } from '../../test/fakes/root.ts'
import { listenAsNobody, nobody, type Stranger } from '../../test/fakes/stranger.ts'
import type { Listener } from './listeners.ts'
import { listenersAt, refuseStranger, strangerAmong } from './stranger.ts'

const listener = (host: string, uid: number, port = 4880): Listener => ({ address: { host, port }, uid, inode: '1' })
const at = (host: string, port = 4880) => ({ host, port })

describe('who listens at an address', () => {
  const own = ['127.0.0.1', '10.0.0.7']
  const uids = (listeners: Listener[], host: string) => listenersAt(listeners, at(host), own).map(({ uid }) => uid)

  test('has that very address, or else all of them', () => {
    const all = [listener('0.0.0.0', 1), listener('127.0.0.1', 2), listener('127.0.0.1', 3, 4881), listener('::', 4)]
    expect(uids(all, '127.0.0.1')).toEqual([2])
    expect(uids(all, '10.0.0.7')).toEqual([1, 4])
    expect(uids(all, 'localhost')).toEqual([2, 1, 4])
    expect(uids([listener('10.0.0.7', 5)], '127.0.0.1')).toEqual([])
  })

  test('is not known of another host, nor of a name', () => {
    const all = [listener('0.0.0.0', 1)]
    for (const host of ['10.0.0.8', 'node.corp']) expect(uids(all, host)).toEqual([])
  })
})

test('root and whoever asks are no strangers', () => {
  const who = (...uids: number[]) =>
    strangerAmong(
      uids.map((uid) => listener('127.0.0.1', uid)),
      at('127.0.0.1'),
    )
  expect([who(0), who(process.getuid!()), who()]).toEqual([undefined, undefined, undefined])
  expect([who(nobody.uid), who(4_000_000_000), who(0, nobody.uid)]).toEqual(['nobody', '4000000000', 'nobody'])
})

describe.skipIf(notRoot)('a user of this host who has the port of a node', () => {
  let stranger: Stranger | undefined
  afterEach(() => stranger?.close())

  test('is named, by whatever address the port is asked for', async () => {
    stranger = listenAsNobody()
    for (const host of ['127.0.0.1', 'localhost']) {
      const refused = refuseStranger(`http://${host}:${stranger.port}`)
      await expect(refused).rejects.toMatchObject({
        code: 'forbidden',
        message: expect.stringContaining('user nobody'),
      })
    }
    expect(stranger.connections()).toBe(0)
  })

  test('is told from a node', async () => {
    const server = Bun.serve({ hostname: '0.0.0.0', port: 0, fetch: () => new Response('') })
    await refuseStranger(`http://127.0.0.1:${server.port}`)
    await server.stop(true)
    await refuseStranger(`http://127.0.0.1:${server.port}`)
  })
})
