/**
 * What libp2p keeps: addresses of the nodes it has met, and who says that it provides what. Any node may add to it, and
 * libp2p forgets nothing for hours or days, so in a cluster whose nodes and blobs come and go it would only grow. Here
 * there is an end to each kind: what was neither written nor read for longest is forgotten, and heard again when needed. A
 * record of a provider lasts two days, unless it is written again.
 */
import { NotFoundError, type PublicKey } from '@libp2p/interface'
import { BaseDatastore } from 'datastore-core/base'
import { Key, type KeyQuery, type Pair, type Query } from 'interface-datastore'
import { type Lru, lru } from '../../lru.ts'

export interface RecordLimits {
  /** Nodes that were met, a few hundred bytes each. */
  readonly peers: number
  /** Records of providers, and whatever else there is. */
  readonly others: number
  /** How long one of those lasts that is not written again, ms: libp2p's specification says two days. */
  readonly lastMs: number
}

export const recordLimits: RecordLimits = { peers: 4096, others: 32_768, lastMs: 172_800_000 }

const peersPrefix = '/peers/'

export class Records extends BaseDatastore {
  readonly #peers: Lru<string, Uint8Array>
  readonly #others: Lru<string, Uint8Array>
  readonly #own: string
  #self: Uint8Array | undefined

  /** @param self what is kept of this node itself libp2p could not do without @param now ms, monotonic */
  constructor(self: PublicKey, limits = recordLimits, now = () => performance.now()) {
    super()
    this.#own = `${peersPrefix}${self.toCID()}`
    this.#peers = lru(limits.peers)
    this.#others = lru(limits.others, { ttl: limits.lastMs, now })
  }

  get size(): number {
    return this.#peers.size + this.#others.size + (this.#self ? 1 : 0)
  }

  override put(key: Key, value: Uint8Array): Key {
    const name = key.toString()
    if (name === this.#own) this.#self = value
    else this.#of(name).set(name, value)
    return key
  }

  override get(key: Key): Uint8Array {
    const name = key.toString()
    const value = name === this.#own ? this.#self : this.#of(name).get(name)
    if (!value) throw new NotFoundError(`there is no record ${name}`)
    return value
  }

  override has(key: Key): boolean {
    const name = key.toString()
    return name === this.#own ? this.#self !== undefined : this.#of(name).has(name)
  }

  override delete(key: Key): void {
    const name = key.toString()
    if (name === this.#own) this.#self = undefined
    else this.#of(name).delete(name)
  }

  override *_all({ prefix = '' }: Query): Generator<Pair> {
    // Looked at before keys are made of them: all are gone through for each question about one blob. And listed first,
    // for who goes through them may change them meanwhile.
    const found = [...this.#entries()].filter(([name]) => name.startsWith(prefix))
    for (const [name, value] of found) yield { key: new Key(name, false), value }
  }

  override *_allKeys({ prefix = '' }: KeyQuery): Generator<Key> {
    for (const { key } of this._all({ prefix })) yield key
  }

  *#entries(): Generator<[string, Uint8Array]> {
    if (this.#self) yield [this.#own, this.#self]
    yield* this.#peers.entries()
    yield* this.#others.entries()
  }

  #of(name: string): Lru<string, Uint8Array> {
    return name.startsWith(peersPrefix) ? this.#peers : this.#others
  }
}
