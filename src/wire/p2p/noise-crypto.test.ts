import { expect, test } from 'bun:test'
import { pureJsCrypto } from '@chainsafe/libp2p-noise'
import { noiseCrypto } from './noise-crypto.ts'

test('both sides of a key exchange come to the same secret, whichever implementation they have', () => {
  for (const [one, other] of [
    [noiseCrypto, noiseCrypto],
    [noiseCrypto, pureJsCrypto],
    [pureJsCrypto, noiseCrypto],
  ] as const) {
    const ann = one.generateX25519KeyPair()
    const bob = other.generateX25519KeyPair()
    expect(ann.publicKey.subarray()).toHaveLength(32)
    expect(ann.privateKey.subarray()).toHaveLength(32)
    const secret = one.generateX25519SharedKey(ann.privateKey, bob.publicKey)
    expect(Buffer.from(other.generateX25519SharedKey(bob.privateKey, ann.publicKey)).equals(secret)).toBe(true)
  }
})

test('a key pair from a seed, and a hash, are those of the reference', () => {
  const seed = new Uint8Array(32).map((_, i) => i + 1)
  const key = (pair: { publicKey: { subarray(): Uint8Array } }) =>
    Buffer.from(pair.publicKey.subarray()).toString('hex')
  expect(key(noiseCrypto.generateX25519KeyPairFromSeed(seed))).toBe(
    key(pureJsCrypto.generateX25519KeyPairFromSeed(seed)),
  )
  expect(Buffer.compare(noiseCrypto.hashSHA256(seed), pureJsCrypto.hashSHA256(seed))).toBe(0)
})

test('a public key of low order is refused', () => {
  const { privateKey } = noiseCrypto.generateX25519KeyPair()
  expect(() => noiseCrypto.generateX25519SharedKey(privateKey, new Uint8Array(32))).toThrow()
})
