/**
 * What the parents through which a blob comes are told of what is needed here: those that read it from its source, or bring
 * it to this site. The others have what they have.
 */
import type { NodeId } from '../cluster/node-info.ts'
import type { PieceFacts } from './download/pieces.ts'

interface Bringer {
  /** It brings only what it is told. */
  part: boolean
  /** What it was told last; undefined while that is nothing. */
  told: string | undefined
}

/** What a message may have; the most urgent are first. */
const mostPieces = 1024

export class Telling {
  readonly #bringers = new Map<NodeId, Bringer>()
  readonly #tell: (parent: NodeId, pieces: readonly number[], all: boolean) => void

  constructor(tell: (parent: NodeId, pieces: readonly number[], all: boolean) => void) {
    this.#tell = tell
  }

  /** A parent says whether the blob comes through it. It may have begun anew, and know nothing of what it was told. */
  parent(id: NodeId, brings: boolean, part: boolean): void {
    if (!brings) this.#bringers.delete(id)
    else this.#bringers.set(id, { part, told: undefined })
  }

  left(id: NodeId): void {
    this.#bringers.delete(id)
  }

  /** `part`: no more is wanted here than what somebody waits for. */
  told(known: Pick<PieceFacts, 'aimed'>, part: boolean): void {
    if (this.#bringers.size === 0) return
    const pieces: number[] = []
    for (const piece of known.aimed()) if (pieces.push(piece) === mostPieces) break
    for (const [id, bringer] of this.#bringers) {
      const all = !part && bringer.part
      const words = `${all} ${pieces}`
      // Who reads all of it in order anyway need not hear that nobody is in a hurry.
      if (bringer.told === words || (bringer.told === undefined && pieces.length === 0 && !part && !all)) continue
      bringer.told = words
      this.#tell(id, pieces, all)
    }
  }
}
