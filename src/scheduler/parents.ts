/**
 * Which holders a node is sent to, best first, with the reasons. Pure.
 *
 * What counts: how much the holder has that can be fetched, whether it has upload room, how near it is, how often it
 * failed others. Equals are shuffled so that a thousand nodes asking for the same blob spread over all holders.
 */
import type { Random } from '../clock.ts'

export interface Candidate {
  readonly id: string
  readonly zone?: string | undefined
  readonly pieces: number
  readonly complete: boolean
  /** True for the node that reads the blob from its source: it will have every piece first. */
  readonly fetcher: boolean
  /** Share of its upload slots that is taken, 0 to 1. */
  readonly load: number
  /** Recent failures reported by others. */
  readonly failures: number
}

export interface Ranked {
  readonly id: string
  readonly score: number
  readonly reasons: string[]
}

/** How many leading parts of `region/zone/rack` agree. */
export function nearness(a: string | undefined, b: string | undefined): number {
  if (!a || !b) return 0
  const [left, right] = [a.split('/'), b.split('/')]
  let same = 0
  while (same < left.length && same < right.length && left[same] === right[same]) same++
  return same
}

export function rankParents(
  asker: { readonly zone?: string | undefined },
  candidates: readonly Candidate[],
  random: Random,
): Ranked[] {
  return candidates.map((candidate) => rank(asker, candidate, random)).sort((a, b) => b.score - a.score)
}

function rank(asker: { readonly zone?: string | undefined }, candidate: Candidate, random: Random): Ranked {
  const reasons: string[] = []
  let score = random() // a tie is broken by chance, a point of anything else outweighs it
  const add = (points: number, reason: string) => {
    score += points
    reasons.push(reason)
  }
  if (candidate.fetcher) add(4, 'reads from the source')
  if (candidate.complete) add(3, 'holds the whole blob')
  else if (candidate.pieces > 0) add(1, `holds ${candidate.pieces} pieces`)
  const near = nearness(asker.zone, candidate.zone)
  if (near > 0) add(4 * near, `shares ${near} of its zone`)
  if (candidate.load > 0) add(-3 * candidate.load, `upload slots ${Math.round(candidate.load * 100)}% taken`)
  if (candidate.failures > 0) add(-5 * candidate.failures, `failed ${candidate.failures} times`)
  return { id: candidate.id, score, reasons }
}
