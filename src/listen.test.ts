import { describe, expect, test } from 'bun:test'
import { createServer } from 'node:http'
import {
  formatAddress,
  isLoopback,
  ListenError,
  listen,
  listenHttp,
  meansThisHost,
  numbered,
  parseAddress,
  parseHost,
  twinOf,
} from './listen.ts'

describe('parseAddress', () => {
  test.each([
    ['127.0.0.1:4880', '127.0.0.1', 4880],
    ['localhost:0', 'localhost', 0],
    ['[::1]:4883', '::1', 4883],
    ['[fd00::7]:65535', 'fd00::7', 65535],
    ['node-1.example.com:80', 'node-1.example.com', 80],
  ])('%s is an address and prints as it was', (text, host, port) => {
    expect(parseAddress(text)).toEqual({ host, port })
    expect(formatAddress({ host, port })).toBe(text)
  })

  test.each([
    '',
    '4880',
    ':4880',
    'localhost',
    '::1:4880',
    '127.0.0.1:65536',
    '127.0.0.300:1',
    '[::g]:1',
    '[::1]',
    'a b:1',
    'http://a:1',
  ])('"%s" is not', (text) => {
    expect(parseAddress(text)).toBeUndefined()
  })
})

test('a host is a name or an IP address and nothing else', () => {
  expect(parseHost('fd00::1')).toBe('fd00::1')
  expect(parseHost('[fd00::1]')).toBe('fd00::1')
  expect(parseHost('seed-1')).toBe('seed-1')
  for (const text of ['10.0.0.256', '1.2.3', 'a/b', '-a', '']) expect(parseHost(text)).toBeUndefined()
})

test('loopback is what only this host can reach', () => {
  for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost']) expect(isLoopback(host)).toBe(true)
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '127.evil.example']) expect(isLoopback(host)).toBe(false)
})

test('a Host header means this host by an address or a name of it, and not by what else leads here', () => {
  for (const host of [
    ...[
      'localhost:4880',
      'LocalHost',
      '127.0.0.1:4880',
      '[::1]:4880',
      '10.0.0.7',
      '[fd00::7]:4880',
      'Node-1.corp:4880',
    ],
    undefined,
  ])
    expect(meansThisHost(host, ['node-1.CORP'])).toBe(true)
  for (const host of ['evil.example:4880', 'node-1.corp.evil.example', 'node-1', '127.0.0.1.evil.example', ''])
    expect(meansThisHost(host, ['node-1.CORP'])).toBe(false)
})

test('localhost is two addresses, and a node that has one of them wants the other', () => {
  const twin = (host: string) => twinOf({ host, port: 4880 })?.host
  expect(['127.0.0.1', '0.0.0.0', '::1'].map(twin)).toEqual(['::1', '::1', '127.0.0.1'])
  for (const host of ['127.0.0.2', '10.0.0.1', '::', 'fd00::1', 'node.corp']) expect(twin(host)).toBeUndefined()
  expect(numbered({ host: 'localhost', port: 1 })).toEqual({ host: '127.0.0.1', port: 1 })
  expect(numbered({ host: 'node.corp', port: 1 })).toEqual({ host: 'node.corp', port: 1 })
})

describe('a port that cannot be opened', () => {
  const serve = (port: number, hostname = '127.0.0.1') => Bun.serve({ port, hostname, fetch: () => new Response() })

  test('in use: the message names address, flag and remedy', async () => {
    const first = serve(0)
    const address = { host: '127.0.0.1', port: first.port! }
    const message = `127.0.0.1:${first.port} (--registry-addr) is in use by another program; stop it or choose another address`
    try {
      expect(() => listen(address, '--registry-addr', () => serve(address.port))).toThrow(message)
      const second = createServer()
      await expect(listenHttp(second, address, '--registry-addr')).rejects.toThrow(message)
    } finally {
      await first.stop(true)
    }
  })

  test('not an address of this host', () => {
    const address = { host: '192.0.2.1', port: 4999 }
    expect(() => listen(address, '--peer-addr', () => serve(4999, '192.0.2.1'))).toThrow(
      '192.0.2.1:4999 (--peer-addr) is not an address of this host',
    )
  })

  test('no right to a low port', () => {
    const denied = Object.assign(new Error('permission denied'), { code: 'EACCES' })
    const error = new ListenError(denied, { host: '::1', port: 80 }, '--admin-addr')
    expect(error.message).toBe(
      '[::1]:80 (--admin-addr) needs more rights than this process has; run as root or choose a port above 1023',
    )
  })

  test('anything else is passed on with its reason', () => {
    const error = new ListenError(new Error('odd'), { host: 'localhost', port: 1 }, '--p2p-addr')
    expect(error.message).toBe('cannot listen on localhost:1 (--p2p-addr): odd')
  })
})

test('a node:http server on port 0 says which port it got', async () => {
  const server = createServer()
  const bound = await listenHttp(server, { host: '127.0.0.1', port: 0 }, '--registry-addr')
  try {
    expect(bound.port).toBeGreaterThan(0)
  } finally {
    await new Promise((resolve) => server.close(resolve))
  }
})
