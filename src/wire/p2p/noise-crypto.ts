/**
 * Cryptography of libp2p's noise handshake. The library's native implementation asks for a ChaCha20 cipher that Bun's
 * OpenSSL replacement does not have by that name, and its pure JavaScript one takes tens of milliseconds of CPU for the
 * key exchange with each node met. So: key exchange and hashes natively, the cipher, which only small messages go through,
 * in JavaScript.
 */
import { createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto'
import { type ICryptoInterface, pureJsCrypto } from '@chainsafe/libp2p-noise'
import { concat } from 'uint8arrays/concat'

/** What stands before the 32 bytes of an X25519 key in DER: RFC 8410, section 7 (PKCS #8) and section 4 (SPKI). */
const privatePrefix = Uint8Array.fromHex('302e020100300506032b656e04220420')
const publicPrefix = Uint8Array.fromHex('302a300506032b656e032100')

const privateKeyOf = (raw: Uint8Array) =>
  createPrivateKey({ key: Buffer.from(concat([privatePrefix, raw])), type: 'pkcs8', format: 'der' })
const publicKeyOf = (raw: Uint8Array) =>
  createPublicKey({ key: Buffer.from(concat([publicPrefix, raw])), type: 'spki', format: 'der' })

export const noiseCrypto: ICryptoInterface = {
  ...pureJsCrypto,
  hashSHA256: (data) => new Bun.CryptoHasher('sha256').update(data.subarray()).digest() as Uint8Array,
  generateX25519KeyPair() {
    const { publicKey, privateKey } = generateKeyPairSync('x25519')
    return {
      publicKey: new Uint8Array(publicKey.export({ type: 'spki', format: 'der' })).subarray(publicPrefix.length),
      privateKey: new Uint8Array(privateKey.export({ type: 'pkcs8', format: 'der' })).subarray(privatePrefix.length),
    }
  },
  generateX25519KeyPairFromSeed(seed) {
    const der = createPublicKey(privateKeyOf(seed)).export({ type: 'spki', format: 'der' })
    return { publicKey: new Uint8Array(der).subarray(publicPrefix.length), privateKey: seed }
  },
  generateX25519SharedKey: (privateKey, publicKey) =>
    new Uint8Array(
      diffieHellman({ privateKey: privateKeyOf(privateKey.subarray()), publicKey: publicKeyOf(publicKey.subarray()) }),
    ),
}
