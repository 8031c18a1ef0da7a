/**
 * Things to do in virtual time, earliest first; those of the same tick in the order they were put in. A wheel of ticks,
 * each with a list, and an event is five numbers in pooled arrays: a swarm of fifteen thousand nodes puts in some fifty
 * million events, and a heap of closures would spend more on them than the nodes do.
 */
export type Handle = (kind: number, a: number, b: number, c: number, d: number) => void

const slots = 1 << 16
const none = -1

export class EventQueue {
  readonly #tickMs: number
  readonly #first = new Int32Array(slots).fill(none)
  readonly #last = new Int32Array(slots).fill(none)
  #tick = new Float64Array(1024)
  #next = new Int32Array(1024)
  #kind = new Uint8Array(1024)
  /** `a` to `d` of each event. */
  #facts = new Float64Array(4096)
  #used = 0
  #free = none
  #now = 0
  #size = 0
  /** Events in the current tick's list that were looked at and are due a turn of the wheel later. */
  #later: number[] = []

  /** @param tickMs times are rounded up to multiples of this */
  constructor(tickMs: number) {
    this.#tickMs = tickMs
  }

  get now(): number {
    return this.#now * this.#tickMs
  }
  get size(): number {
    return this.#size
  }

  at(time: number, kind: number, a = 0, b = 0, c = 0, d = 0): void {
    const event = this.#take()
    this.#tick[event] = Math.max(this.#now, Math.ceil(time / this.#tickMs))
    this.#kind[event] = kind
    const at = 4 * event
    this.#facts[at] = a
    this.#facts[at + 1] = b
    this.#facts[at + 2] = c
    this.#facts[at + 3] = d
    this.#append(event)
    this.#size++
  }

  after(delay: number, kind: number, a = 0, b = 0, c = 0, d = 0): void {
    this.at(this.now + delay, kind, a, b, c, d)
  }

  /** Has one event handled; false when there is none. */
  step(handle: Handle): boolean {
    if (this.#size === 0) return false
    const event = this.#pop()
    const at = 4 * event
    const facts = this.#facts
    this.#next[event] = this.#free
    this.#free = event
    this.#size--
    handle(this.#kind[event]!, facts[at]!, facts[at + 1]!, facts[at + 2]!, facts[at + 3]!)
    return true
  }

  #pop(): number {
    for (;;) {
      const slot = this.#now % slots
      const event = this.#first[slot]!
      if (event === none) {
        for (const later of this.#later) this.#append(later)
        this.#later.length = 0
        this.#now++
        continue
      }
      this.#first[slot] = this.#next[event]!
      if (this.#tick[event] === this.#now) return event
      this.#later.push(event)
    }
  }

  #append(event: number): void {
    const slot = this.#tick[event]! % slots
    this.#next[event] = none
    if (this.#first[slot] === none) this.#first[slot] = event
    else this.#next[this.#last[slot]!] = event
    this.#last[slot] = event
  }

  #take(): number {
    const event = this.#free
    if (event !== none) {
      this.#free = this.#next[event]!
      return event
    }
    if (this.#used === this.#next.length) this.#grow()
    return this.#used++
  }

  #grow(): void {
    const grown = <T extends Float64Array | Int32Array | Uint8Array>(to: T, from: T): T => {
      to.set(from)
      return to
    }
    const room = 2 * this.#next.length
    this.#tick = grown(new Float64Array(room), this.#tick)
    this.#next = grown(new Int32Array(room), this.#next)
    this.#kind = grown(new Uint8Array(room), this.#kind)
    this.#facts = grown(new Float64Array(4 * room), this.#facts)
  }
}
