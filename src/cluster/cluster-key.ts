/** The secret that admits a node to a cluster, in the file format of libp2p's private networks. */
import { readFileSync } from 'node:fs'
import { inspect } from 'node:util'
import { Failure } from '../failure.ts'

export class ClusterKey {
  /** 32 bytes. */
  readonly #secret: Uint8Array

  constructor(secret: Uint8Array) {
    this.#secret = secret
  }

  get secret(): Uint8Array {
    return this.#secret
  }

  /** Tells two keys apart without giving either away. */
  get fingerprint(): string {
    return new Bun.CryptoHasher('sha256').update('shoal cluster\n').update(this.#secret).digest('hex').slice(0, 12)
  }

  /** As libp2p wants it. */
  get file(): Uint8Array {
    return new TextEncoder().encode(`/key/swarm/psk/1.0.0/\n/base16/\n${this.#secret.toHex()}\n`)
  }

  toString(): string {
    return `cluster key ${this.fingerprint}`
  }
  toJSON(): string {
    return this.toString()
  }
  [inspect.custom](): string {
    return this.toString()
  }
}

/** @throws {Failure} `internal`, without any of the text in the message */
export function parseClusterKey(text: string, where: string): ClusterKey {
  const [tag, encoding, hex = '', ...rest] = text.trim().split(/\r?\n/)
  const wrong = (what: string) =>
    new Failure('internal', `${where} is not a cluster key: ${what}. Make one with "shoal keygen"`)
  if (tag !== '/key/swarm/psk/1.0.0/') throw wrong('its first line is not /key/swarm/psk/1.0.0/')
  if (encoding !== '/base16/') throw wrong('its second line is not /base16/')
  if (rest.length > 0 || !/^[0-9a-fA-F]{64}$/.test(hex)) throw wrong('its third and last line is not 64 hex digits')
  return new ClusterKey(Uint8Array.fromHex(hex))
}

/** @throws {Failure} `internal` that names the file */
export function loadClusterKey(path: string): ClusterKey {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Failure('internal', `cannot read the cluster key ${path}: ${reason}. Check --cluster-key-file`, {
      cause: error,
    })
  }
  return parseClusterKey(text, path)
}
