import { expect, test } from 'bun:test'
import { inspect } from 'node:util'
import { ClusterKey, loadClusterKeys, parseClusterKeys } from './cluster-key.ts'

const hex = '0123456789abcdef'.repeat(4)
const file = `/key/swarm/psk/1.0.0/\n/base16/\n${hex}\n`
const other = file.replace(hex, hex.replaceAll('0', 'f'))

test('a key file of libp2p is read, with or without a last line end, and written as libp2p wants it', () => {
  for (const text of [
    file,
    file.trimEnd(),
    file.replaceAll('\n', '\r\n'),
    file.toUpperCase().replace(/^.*\n.*\n/, '/key/swarm/psk/1.0.0/\n/base16/\n'),
  ]) {
    const [key, ...more] = parseClusterKeys(text, 'key')
    expect(more).toEqual([])
    expect(key?.secret.toHex()).toBe(hex)
    expect(new TextDecoder().decode(key?.file)).toBe(file)
  }
})

test('a file may hold several keys, in order, with remarks between them', () => {
  const keys = parseClusterKeys(`# used\n${file}\n# admits\n${other}`, 'key')
  expect(keys.map(({ secret }) => secret.toHex())).toEqual([hex, hex.replaceAll('0', 'f')])
})

test.each([
  ['', 'it ends where /key/swarm/psk/1.0.0/ should stand'],
  ['nonsense', 'its line 1 is not /key/swarm/psk/1.0.0/'],
  ['/key/swarm/psk/1.0.0/\n/base64/\nabc', 'its line 2 is not /base16/'],
  [file.slice(0, -3), 'its line 3 is not 64 hex digits'],
  [`${file}more`, 'its line 4 is not /key/swarm/psk/1.0.0/'],
  [`${file}\n/key/swarm/psk/1.0.0/\n`, 'it ends where /base16/ should stand'],
  [file + file, 'it has the same key twice'],
  [[1, 2, 3, 4, 5].map((i) => file.replace(hex, String(i).repeat(64))).join(''), 'it has 5 keys, more than 4'],
])('%j is refused, and the message says why', (text, why) => {
  expect(() => parseClusterKeys(text, '/etc/key')).toThrow(
    `/etc/key is not a cluster key: ${why}. Copy the file from a node that works; "shoal keygen" makes the key of a new cluster`,
  )
})

test('a file that is not there is named', () => {
  expect(() => loadClusterKeys('/nowhere/key')).toThrow(
    /cannot read the cluster key \/nowhere\/key: .*--cluster-key-file/,
  )
})

test('the secret shows up nowhere, the fingerprint tells keys apart', () => {
  const key = parseClusterKeys(file, 'key')[0]!
  const shown = [String(key), JSON.stringify({ key }), inspect({ key }), key.fingerprint].join()
  expect(shown).not.toContain(hex.slice(0, 16))
  expect(new ClusterKey(new Uint8Array(32)).fingerprint).not.toBe(key.fingerprint)
})
