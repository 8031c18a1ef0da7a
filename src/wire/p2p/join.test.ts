import { expect, test } from 'bun:test'
import { nameIn, parseJoin } from './join.ts'

test.each([
  ['10.0.0.7', '/ip4/10.0.0.7/tcp/4882'],
  ['10.0.0.7:5000', '/ip4/10.0.0.7/tcp/5000'],
  ['node-1.rack.example', '/dns/node-1.rack.example/tcp/4882'],
  ['node-1:5000', '/dns/node-1/tcp/5000'],
  ['fd00::7', '/ip6/fd00::7/tcp/4882'],
  ['[fd00::7]:5000', '/ip6/fd00::7/tcp/5000'],
  ['/ip4/10.0.0.7/tcp/4882', '/ip4/10.0.0.7/tcp/4882'],
  [
    '/dns4/a/tcp/1/p2p/12D3KooWGRUVh9oUJ5vzbGpeyvoN7fXYZMmJXCxqYcbFTyyHDKVj',
    '/dns4/a/tcp/1/p2p/12D3KooWGRUVh9oUJ5vzbGpeyvoN7fXYZMmJXCxqYcbFTyyHDKVj',
  ],
])('--join %s means %s', (entry, address) => {
  expect(parseJoin(entry)).toBe(address)
})

test.each([
  '',
  'a b',
  '10.0.0.300',
  '10.0.0.7:0',
  '10.0.0.7:70000',
  'http://10.0.0.7',
  '/ip4/10.0.0.7',
  '/ip4/x/tcp/1',
  '/ip4/10.0.0.7/udp/4882',
  '/ip4/10.0.0.7/tcp/4882/ws',
])('--join %j is refused with what is expected', (entry) => {
  expect(() => parseJoin(entry)).toThrow(/^--join .*; expected host, host:port \(default 4882\) or a multiaddr/)
})

test.each([
  ['/dns/seeds.example/tcp/4882', 'seeds.example', ['/ip4/10.0.0.7/tcp/4882', '/ip6/fd00::7/tcp/4882']],
  ['/dns4/seeds/tcp/1', 'seeds', ['/ip4/10.0.0.7/tcp/1', undefined]],
  [
    '/dns6/seeds/tcp/1/p2p/12D3KooWGRUVh9oUJ5vzbGpeyvoN7fXYZMmJXCxqYcbFTyyHDKVj',
    'seeds',
    [undefined, '/ip6/fd00::7/tcp/1/p2p/12D3KooWGRUVh9oUJ5vzbGpeyvoN7fXYZMmJXCxqYcbFTyyHDKVj'],
  ],
])('the name in %s is %s, and stands for its addresses', (entry, host, addresses) => {
  const name = nameIn(entry)
  expect(name?.host).toBe(host)
  expect(['10.0.0.7', 'fd00::7'].map((ip) => name?.at(ip))).toEqual(addresses)
})

test('an entry that is an address has no name in it', () => {
  expect(nameIn('/ip4/10.0.0.7/tcp/4882')).toBeUndefined()
})
