/** What of a layer lies in other layers' files: chunks that are equal are stored once. */
import type { Holdings } from './holdings.ts'
import type { Keeping } from './keeping.ts'
import type { Surroundings } from './surroundings.ts'

/** A chunk shorter than a block of the disk saves nothing there: it is copied. */
export const leastLent = 4096
/**
 * A layer that other layers have this share of, or less, is given all of it in its own file when it is complete: then the
 * kernel reads that without asking anybody. Of more, what is saved is worth more.
 */
const littleShare = 1 / 8

export class Lending {
  readonly #holdings: Holdings
  readonly #keeping: Keeping
  readonly #around: Pick<Surroundings, 'find' | 'stays'>
  /** Bytes of chunks that other layers had and that were copied. */
  #copied: number

  /** @param deduped what it had from others before, copied or not */
  constructor(holdings: Holdings, keeping: Keeping, around: Pick<Surroundings, 'find' | 'stays'>, deduped: number) {
    this.#holdings = holdings
    this.#keeping = keeping
    this.#around = around
    this.#copied = Math.max(0, deduped - holdings.lentBytes)
  }

  /** Bytes that were not fetched, for others had them. */
  get deduped(): number {
    return this.#holdings.lentBytes + this.#copied
  }

  get isLittle(): boolean {
    return this.#holdings.lentBytes <= this.#holdings.table.size * littleShare
  }

  /** Takes note of a missing chunk that another layer has. True if it is not missing any more. */
  borrow(chunk: number): boolean {
    if (this.#holdings.has(chunk) || !this.#around.stays(this.#holdings.table.digest(chunk))) return false
    this.#holdings.lend(chunk)
    return true
  }

  /**
   * Takes note of what no other layer has any more, be it that a power cut took what was known of that one. One that leaves
   * still hands over what it has.
   * @returns whether there was any
   */
  review(): boolean {
    const { lent, table } = this.#holdings
    const lost = [...lent.indexes()].filter((chunk) => !this.#around.find(table.digest(chunk)))
    for (const chunk of lost) this.#holdings.lose(chunk)
    return lost.length > 0
  }

  /** Copies a chunk that lies in another layer's file, which is about to go. */
  async takeOver(chunk: number): Promise<void> {
    if (!this.#holdings.lent.has(chunk)) return
    const bytes = await this.#ofAnother(chunk)
    if (bytes) await this.#copy(chunk, bytes)
    else this.#holdings.lose(chunk)
  }

  /** A chunk that another layer has; undefined where that has it no longer. */
  async chunk(chunk: number): Promise<Uint8Array | undefined> {
    if (!this.#holdings.lent.has(chunk)) return undefined
    const bytes = await this.#ofAnother(chunk)
    if (!bytes) this.#holdings.lose(chunk)
    else if (bytes.length < leastLent) await this.#copy(chunk, bytes)
    return bytes
  }

  async #ofAnother(chunk: number): Promise<Uint8Array | undefined> {
    // A place whose bytes turn out to be wrong, or cannot be read, is one no longer.
    for (;;) {
      const place = this.#around.find(this.#holdings.table.digest(chunk))
      if (!place) return undefined
      const bytes = await place.keeper.own(place.chunk)
      if (bytes) return bytes
    }
  }

  async #copy(chunk: number, bytes: Uint8Array): Promise<void> {
    const batch = this.#keeping.batch()
    batch.add(chunk, bytes)
    await batch.end()
    // What the disk did not take is another layer's still, or comes again.
    if (this.#holdings.own.has(chunk)) this.#copied += bytes.length
  }
}
