/**
 * Which layer has a chunk of a digest: for chunks of all unpacked layers of a host, a hundred thousand to an image. So it
 * keeps two numbers a chunk and no object: the digests themselves are in the layers' own tables. Open addressing, the
 * digest's first bytes being as good a hash as any. Pure.
 */

/** What a place leads to. */
export interface Keeper {
  digest(chunk: number): Uint8Array
  /** It is in the layer's own file. */
  owns(chunk: number): boolean
}

export interface Place<K extends Keeper> {
  readonly keeper: K
  readonly chunk: number
}

/** Of one digest. There may be thousands, as of zeros, and one that stays is enough. */
const mostEqual = 4
const smallest = 1024
const free = 0

export class Places<K extends Keeper> {
  readonly #keepers = new Map<number, K>()
  readonly #numbers = new Map<K, number>()
  /** Of those that went: what they write late counts no more. */
  readonly #gone = new WeakSet<K>()
  #nextNumber = 1
  /** Number of the keeper, 0 where nothing is; and its chunk. */
  #who = new Uint32Array(smallest)
  #what = new Uint32Array(smallest)
  #used = 0

  /** The keeper has the chunk. Adding it again does nothing, nor does adding it to one that went. */
  add(keeper: K, chunk: number): void {
    if (this.#gone.has(keeper)) return
    let number = this.#numbers.get(keeper)
    if (number === undefined) {
      number = this.#nextNumber++
      this.#numbers.set(keeper, number)
      this.#keepers.set(number, keeper)
    }
    if ((this.#used + 1) * 2 > this.#who.length) this.#rebuild()
    this.#put(number, chunk, keeper.digest(chunk))
  }

  /** Some layer that has it, those of `except` not counted. */
  find(digest: Uint8Array, except?: ReadonlySet<K>): Place<K> | undefined {
    const mask = this.#who.length - 1
    for (let at = hash(digest) & mask; this.#who[at] !== free; at = (at + 1) & mask) {
      const keeper = this.#keepers.get(this.#who[at]!)
      const chunk = this.#what[at]!
      if (keeper === undefined || except?.has(keeper) || !keeper.owns(chunk)) continue
      if (Buffer.compare(keeper.digest(chunk), digest) === 0) return { keeper, chunk }
    }
    return undefined
  }

  /** The keeper goes for good. Its places are used again when the table is next rebuilt. */
  forget(keeper: K): void {
    this.#gone.add(keeper)
    const number = this.#numbers.get(keeper)
    if (number === undefined) return
    this.#numbers.delete(keeper)
    this.#keepers.delete(number)
  }

  #put(number: number, chunk: number, digest: Uint8Array): void {
    const mask = this.#who.length - 1
    let at = hash(digest) & mask
    let equal = 0
    for (; this.#who[at] !== free; at = (at + 1) & mask) {
      const keeper = this.#keepers.get(this.#who[at]!)
      if (keeper === undefined) continue
      if (this.#who[at] === number && this.#what[at] === chunk) return
      if (keeper.owns(this.#what[at]!) && Buffer.compare(keeper.digest(this.#what[at]!), digest) === 0) equal++
      if (equal >= mostEqual) return
    }
    this.#who[at] = number
    this.#what[at] = chunk
    this.#used++
  }

  /** Twice the room that is needed, without what is no longer there. */
  #rebuild(): void {
    const [who, what] = [this.#who, this.#what]
    const live: number[] = []
    for (let at = 0; at < who.length; at++) if (this.#keepers.get(who[at]!)?.owns(what[at]!)) live.push(at)
    let length = smallest
    while (length < (live.length + 1) * 4) length *= 2
    this.#who = new Uint32Array(length)
    this.#what = new Uint32Array(length)
    this.#used = 0
    for (const at of live) this.#put(who[at]!, what[at]!, this.#keepers.get(who[at]!)!.digest(what[at]!))
  }
}

function hash(digest: Uint8Array): number {
  return (digest[0]! | (digest[1]! << 8) | (digest[2]! << 16) | (digest[3]! << 24)) >>> 0
}
