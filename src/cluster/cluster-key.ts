/**
 * The secret that admits a node to a cluster, in the file format of libp2p's private networks. A file may hold several,
 * one after another: the first is used, the others admit as well, so that a key can be changed while nodes run.
 */
import { readFileSync } from 'node:fs'
import { inspect } from 'node:util'
import { Failure } from '../failure.ts'

const head = ['/key/swarm/psk/1.0.0/', '/base16/'] as const
/** More than a change of key ever needs; each costs every stranger's connection a trial. */
const mostKeys = 4
/** Another key than that of the other nodes would put this one outside. */
const whence = 'Copy the file from a node that works; "shoal keygen" makes the key of a new cluster'

export class ClusterKey {
  /** 32 bytes. */
  readonly #secret: Uint8Array
  /** Tells two keys apart without giving either away. */
  readonly fingerprint: string

  constructor(secret: Uint8Array) {
    this.#secret = secret
    this.fingerprint = new Bun.CryptoHasher('sha256')
      .update('shoal cluster\n')
      .update(secret)
      .digest('hex')
      .slice(0, 12)
  }

  get secret(): Uint8Array {
    return this.#secret
  }

  /** As libp2p wants it. */
  get file(): Uint8Array {
    return new TextEncoder().encode(`${head.join('\n')}\n${this.#secret.toHex()}\n`)
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

/**
 * The keys of a file, at least one. Empty lines, and those that begin with #, mean nothing.
 * @throws {Failure} `internal`, without any of the text in the message
 */
export function parseClusterKeys(text: string, where: string): ClusterKey[] {
  const lines = text.split(/\r?\n/).flatMap((line, i) => {
    const said = line.trim()
    return said === '' || said.startsWith('#') ? [] : [{ said, number: i + 1 }]
  })
  const wrong = (what: string) => new Failure('internal', `${where} is not a cluster key: ${what}. ${whence}`)
  const line = (i: number, what: string) =>
    wrong(lines[i] ? `its line ${lines[i].number} is not ${what}` : `it ends where ${what} should stand`)
  const keys: ClusterKey[] = []
  for (let i = 0; i === 0 || i < lines.length; i += 3) {
    if (lines[i]?.said !== head[0]) throw line(i, head[0])
    if (lines[i + 1]?.said !== head[1]) throw line(i + 1, head[1])
    const hex = lines[i + 2]?.said ?? ''
    if (!/^[0-9a-fA-F]{64}$/.test(hex)) throw line(i + 2, '64 hex digits')
    keys.push(new ClusterKey(Uint8Array.fromHex(hex)))
  }
  if (keys.length > mostKeys) throw wrong(`it has ${keys.length} keys, more than ${mostKeys}`)
  if (new Set(keys.map((key) => key.fingerprint)).size < keys.length) throw wrong('it has the same key twice')
  return keys
}

/** @throws {Failure} `internal` that names the file */
export function loadClusterKeys(path: string): ClusterKey[] {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Failure('internal', `cannot read the cluster key ${path}: ${reason}. Check --cluster-key-file`, {
      cause: error,
    })
  }
  return parseClusterKeys(text, path)
}
