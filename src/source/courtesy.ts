/**
 * What nobody waits for is read from sources behind what somebody waits for, also where no `--source-rate` puts both into
 * one line: while the one is arriving, the other takes a sixteenth of what it takes, as on links between nodes.
 */
import { type Clock, pause } from '../clock.ts'
import { shares } from '../rate.ts'

/** Nothing has arrived for so long: the way is free. */
const quietMs = 300
const lookMs = 20
/** However long it waited, it does not make up for all of it at once. */
const mostCredit = 256 * 1024

export class Courtesy {
  readonly #clock: Clock
  #busyAt = Number.NEGATIVE_INFINITY
  /** Bytes that the background may take while somebody waits for others. */
  #credit = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** So much has arrived for somebody; resolves when the next may be read. */
  async pass(bytes: number, background: boolean): Promise<void> {
    const { interactive, background: share } = shares
    if (!background) {
      this.#busyAt = this.#clock.now()
      this.#credit = Math.min(mostCredit, this.#credit + (bytes * share) / interactive)
      return
    }
    this.#credit -= bytes
    while (this.#credit < 0 && this.#clock.now() - this.#busyAt < quietMs) await pause(this.#clock, lookMs)
    // Nobody to be courteous to: nothing is owed, and nothing is saved up.
    if (this.#clock.now() - this.#busyAt >= quietMs) this.#credit = 0
  }
}
