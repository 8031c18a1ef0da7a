import { expect, test } from 'bun:test'
import { multiaddrConnectionPair } from '@libp2p/utils'
import { ClusterKey } from '../../cluster/cluster-key.ts'
import { KeyRing } from '../../cluster/key-ring.ts'
import { privateNetwork } from './private-network.ts'

const newKey = () => new ClusterKey(crypto.getRandomValues(new Uint8Array(32)))
const protector = (key: ClusterKey, told: string[] = []) =>
  privateNetwork(new KeyRing([key]), (_, why) => void told.push(why))()

test.each(['inbound', 'outbound'] as const)(
  'a silent side is waited for until the %s signal ends',
  async (direction) => {
    const end = multiaddrConnectionPair().find((end) => end.direction === direction)!
    const patience = new AbortController()
    let over = 'no'
    const ended = protector(newKey())
      .protect(end, { signal: patience.signal })
      .then(
        () => 'let in',
        (error: Error) => error.message,
      )
      .then((how) => {
        over = how
      })
    await Bun.sleep(5)
    expect(over).toBe('no')
    patience.abort()
    await ended
    expect(over).toMatch(direction === 'inbound' ? /abort/i : /it may hold no cluster key/)
  },
)

test('two that hold the same key understand each other', async () => {
  const key = newKey()
  const [out, into] = multiaddrConnectionPair()
  const { signal } = new AbortController()
  const greeting = new TextEncoder().encode('\x13/multistream/1.0.0\n')
  const both = [protector(key).protect(out, { signal }), protector(key).protect(into, { signal })] as const
  const dialled = await both[0]
  dialled.send(greeting)
  const heard = Promise.withResolvers<Uint8Array>()
  const accepted = await both[1]
  accepted.addEventListener('message', ({ data }) => heard.resolve(data.subarray()))
  expect(await heard.promise).toEqual(greeting)
})

test('who holds another key is not let in, and the operator is told', async () => {
  const [out, into] = multiaddrConnectionPair()
  const told: string[] = []
  const { signal } = new AbortController()
  const accepting = protector(newKey(), told).protect(into, { signal })
  const dialled = await protector(newKey()).protect(out, { signal })
  dialled.send(new TextEncoder().encode('\x13/multistream/1.0.0\n'))
  await expect(accepting).rejects.toThrow('another cluster key')
  expect(told).toEqual(['the other side holds another cluster key'])
})
