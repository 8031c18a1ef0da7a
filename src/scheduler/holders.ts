/**
 * The nodes in one blob's swarm. Adding one, removing one, finding a whole copy and picking one by chance cost the same
 * for three nodes and for fifteen thousand.
 */
import type { Random } from '../clock.ts'
import type { SwarmNode } from './decision.ts'

export interface Holder {
  readonly id: string
  /** What is known of it as a node, kept here because each decision looks at many; undefined while nothing is. */
  node: SwarmNode | undefined
  readonly pieces: number
  readonly complete: boolean
  /** Recent failures that other nodes reported. */
  failures: number
  failedAt: number
  /** Nodes it has a session with for this blob, as far as the scheduler knows. */
  links: number
  /** When it last asked for parents. */
  askedAt: number
  /** The last decision that looked at it. */
  look: number
  /** When it last asked, or said what it holds. */
  seenAt: number
}

interface Entry extends Holder {
  pieces: number
  complete: boolean
  /** Where it is in the list. */
  index: number
}

const failureForgottenMs = 60_000

/** Failures that still count. */
export function failuresOf(holder: Holder, now: number): number {
  return now - holder.failedAt > failureForgottenMs ? 0 : holder.failures
}

export class Holders {
  readonly #byId = new Map<string, Entry>()
  readonly #list: Entry[] = []
  readonly #whole = new Set<Entry>()

  get size(): number {
    return this.#list.length
  }

  get(id: string): Holder | undefined {
    return this.#byId.get(id)
  }

  /** The holder with that id, new with no pieces if it was not there. */
  add(id: string, now: number): Holder {
    let entry = this.#byId.get(id)
    if (!entry) {
      const never = Number.NEGATIVE_INFINITY
      const index = this.#list.length
      entry = {
        id,
        node: undefined,
        pieces: 0,
        complete: false,
        links: 0,
        failures: 0,
        failedAt: never,
        askedAt: never,
        seenAt: now,
        look: 0,
        index,
      }
      this.#byId.set(id, entry)
      this.#list.push(entry)
    }
    return entry
  }

  update(id: string, pieces: number, complete: boolean): void {
    const entry = this.#byId.get(id)
    if (!entry) return
    entry.pieces = pieces
    entry.complete = complete
    if (complete) this.#whole.add(entry)
    else this.#whole.delete(entry)
  }

  remove(id: string): boolean {
    const entry = this.#byId.get(id)
    if (!entry) return false
    this.#byId.delete(id)
    this.#whole.delete(entry)
    // The last one takes the empty place.
    const last = this.#list.pop()!
    if (last !== entry) {
      last.index = entry.index
      this.#list[entry.index] = last
    }
    return true
  }

  get anyWhole(): boolean {
    return this.#whole.size > 0
  }

  /** Who holds all of the blob. */
  whole(): Iterable<Holder> {
    return this.#whole
  }

  /** All of them while they are no more than `most`, else about `most` of them by chance. */
  sample(most: number, random: Random): readonly Holder[] {
    const list = this.#list
    if (list.length <= most) return list
    const drawn: Holder[] = []
    for (let i = 0; i < most; i++) drawn.push(list[Math.floor(random() * list.length)]!)
    return drawn
  }

  [Symbol.iterator](): Iterator<Holder> {
    return this.#list[Symbol.iterator]()
  }
}
