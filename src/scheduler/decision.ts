/** What a scheduler is asked about one blob, and what it answers. */
import type { Digest } from '../oci/digest.ts'
import type { Ranked } from './parents.ts'

export interface SwarmNode {
  readonly id: string
  readonly zone?: string | undefined
  readonly seed: boolean
  /** Share of upload slots taken, 0 to 1. */
  readonly load: number
}

export interface Asked {
  readonly digest: Digest
  readonly size?: number | undefined
  readonly pieces: number
  readonly connected: readonly string[]
  readonly failed: readonly { readonly node: string; readonly reason: string; readonly refused?: string | undefined }[]
  readonly stalled: boolean
  /** It wants some pieces only, and says which to whoever reads the source. */
  readonly part?: boolean | undefined
  /** The source sends it something, be it less than a piece yet. */
  readonly hears?: boolean | undefined
  /** Seeds that can read it; absent: any. */
  readonly readers?: ReadonlySet<string> | undefined
}

export interface Decision {
  readonly digest: Digest
  readonly asker: string
  readonly parents: readonly Ranked[]
  /** Holders that were looked at and not named. */
  readonly refused: readonly { readonly id: string; readonly reason: string }[]
  readonly fetcher?: string
  /** Set when the fetcher is to be told: it has just been named and is not the asker, or is needed for more, or again. */
  readonly order?: string
  readonly size?: number
  /** Another node has all of it, or reads it from the source and gets on. */
  readonly elsewhere: boolean
  /** It comes to others through the asking node. */
  readonly leads: boolean
  /** Ask again after so many ms. */
  readonly again: number
  readonly reasons: readonly string[]
  readonly at: number
}

/** One blob's swarm as an operator sees it. */
export interface DescribedSwarm {
  readonly digest: Digest
  readonly size?: number
  readonly fetcher?: string
  readonly holders: readonly {
    readonly id: string
    readonly pieces: number
    readonly complete: boolean
    readonly failures: number
  }[]
  /** The last ones, the latest at the end. */
  readonly decisions: readonly Decision[]
}
