/**
 * Which pieces of a blob somebody waits for, and who: readers of a part of it here, and other nodes. Pure. A piece may be
 * waited for by many, and is no longer waited for when the last of them has left.
 *
 * What is waited for goes before everything else. What follows it, and is fetched ahead for who goes on reading, is kept
 * apart: it is worth having, and nobody waits for it.
 */

/** Pieces `from` up to `to` (exclusive). */
export type Run = readonly [from: number, to: number]

interface Aim {
  readonly runs: readonly Run[]
  readonly ahead: readonly Run[]
}

const none: Aim = { runs: [], ahead: [] }

export class Aims {
  readonly #count: number
  readonly #aims = new Map<string, Aim>()
  readonly #waited: Uint16Array
  readonly #ahead: Uint16Array

  /** @param count pieces of the blob */
  constructor(count: number) {
    this.#count = count
    this.#waited = new Uint16Array(count)
    this.#ahead = new Uint16Array(count)
  }

  /** Nobody waits for anything in particular. */
  get empty(): boolean {
    return this.#aims.size === 0
  }

  waitedFor(piece: number): boolean {
    return this.#waited[piece]! > 0
  }

  /** It is waited for, or follows what is. */
  has(piece: number): boolean {
    return this.#waited[piece]! > 0 || this.#ahead[piece]! > 0
  }

  /** What `who` waits for from now on, in place of what it waited for before; `changed` is told of each piece. */
  set(who: string, runs: readonly Run[], ahead: readonly Run[], changed: (piece: number) => void): void {
    const before = this.#aims.get(who) ?? none
    const after = { runs: this.#inside(runs), ahead: this.#inside(ahead) }
    if (after.runs.length > 0 || after.ahead.length > 0) this.#aims.set(who, after)
    else this.#aims.delete(who)
    // Added first: what is waited for before and after is so all the time.
    this.#add(after, 1, changed)
    this.#add(before, -1, changed)
  }

  /** What is waited for, a run of each in turn, then what follows it: the order in which to fetch. */
  *runs(): Generator<Run> {
    for (const kind of ['runs', 'ahead'] as const) {
      for (let turn = 0, more = true; more; turn++) {
        more = false
        for (const aim of this.#aims.values()) {
          const run = aim[kind][turn]
          if (!run) continue
          more = true
          yield run
        }
      }
    }
  }

  #inside(runs: readonly Run[]): readonly Run[] {
    return runs
      .map(([from, to]): Run => [Math.max(0, from), Math.min(to, this.#count)])
      .filter(([from, to]) => from < to)
  }

  #add({ runs, ahead }: Aim, by: 1 | -1, changed: (piece: number) => void): void {
    for (const [list, counts] of [
      [runs, this.#waited],
      [ahead, this.#ahead],
    ] as const) {
      for (const [from, to] of list) {
        for (let piece = from; piece < to; piece++) {
          counts[piece]! += by
          changed(piece)
        }
      }
    }
  }
}

/** Pieces in the order in which they are wanted, those that follow each other taken together. */
export function runsOf(pieces: Iterable<number>): Run[] {
  const runs: [number, number][] = []
  for (const piece of pieces) {
    const last = runs.at(-1)
    if (last && last[1] === piece) last[1]++
    else runs.push([piece, piece + 1])
  }
  return runs
}
