/**
 * Which holders a node is sent to, best first, with the reasons. Pure.
 *
 * What counts: how much the holder has that can be fetched, whether it has upload room, how near it is, how often it
 * failed others, and how many it exchanges pieces with already: those that came first would otherwise be connected to
 * each other and to everybody else, and all that the others bring would have to pass through them. Equals are shuffled so
 * that a thousand nodes asking for the same blob spread over all holders.
 */
import type { Random } from '../clock.ts'

/** Fewer are not worth a word. */
const manyLinks = 8

export const reads = 'reads from the source'
export const fetchesFar = 'fetches from other sites'

export interface Candidate {
  readonly id: string
  readonly zone?: string | undefined
  readonly pieces: number
  readonly complete: boolean
  /** True for the node that reads the blob from its source: it will have every piece first. */
  readonly fetcher: boolean
  /** True for the node through which the blob comes to the asking node's site. */
  readonly gateway?: boolean
  /** Share of its upload slots that is taken, 0 to 1. */
  readonly load: number
  /** Nodes it exchanges pieces of the blob with already. */
  readonly links: number
  /** Recent failures reported by others. */
  readonly failures: number
}

/** A candidate with its place. Why it is there is put into words only when somebody wants to see it. */
export class Ranked {
  readonly score: number
  readonly #candidate: Candidate
  readonly #near: number

  constructor(candidate: Candidate, near: number, chance: number) {
    this.#candidate = candidate
    this.#near = near
    // A tie is broken by chance, a point of anything else outweighs it.
    this.score = chance + points(candidate, near)
  }

  get id(): string {
    return this.#candidate.id
  }
  get pieces(): number {
    return this.#candidate.pieces
  }
  get complete(): boolean {
    return this.#candidate.complete
  }

  get reasons(): string[] {
    const reasons: string[] = []
    points(this.#candidate, this.#near, reasons)
    return reasons
  }
}

const slash = 47

/** How many leading parts of `region/zone/rack` agree. */
export function nearness(a: string | undefined, b: string | undefined): number {
  if (!a || !b) return 0
  let same = 0
  // Part by part without cutting them out: this runs for each of the holders that a decision looks at.
  for (let i = 0; ; i++) {
    const left = i < a.length ? a.charCodeAt(i) : slash
    const right = i < b.length ? b.charCodeAt(i) : slash
    if (left !== right) return same
    if (left === slash) same++
    if (i >= a.length || i >= b.length) return same
  }
}

export function rankParents(
  asker: { readonly zone?: string | undefined },
  candidates: readonly Candidate[],
  random: Random,
): Ranked[] {
  return candidates
    .map((candidate) => new Ranked(candidate, nearness(asker.zone, candidate.zone), random()))
    .sort((a, b) => b.score - a.score)
}

function points(candidate: Candidate, near: number, reasons?: string[]): number {
  const { fetcher, gateway, complete, pieces, links, load, failures } = candidate
  let sum = 0
  if (fetcher) {
    sum += 4
    reasons?.push(reads)
  }
  if (gateway) {
    sum += 4
    reasons?.push(fetchesFar)
  }
  if (complete) {
    sum += 3
    reasons?.push('holds the whole blob')
  } else if (pieces > 0) {
    sum += 1
    reasons?.push(`holds ${pieces} pieces`)
  }
  if (near > 0) {
    sum += 4 * near
    reasons?.push(`shares ${near} of its zone`)
  }
  // Those through whom everything comes have a limit of their own.
  if (links > 0 && !fetcher && !gateway) {
    sum -= links / 4
    if (links >= manyLinks) reasons?.push(`exchanges with ${links} already`)
  }
  if (load > 0) {
    sum -= 3 * load
    reasons?.push(`upload slots ${Math.round(load * 100)}% taken`)
  }
  if (failures > 0) {
    sum -= 5 * failures
    reasons?.push(`failed ${failures} times`)
  }
  return sum
}
