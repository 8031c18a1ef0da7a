import { describe, expect, test } from 'bun:test'
import { networkInterfaces } from 'node:os'
import { FakeClock } from '../../test/fakes/clock.ts'
import { OwnAddresses, ownIn } from './own-addresses.ts'
import { placeOf } from './places.ts'

const trie = `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.0.0.0/24 2 0 2
        |-- 10.0.0.0
           /24 link UNICAST
        |-- 10.0.0.7
           /32 host LOCAL
        |-- 10.0.0.255
           /32 link BROADCAST
Local:
  +-- 0.0.0.0/0 3 0 5
     |-- 10.9.0.0
        /32 link BROADCAST
        /16 host LOCAL
     |-- 172.17.0.1
        /32 host LOCAL
`
const inet6 = `00000000000000000000000000000001 01 80 10 80       lo
fd123456000000000000000000000007 02 40 00 80     eth0
`

describe("a host's own addresses", () => {
  const own = ownIn(trie, inet6)
  test.each(['10.0.0.7', '172.17.0.1', '10.9.0.0', '10.9.255.3', '::ffff:10.0.0.7', 'fd12:3456::7'])(
    'are those that the kernel delivers to itself: %s',
    (address) => expect(placeOf(address, own)).toBe('this host'),
  )

  test.each(['10.0.0.0', '10.0.0.8', '10.0.0.255', '10.10.0.1', '172.17.0.2', 'fd12:3456::8', 'registry.corp'])(
    'are not those that it sends elsewhere: %s',
    (address) => expect(placeOf(address, own)).toBeUndefined(),
  )

  test('are none where the lists cannot be read or say something else', () => {
    for (const text of ['', 'nonsense\n', '|-- 10.0.0.7', '|-- 10.0.0.7\n'])
      expect(placeOf('10.0.0.7', ownIn(text, text))).toBeUndefined()
  })

  test('are found on the host that this runs on', async () => {
    const list = await new OwnAddresses(new FakeClock()).get()
    const all = Object.values(networkInterfaces()).flatMap((infos) => infos ?? [])
    expect(all.filter(({ address, family }) => !list.check(address, family === 'IPv4' ? 'ipv4' : 'ipv6'))).toEqual([])
  })
})
