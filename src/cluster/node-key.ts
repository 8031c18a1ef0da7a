/**
 * From a peer id to the public key it names, and Ed25519 through the runtime's own crypto: a libp2p peer id of an
 * Ed25519 key is that key, wrapped in a protobuf and an identity multihash, so no key has to be looked up or sent.
 */
import { createPrivateKey, createPublicKey, diffieHellman, type KeyObject, sign, verify } from 'node:crypto'
import { ed25519 } from '@noble/curves/ed25519.js'
import { base58btc } from 'multiformats/bases/base58'
import { lru } from '../lru.ts'
import type { NodeId } from './node-info.ts'

/** multihash: identity, 36 bytes; then protobuf PublicKey: field 1 (type) = Ed25519, field 2 (data) = 32 bytes. */
const idHead = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20)
/** RFC 8410: what comes before a raw Ed25519 public key in SubjectPublicKeyInfo, and before a seed in PKCS #8. */
const spkiHead = Uint8Array.fromHex('302a300506032b6570032100')
const pkcs8Head = Uint8Array.fromHex('302e020100300506032b657004220420')
/** The same for X25519. */
const spkiHeadX = Uint8Array.fromHex('302a300506032b656e032100')
const pkcs8HeadX = Uint8Array.fromHex('302e020100300506032b656e04220420')

export function nodeIdOf(publicKey: Uint8Array): NodeId {
  return base58btc.baseEncode(concat(idHead, publicKey))
}

/** The raw Ed25519 key that `id` names; `undefined` when it names none. */
export function publicKeyOf(id: NodeId): Uint8Array | undefined {
  let bytes: Uint8Array
  try {
    bytes = base58btc.baseDecode(id)
  } catch {
    return undefined
  }
  if (bytes.length !== 38 || idHead.some((byte, i) => bytes[i] !== byte)) return undefined
  return bytes.subarray(idHead.length)
}

export function signer(seed: Uint8Array): (bytes: Uint8Array) => Uint8Array {
  const key = createPrivateKey({ key: Buffer.from(concat(pkcs8Head, seed)), format: 'der', type: 'pkcs8' })
  return (bytes) => new Uint8Array(sign(null, bytes, key))
}

/**
 * A secret that two nodes have in common without a word said: X25519 over the Montgomery forms of their keys (RFC 7748,
 * section 4.1; the same curve in other coordinates). Takes a tenth of a millisecond; `undefined` for an id without a key.
 */
export function agreement(seed: Uint8Array): (id: NodeId) => Uint8Array | undefined {
  const own = concat(pkcs8HeadX, ed25519.utils.toMontgomerySecret(seed))
  const privateKey = createPrivateKey({ key: Buffer.from(own), format: 'der', type: 'pkcs8' })
  return (id) => {
    const raw = publicKeyOf(id)
    if (!raw) return undefined
    try {
      const other = Buffer.from(concat(spkiHeadX, ed25519.utils.toMontgomery(raw)))
      const publicKey = createPublicKey({ key: other, format: 'der', type: 'spki' })
      return new Uint8Array(diffieHellman({ privateKey, publicKey }))
    } catch {
      // No point of the curve, or one of small order.
      return undefined
    }
  }
}

/** Verifies signatures of nodes. Making a key object costs as much as a verification, so the recent ones are kept. */
export class Verifier {
  readonly #keys = lru<NodeId, KeyObject>(1024)

  /** False as well when `id` names no key or the signature is no signature at all. */
  verify(id: NodeId, bytes: Uint8Array, signature: Uint8Array): boolean {
    const key = this.#keyOf(id)
    return key !== undefined && signature.length === 64 && verify(null, bytes, key, signature)
  }

  #keyOf(id: NodeId): KeyObject | undefined {
    const known = this.#keys.get(id)
    if (known) return known
    const raw = publicKeyOf(id)
    if (!raw) return undefined
    const key = createPublicKey({ key: Buffer.from(concat(spkiHead, raw)), format: 'der', type: 'spki' })
    this.#keys.set(id, key)
    return key
  }
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(a.length + b.length)
  bytes.set(a)
  bytes.set(b, a.length)
  return bytes
}
