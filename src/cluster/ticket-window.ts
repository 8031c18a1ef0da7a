/**
 * Which of a sender's numbered tickets have been here. They come in nearly the order in which they were made, so a bit
 * for each of the last so many is enough, whatever their number (RFC 4303, section 3.4.3, does the same for packets). Pure.
 */

/** Requests of one node that may overtake each other; a connection that is slow to open holds some up for a second. */
export const windowBits = 4096

export class TicketWindow {
  readonly #bits = new Uint32Array(windowBits / 32)
  #highest = 0

  /** True the first time that `number` (1 or more) is taken; false later, and when it is too far behind to tell. */
  take(number: number): boolean {
    if (number <= this.#highest - windowBits) return false
    if (number > this.#highest) {
      this.#forget(Math.max(this.#highest, number - windowBits) + 1, number)
      this.#highest = number
    }
    const at = number % windowBits
    const bit = 1 << (at & 31)
    const word = this.#bits[at >> 5]!
    if ((word & bit) !== 0) return false
    this.#bits[at >> 5] = word | bit
    return true
  }

  /** The places of numbers that are new are those of numbers that are too old now. */
  #forget(from: number, to: number): void {
    for (let number = from; number <= to; number++) {
      const at = number % windowBits
      this.#bits[at >> 5]! &= ~(1 << (at & 31))
    }
  }
}
