/**
 * Standard error as the log has it. A line is out before whoever logs it goes on, for the last lines are the ones that matter.
 * One that cannot be written, because the disk is full that standard error leads to or because its reader is gone, is
 * lost and counted; the next is tried again. Nobody who logs is told: it would be an error in what they do.
 */
import { writeSync } from 'node:fs'

export interface StandardErrorOptions {
  /** Called for each line that is lost. */
  readonly lost: () => void
  /** Takes some of the bytes, and says how many. */
  readonly write?: (bytes: Uint8Array) => number
  /** Holds up the whole process. */
  readonly sleep?: (ms: number) => void
}

/** For a reader that is slow, where writes do not wait for it by themselves. In ms. */
const patienceMs = 500
const pauseMs = 10

export class StandardError {
  readonly #o: Required<StandardErrorOptions>
  /** Only a part of the last line is out: the next begins on a line of its own. */
  #cut = false
  /** Its reader was waited for in vain: nobody waits before it takes something. */
  #stuck = false

  constructor(options: StandardErrorOptions) {
    this.#o = { write: (bytes) => writeSync(2, bytes), sleep: Bun.sleepSync, ...options }
  }

  write(line: string): void {
    const bytes = Buffer.from(this.#cut ? `\n${line}` : line)
    let out = 0
    try {
      while (out < bytes.length) out += this.#some(bytes.subarray(out))
      this.#cut = false
    } catch {
      this.#cut ||= out > 0
      this.#o.lost()
    }
  }

  #some(bytes: Uint8Array): number {
    for (let waited = 0; ; waited += pauseMs) {
      try {
        const taken = this.#o.write(bytes)
        this.#stuck = false
        return taken
      } catch (error) {
        const slow = error instanceof Error && 'code' in error && error.code === 'EAGAIN'
        if (!slow || this.#stuck) throw error
        if (waited >= patienceMs) {
          this.#stuck = true
          throw error
        }
        this.#o.sleep(pauseMs)
      }
    }
  }
}
