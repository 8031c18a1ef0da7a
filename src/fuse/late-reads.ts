/**
 * Reads that met their deadline, for as long as the kernel is at the same thing: it answers a read-ahead that failed with
 * a read of each page of it, one after the other, and each would wait as long again. Those near one that has just failed
 * get what is here, and fail with it else, so that whoever reads waits once. Pure.
 */

/** The kernel reads ahead by no more. */
const near = 1024 * 1024
const recentMs = 250
const most = 64

interface Late {
  readonly node: number
  readonly start: number
  readonly end: number
  readonly at: number
}

export class LateReads {
  #all: readonly Late[] = []

  /** The bytes did not come in time. */
  add(node: number, offset: number, length: number, now: number): void {
    const still = this.#all.filter(({ at }) => now - at < recentMs).slice(-most + 1)
    this.#all = [...still, { node, start: offset - near, end: offset + length + near, at: now }]
  }

  has(node: number, offset: number, now: number): boolean {
    return this.#all.some(
      (late) => late.node === node && now - late.at < recentMs && offset >= late.start && offset < late.end,
    )
  }
}
