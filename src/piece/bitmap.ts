/** Which pieces are there. Bit i of byte i>>3, lowest bit first. */
export class Bitmap {
  readonly length: number
  readonly bytes: Uint8Array
  #count = 0

  constructor(length: number, bytes?: Uint8Array) {
    this.length = length
    this.bytes = new Uint8Array((length + 7) >> 3)
    if (bytes) {
      this.bytes.set(bytes.subarray(0, this.bytes.length))
      // Bits past the end would make a blob look complete that is not.
      if (length & 7) this.bytes[this.bytes.length - 1]! &= (1 << (length & 7)) - 1
      for (const byte of this.bytes) this.#count += ones(byte)
    }
  }

  static full(length: number): Bitmap {
    return new Bitmap(length, new Uint8Array((length + 7) >> 3).fill(0xff))
  }

  get count(): number {
    return this.#count
  }
  get complete(): boolean {
    return this.#count === this.length
  }

  has(index: number): boolean {
    return index >= 0 && index < this.length && (this.bytes[index >> 3]! & (1 << (index & 7))) !== 0
  }

  /** True if the bit was not set before. */
  set(index: number): boolean {
    if (index < 0 || index >= this.length || this.has(index)) return false
    this.bytes[index >> 3]! |= 1 << (index & 7)
    this.#count++
    return true
  }

  clear(index: number): boolean {
    if (!this.has(index)) return false
    this.bytes[index >> 3]! &= ~(1 << (index & 7))
    this.#count--
    return true
  }

  /** The first index at or after `from` that is not set; `length` if there is none. */
  nextMissing(from: number): number {
    for (let i = Math.max(0, from); i < this.length; i++) {
      if ((i & 7) === 0 && this.bytes[i >> 3] === 0xff) i += 7
      else if (!this.has(i)) return i
    }
    return this.length
  }

  *indexes(): Generator<number> {
    for (let i = 0; i < this.length; i++) if (this.has(i)) yield i
  }

  copy(): Bitmap {
    return new Bitmap(this.length, this.bytes)
  }
}

/** One that somebody else sets. */
export type ReadonlyBitmap = Omit<Bitmap, 'set' | 'clear'>

function ones(byte: number): number {
  let n = byte
  n = n - ((n >> 1) & 0x55)
  n = (n & 0x33) + ((n >> 2) & 0x33)
  return (n + (n >> 4)) & 0x0f
}
