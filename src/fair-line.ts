/**
 * Who is next, when several want the same thing: a line that is fair to those who wait in it and not to how much each
 * asks for. Start-time fair queueing, as a tree: each flow gets turns in proportion to its weight, and inside a flow its
 * own flows share those in the same way. Pure; costs are in whatever unit the caller counts.
 *
 * Each flow carries the share it has had so far, divided by its weight, as a mark on a scale that all flows of one parent
 * have in common; the one with the lowest mark is next. Who comes anew begins where the scale stands, so that nobody
 * saves up turns by keeping away, and a flow with little to ask for is never behind the backlog of one with much.
 */

class Flow<T> {
  readonly key: string
  readonly weight: number
  readonly parent: Flow<T> | undefined
  /** At the leaves: who waits, first come first. */
  readonly items: T[] = []
  readonly flows = new Map<string, Flow<T>>()
  /** Flows in which somebody waits, the next one first. */
  readonly order: Flow<T>[] = []
  /** Sum of the weights in `order`. */
  load = 0
  /** Where the scale of `flows` stands. */
  scale = 0
  /** This flow's mark on the scale of its parent. */
  mark = 0
  /** It has had a turn since it began to wait: among equals those go first who have not. */
  served = false
  /** It was its turn, and nothing of it could be served. */
  skipped = false
  queued = false
  sweepAt = 64

  constructor(key: string, weight: number, parent: Flow<T> | undefined) {
    this.key = key
    this.weight = weight
    this.parent = parent
  }

  get empty(): boolean {
    return this.items.length === 0 && this.order.length === 0
  }

  child(key: string, weight: number): Flow<T> {
    let flow = this.flows.get(key)
    if (!flow) {
      if (this.flows.size >= this.sweepAt) this.#sweep()
      flow = new Flow(key, weight, this)
      this.flows.set(key, flow)
    }
    return flow
  }

  enter(flow: Flow<T>): void {
    flow.queued = true
    flow.served = false
    flow.skipped = false
    flow.mark = Math.max(flow.mark, this.scale)
    this.load += flow.weight
    this.#place(flow)
  }

  leave(flow: Flow<T>): void {
    flow.queued = false
    this.load -= flow.weight
    this.order.splice(this.order.indexOf(flow), 1)
  }

  /** The flow had a turn that cost so much. */
  charge(flow: Flow<T>, cost: number): void {
    // What could not be served had no use for its turns; it gets one of them now, not all.
    const from = flow.skipped ? Math.max(flow.mark, this.scale) : flow.mark
    flow.mark = from + cost / flow.weight
    this.scale = Math.max(this.scale + cost / this.load, from)
    flow.served = true
    flow.skipped = false
    this.order.splice(this.order.indexOf(flow), 1)
    this.#place(flow)
  }

  #place(flow: Flow<T>): void {
    let [low, high] = [0, this.order.length]
    while (low < high) {
      const middle = (low + high) >> 1
      const other = this.order[middle]!
      const before = other.mark < flow.mark || (other.mark === flow.mark && (flow.served || !other.served))
      if (before) low = middle + 1
      else high = middle
    }
    this.order.splice(low, 0, flow)
  }

  /** Forgets those who wait for nothing and have nothing to make up for. */
  #sweep(): void {
    for (const [key, flow] of this.flows) if (!flow.queued && flow.mark <= this.scale) this.flows.delete(key)
    this.sweepAt = 64 + 2 * this.flows.size
  }
}

interface Found<T> {
  readonly item: T
  /** Its place among the items of the flow. */
  readonly index: number
  readonly flow: Flow<T>
  readonly cost: number
}

export class FairLine<T> {
  readonly #shares: Readonly<Record<string, number>>
  readonly #root = new Flow<T>('', 1, undefined)
  /** Everybody who waits, in the order in which they came, with the flow they wait in. */
  readonly #places = new Map<T, Flow<T>>()

  /** @param shares weights of the flows at the top, by key; all others weigh 1 */
  constructor(shares: Readonly<Record<string, number>> = {}) {
    this.#shares = shares
  }

  get size(): number {
    return this.#places.size
  }

  /** How many flows somebody waits in, of those right below the flow of that name at the top. */
  flowsIn(top: string): number {
    return this.#root.flows.get(top)?.order.length ?? 0
  }

  /** Who waits, longest first. */
  waiting(): IterableIterator<T> {
    return this.#places.keys()
  }

  /** `path` names the flow, from the top. All paths of a line are of the same length; nobody waits twice. */
  add(item: T, path: readonly string[]): void {
    let flow = this.#root
    for (const [depth, key] of path.entries()) {
      flow = flow.child(key, depth === 0 ? (this.#shares[key] ?? 1) : 1)
    }
    flow.items.push(item)
    this.#places.set(item, flow)
    for (let at = flow; at.parent && !at.queued; at = at.parent) at.parent.enter(at)
  }

  /** False if it does not wait. */
  withdraw(item: T): boolean {
    const flow = this.#places.get(item)
    if (!flow) return false
    flow.items.splice(flow.items.indexOf(item), 1)
    this.#left(item, flow)
    return true
  }

  /** Who would be next. */
  first(servable: (item: T) => boolean): T | undefined {
    return this.#find(this.#root, (item) => (servable(item) ? 0 : undefined), false)?.item
  }

  /**
   * Takes out whoever is next. `cost` says what serving an item costs, or undefined when it cannot be served now.
   * `lasting` is false when who is passed over could be served, and keeps the turns it had no use for.
   */
  next(cost: (item: T) => number | undefined, lasting = true): T | undefined {
    const found = this.#find(this.#root, cost, lasting)
    if (found === undefined) return undefined
    found.flow.items.splice(found.index, 1)
    for (let at = found.flow; at.parent; at = at.parent) at.parent.charge(at, found.cost)
    this.#left(found.item, found.flow)
    return found.item
  }

  #find(flow: Flow<T>, costOf: (item: T) => number | undefined, lasting: boolean): Found<T> | undefined {
    const { items, order } = flow
    // By index: this is gone through for every item that is served.
    for (let index = 0; index < items.length; index++) {
      const item = items[index]!
      const cost = costOf(item)
      if (cost !== undefined) return { item, index, flow, cost }
    }
    for (let i = 0; i < order.length; i++) {
      const child = order[i]!
      const found = this.#find(child, costOf, lasting)
      if (found !== undefined) return found
      child.skipped ||= lasting
    }
    return undefined
  }

  #left(item: T, flow: Flow<T>): void {
    this.#places.delete(item)
    for (let at = flow; at.parent && at.queued && at.empty; at = at.parent) at.parent.leave(at)
  }
}
