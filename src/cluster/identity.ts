/** Who this node is: an Ed25519 key in its data directory, and the peer id that names it. */
import { chmodSync, linkSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import { Failure } from '../failure.ts'
import type { NodeId } from './node-info.ts'
import { agreement, nodeIdOf, signer, Verifier } from './node-key.ts'

export class Identity {
  readonly id: NodeId
  /** For libp2p, which proves the same identity on its connections. */
  readonly privateKey: Ed25519PrivateKey
  readonly #sign: (bytes: Uint8Array) => Uint8Array
  readonly #agree: (node: NodeId) => Uint8Array | undefined
  readonly #verifier = new Verifier()

  private constructor(privateKey: Ed25519PrivateKey) {
    this.privateKey = privateKey
    this.id = nodeIdOf(privateKey.publicKey.raw)
    const seed = privateKey.raw.subarray(0, 32)
    this.#sign = signer(seed)
    this.#agree = agreement(seed)
  }

  /**
   * Reads `<dataDir>/node.key`, or makes it on the first start.
   * @throws {Failure} `internal` that names the file and what to do about it
   */
  static async load(dataDir: string): Promise<Identity> {
    const path = join(dataDir, 'node.key')
    const bytes = readIfThere(path) ?? (await make(path))
    try {
      const key = privateKeyFromProtobuf(bytes)
      if (key.type === 'Ed25519') return new Identity(key)
    } catch {
      // Reported below like any other wrong content.
    }
    throw new Failure(
      'internal',
      `${path} is not a node key: restore it, or delete it to give this node a new identity`,
    )
  }

  /** An identity that is kept nowhere. */
  static async temporary(): Promise<Identity> {
    return new Identity(await generateKeyPair('Ed25519'))
  }

  sign(bytes: Uint8Array): Uint8Array {
    return this.#sign(bytes)
  }

  /** What only this node and that one know; `undefined` for an id that names no key. */
  agree(node: NodeId): Uint8Array | undefined {
    return this.#agree(node)
  }

  /** True if `signature` over `bytes` was made with the key that `node` names. */
  verifySignature(node: NodeId, bytes: Uint8Array, signature: Uint8Array): boolean {
    return this.#verifier.verify(node, bytes, signature)
  }
}

function readIfThere(path: string): Uint8Array | undefined {
  try {
    const bytes = readFileSync(path)
    // A key that was copied here by hand may be readable by all.
    chmodSync(path, 0o600)
    return bytes
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw unusable(path, error)
  }
}

/** Written aside and linked into place: a crash leaves no half key, and of two processes that start at once one wins. */
async function make(path: string): Promise<Uint8Array> {
  const bytes = privateKeyToProtobuf(await generateKeyPair('Ed25519'))
  const aside = `${path}.${process.pid}`
  try {
    mkdirSync(join(path, '..'), { recursive: true })
    writeFileSync(aside, bytes, { mode: 0o600, flush: true })
    try {
      linkSync(aside, path)
    } finally {
      unlinkSync(aside)
    }
    return bytes
  } catch (error) {
    const winner = (error as NodeJS.ErrnoException).code === 'EEXIST' ? readIfThere(path) : undefined
    if (winner) return winner
    throw unusable(path, error)
  }
}

function unusable(path: string, cause: unknown): Failure {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new Failure(
    'internal',
    `cannot use the node key ${path}: ${reason}. Check --data-dir and who may write there`,
    {
      cause,
    },
  )
}
