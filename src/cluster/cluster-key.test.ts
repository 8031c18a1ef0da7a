import { expect, test } from 'bun:test'
import { inspect } from 'node:util'
import { ClusterKey, loadClusterKey, parseClusterKey } from './cluster-key.ts'

const hex = '0123456789abcdef'.repeat(4)
const file = `/key/swarm/psk/1.0.0/\n/base16/\n${hex}\n`

test('a key file of libp2p is read, with or without a last line end, and written as libp2p wants it', () => {
  for (const text of [
    file,
    file.trimEnd(),
    file.replaceAll('\n', '\r\n'),
    file.toUpperCase().replace(/^.*\n.*\n/, '/key/swarm/psk/1.0.0/\n/base16/\n'),
  ]) {
    const key = parseClusterKey(text, 'key')
    expect(key.secret.toHex()).toBe(hex)
    expect(new TextDecoder().decode(key.file)).toBe(file)
  }
})

test.each([
  ['', 'its first line is not /key/swarm/psk/1.0.0/'],
  ['/key/swarm/psk/1.0.0/\n/base64/\nabc', 'its second line is not /base16/'],
  [file.slice(0, -3), 'its third and last line is not 64 hex digits'],
  [`${file}more`, 'its third and last line is not 64 hex digits'],
])('%j is refused, and the message says why', (text, why) => {
  expect(() => parseClusterKey(text, '/etc/key')).toThrow(
    `/etc/key is not a cluster key: ${why}. Make one with "shoal keygen"`,
  )
})

test('a file that is not there is named', () => {
  expect(() => loadClusterKey('/nowhere/key')).toThrow(
    /cannot read the cluster key \/nowhere\/key: .*--cluster-key-file/,
  )
})

test('the secret shows up nowhere, the fingerprint tells keys apart', () => {
  const key = parseClusterKey(file, 'key')
  const shown = [String(key), JSON.stringify({ key }), inspect({ key }), key.fingerprint].join()
  expect(shown).not.toContain(hex.slice(0, 16))
  expect(new ClusterKey(new Uint8Array(32)).fingerprint).not.toBe(key.fingerprint)
})
