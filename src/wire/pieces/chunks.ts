/**
 * A body in chunks (RFC 9112, 7.1), read as it comes, however it is cut: each chunk has its length before it, in hexadecimal.
 * Strictly, as the head of an answer is read: no extensions, no trailers, no length of more than six digits. Pure.
 */
import { Failure } from '../../failure.ts'

const [cr, lf] = [13, 10]
const mostDigits = 6

/** What comes next: digits of a length, the line feed after them, bytes of a chunk, what ends it, what ends them all. */
type Place = 'length' | 'length end' | 'bytes' | 'bytes end' | 'end'

export class ChunkReader {
  #place: Place = 'length'
  #digits = ''
  /** Of the chunk, or of the two bytes that end it. */
  #left = 0
  #over = false

  /** The body is whole. */
  get over(): boolean {
    return this.#over
  }

  /**
   * True when the body is whole. `take` gets its bytes, part by part.
   * @throws {Failure} `unavailable` when these are no chunks, or something follows the last
   */
  feed(bytes: Uint8Array, take: (part: Uint8Array) => void): boolean {
    let at = 0
    while (at < bytes.length) {
      if (this.#place === 'bytes') {
        const part = bytes.subarray(at, at + this.#left)
        take(part)
        at += part.length
        this.#left -= part.length
        if (this.#left === 0) this.#goTo('bytes end', 2)
        continue
      }
      const over = this.#read(bytes[at++]!)
      if (over && at < bytes.length) throw odd()
      if (over) this.#over = true
    }
    return this.#over
  }

  #read(byte: number): boolean {
    switch (this.#place) {
      case 'length':
        if (byte === cr && this.#digits !== '') this.#place = 'length end'
        else this.#digits += digitOf(byte)
        if (this.#digits.length > mostDigits) throw odd()
        return false
      case 'length end': {
        if (byte !== lf) throw odd()
        const length = Number.parseInt(this.#digits, 16)
        this.#digits = ''
        if (length > 0) this.#goTo('bytes', length)
        else this.#goTo('end', 2)
        return false
      }
      default:
        if (byte !== (this.#left === 2 ? cr : lf)) throw odd()
        if (--this.#left > 0) return false
        if (this.#place === 'end') return true
        this.#place = 'length'
        return false
    }
  }

  #goTo(place: Place, left: number): void {
    this.#place = place
    this.#left = left
  }
}

function digitOf(byte: number): string {
  const digit = String.fromCharCode(byte)
  if (!/^[\da-fA-F]$/.test(digit)) throw odd()
  return digit
}

function odd(): Failure {
  return new Failure('unavailable', 'the answer has a body whose chunks make no sense')
}
