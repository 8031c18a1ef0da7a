/**
 * Who wants a blob that is on its way, and what of it: readers here, those who want it here without reading it, other nodes
 * that get it through this one, and the scheduler that ordered it. Pure: time is an argument, in ms, and what a download is
 * to be told is returned.
 */
import type { NodeId } from '../cluster/node-info.ts'
import { type Run, runsOf } from './download/aims.ts'
import type { DownloadEvent } from './download/download.ts'

/** What another node waits for, the most urgent first. */
export interface Need {
  readonly pieces: readonly number[]
  /** All of it is wanted there. */
  readonly all: boolean
}

/** What a reader of a part may have, see {@link Demand.aim}. */
export interface AimOptions {
  readonly ahead?: Run
  readonly patient?: boolean
}

/** All of it from the start on; a part that it waits for; or a part that comes when nobody waits for anything. */
type Reading = 'in order' | 'part' | 'patient'

/** Runs that are fetched ahead of readers of parts, the last so many. */
const mostAhead = 8
/** Nobody reads it and nobody ordered it for so long: it is given up. */
const unreadMs = 60_000
/** Stands for all those who have read a part and may go on; as they do, for as long as the blob is on its way. */
const following = { reader: 0, who: 'ahead' }

const nameOf = (reader: number) => `reader ${reader}`

export class Demand {
  readonly #readers = new Map<number, Reading>()
  readonly #needs = new Map<NodeId, readonly Run[]>()
  #keepers = 0
  #nextReader = following.reader + 1
  /** What is fetched ahead of those who read a part, the last of it at the end. */
  #ahead: readonly Run[] = []
  #ordered = false
  #usedAt: number

  constructor(now: number) {
    this.#usedAt = now
  }

  /** Readers here. */
  get readers(): number {
    return this.#readers.size
  }
  /** Nobody reads it, so whatever somebody reads goes first. */
  get background(): boolean {
    return this.#readers.size === 0 && this.#needs.size === 0
  }
  /** Nobody here wants it, read or unread. */
  get unwanted(): boolean {
    return this.#readers.size === 0 && this.#keepers === 0
  }
  /** Somebody here reads it in order. */
  get readInOrder(): boolean {
    return [...this.#readers.values()].includes('in order')
  }
  /** A scheduler told this node to read it from its source. */
  get ordered(): boolean {
    return this.#ordered
  }

  order(): void {
    this.#ordered = true
  }

  /** Somebody uses it. */
  used(now: number): void {
    this.#usedAt = now
  }

  /** One who reads all of it in order, unless it aims at a part; the result is its number. */
  reader(): number {
    const id = this.#nextReader++
    this.#readers.set(id, 'in order')
    return id
  }

  /** That reader waits for the piece. */
  at(reader: number, piece: number): DownloadEvent[] {
    return this.#readers.get(reader) === 'patient' ? [] : [{ type: 'reader-at', reader, piece }]
  }

  /**
   * That reader wants these pieces, and may go on with those `ahead`. Those of a `patient` one come after what others wait
   * for, in whatever order is best for the swarm.
   */
  aim(reader: number, runs: readonly Run[], { ahead, patient = false }: AimOptions): DownloadEvent[] {
    this.#readers.set(reader, patient ? 'patient' : 'part')
    const who = nameOf(reader)
    const aimed: DownloadEvent = patient
      ? { type: 'aimed', who, runs: [], ahead: runs }
      : { type: 'aimed', who, runs, ahead: [] }
    if (!ahead || ahead[0] >= ahead[1]) return [aimed]
    this.#ahead = [...this.#ahead.slice(1 - mostAhead), ahead]
    return [
      aimed,
      // Where all of it is wanted anyway, this is where to go on.
      { type: 'reader-at', reader: following.reader, piece: ahead[0] },
      { type: 'aimed', who: following.who, runs: [], ahead: this.#ahead },
    ]
  }

  left(reader: number, now: number): DownloadEvent[] {
    this.#readers.delete(reader)
    this.#usedAt = now
    return [
      { type: 'reader-left', reader },
      { type: 'aimed', who: nameOf(reader), runs: [] },
    ]
  }

  /** Somebody wants it here and does not read it. */
  keep(): void {
    this.#keepers++
  }

  /** One of those does not want it any more. */
  letGo(now: number): void {
    this.#keepers--
    this.#usedAt = now
  }

  /** Another node waits for these pieces, and for nothing any more that it said before. */
  need(by: NodeId, pieces: readonly number[], now: number): DownloadEvent[] {
    const runs = runsOf(pieces)
    this.#needs.set(by, runs)
    this.#usedAt = now
    return [{ type: 'aimed', who: by, runs }]
  }

  /** That node needs nothing of it any more. */
  unneed(by: NodeId): DownloadEvent[] {
    return this.#needs.delete(by) ? [{ type: 'aimed', who: by, runs: [] }] : []
  }

  /** For a download that begins now: who has come before the size was known, which is before anybody can aim at a part. */
  *replay(): Generator<DownloadEvent> {
    for (const reader of this.#readers.keys()) yield* this.at(reader, 0)
    for (const [who, runs] of this.#needs) yield { type: 'aimed', who, runs }
  }

  /**
   * Nobody has wanted it for long, and it is to stop.
   * @param part only what somebody waits for is wanted: who reads that for others does so while they say what they need
   * @param awaited other nodes wait for what this one reads from the source
   */
  abandoned({ part, awaited }: { readonly part: boolean; readonly awaited: boolean }, now: number): boolean {
    const kept = part ? this.#needs.size > 0 : this.#ordered || awaited
    return this.unwanted && !kept && now - this.#usedAt > unreadMs
  }
}
