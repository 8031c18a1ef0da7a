import { afterEach, describe, expect, test } from 'bun:test'
import { notRoot } from '../../test/fakes/root.ts'
import { listenAsNobody, type Stranger } from '../../test/fakes/stranger.ts'
import { type Address, formatAddress, ListenError } from '../listen.ts'
import { type Fields, silentLog } from '../telemetry/log.ts'
import { ownHosts } from './stranger.ts'
import { openTwin } from './twin.ts'

const at = (host: string, port = 4880): Address => ({ host, port })
const both = ['127.0.0.1', '::1']

/** What was opened beside that address, and what the operator was warned of. */
async function opened(address: Address, own: readonly string[], refusal?: Error) {
  const [asked, warnings]: [string[], [string, Fields | undefined][]] = [[], []]
  const log = { ...silentLog, warn: (message: string, fields?: Fields) => void warnings.push([message, fields]) }
  const open = (twin: Address) => {
    asked.push(formatAddress(twin))
    if (refusal) throw refusal
  }
  await openTwin(address, open, log, [...own])
  return { asked, warnings }
}

const inUse = (port: number) =>
  new ListenError(Object.assign(new Error('in use'), { code: 'EADDRINUSE' }), at('::1', port), '--registry-addr')

describe('a node that listens for localhost', () => {
  test('does so on both of its addresses', async () => {
    expect((await opened(at('127.0.0.1'), both)).asked).toEqual(['[::1]:4880'])
    expect((await opened(at('0.0.0.0'), both)).asked).toEqual(['[::1]:4880'])
    expect((await opened(at('::1'), both)).asked).toEqual(['127.0.0.1:4880'])
  })

  test('has no more than it is told to elsewhere', async () => {
    for (const host of ['127.0.0.2', '10.0.0.7', '::']) expect((await opened(at(host), both)).asked).toEqual([])
  })

  test('starts without a word on a host without IPv6', async () => {
    expect(await opened(at('127.0.0.1'), ['127.0.0.1', '10.0.0.7'])).toEqual({ asked: [], warnings: [] })
  })

  test('starts, and says so, where another program was there first', async () => {
    const { warnings } = await opened(at('127.0.0.1', 1), both, inUse(1))
    expect(warnings).toEqual([
      [
        'who asks for localhost:1 may not get to this node, but to whoever has [::1]:1',
        { reason: expect.stringContaining('in use'), mend: expect.stringContaining("ss -ltnp 'sport = :1'") },
      ],
    ])
  })

  test('does not hide what else goes wrong', async () => {
    await expect(opened(at('127.0.0.1'), both, new TypeError('a bug'))).rejects.toThrow('a bug')
  })
})

describe.skipIf(notRoot || !ownHosts().includes('::1'))('a user who was there first', () => {
  let stranger: Stranger | undefined
  afterEach(() => stranger?.close())

  test('is named', async () => {
    stranger = listenAsNobody(undefined, at('::1', 0))
    const { warnings } = await opened(at('127.0.0.1', stranger.port), both, inUse(stranger.port))
    expect(warnings).toEqual([
      [expect.stringContaining(`[::1]:${stranger.port}`), { user: 'nobody', mend: expect.any(String) }],
    ])
  })
})
