import { expect, test } from 'bun:test'
import { placeOf } from './places.ts'

test.each([
  ['127.0.0.1', 'this host'],
  ['127.255.0.9', 'this host'],
  ['0.0.0.0', 'this host'],
  ['::1', 'this host'],
  ['::', 'this host'],
  ['0:0:0:0:0:0:0:1', 'this host'],
  ['::ffff:127.0.0.1', 'this host'],
  ['::ffff:7f00:1', 'this host'],
  ['64:ff9b::7f00:1', 'this host'],
  ['2002:7f00:1::', 'this host'],
  ['169.254.169.254', 'a cloud metadata service'],
  ['::ffff:169.254.169.254', 'a cloud metadata service'],
  ['64:ff9b::a9fe:a9fe', 'a cloud metadata service'],
  ['fd00:ec2::254', 'a cloud metadata service'],
  ['168.63.129.16', 'a cloud metadata service'],
  ['169.254.7.7', 'a link-local address'],
  ['fe80::1', 'a link-local address'],
  ['fe80::1%eth0', 'a link-local address'],
  ['febf::1', 'a link-local address'],
  ['224.0.0.251', 'a multicast or reserved address'],
  ['255.255.255.255', 'a multicast or reserved address'],
  ['ff02::fb', 'a multicast or reserved address'],
] as const)('nobody is sent to %s: it is %s', (address, place) => {
  expect(placeOf(address)).toBe(place)
})

test.each([
  '10.0.0.7',
  '172.16.1.1',
  '192.168.1.1',
  '100.64.0.1',
  '93.184.215.14',
  '128.0.0.1',
  '2606:2800:220:1::1',
  'fd12:3456::1',
  '64:ff9b::a00:7',
  '::ffff:10.0.0.7',
  'fec0::1',
  'registry.corp',
])('%s is a place like others', (address) => {
  expect(placeOf(address)).toBeUndefined()
})
