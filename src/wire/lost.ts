/**
 * Schedulers and seeds that were dropped, and when to look for each again: less and less often, and not for ever. Nor for
 * all of a cluster that somebody invents: of so many the oldest are given up. Pure; times in ms.
 */
import type { NodeId, NodeInfo } from '../cluster/node-info.ts'

export const lostRules = { first: 5_000, factor: 1.5, most: 60_000, forget: 3_600_000, nodes: 512 } as const

export interface Lost {
  readonly info: NodeInfo
  readonly since: number
  tries: number
  at: number
}

export class LostNodes {
  /** The oldest first. */
  readonly #all = new Map<NodeId, Lost>()
  readonly #byUrl = new Map<string, NodeId>()

  get size(): number {
    return this.#all.size
  }

  has(entry: Lost): boolean {
    return this.#all.get(entry.info.id) === entry
  }

  add(info: NodeInfo, now: number): void {
    this.found(info)
    this.#all.set(info.id, { info, since: now, tries: 0, at: now + lostRules.first })
    this.#byUrl.set(info.url, info.id)
    if (this.#all.size > lostRules.nodes) this.#delete(this.#all.keys().next().value!)
  }

  /** Who lives at an address now has taken it over: hosts that are set up anew come with new ids, again and again. */
  found({ id, url }: Pick<NodeInfo, 'id' | 'url'>): void {
    this.#delete(id)
    const other = this.#byUrl.get(url)
    if (other !== undefined) this.#delete(other)
  }

  /** Those whose time has come; they are due again later. */
  due(now: number): Lost[] {
    const due: Lost[] = []
    for (const [id, entry] of this.#all) {
      if (now - entry.since > lostRules.forget) this.#delete(id)
      else if (entry.at <= now) {
        entry.tries++
        entry.at = now + Math.min(lostRules.most, lostRules.first * lostRules.factor ** entry.tries)
        due.push(entry)
      }
    }
    return due
  }

  #delete(id: NodeId): void {
    const entry = this.#all.get(id)
    if (!entry) return
    this.#all.delete(id)
    this.#byUrl.delete(entry.info.url)
  }
}
