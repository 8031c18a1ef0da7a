/** Whole numbers of up to 53 bits, seven bits to a byte, the low ones first (LEB128). */

/** Writes them one after the other. */
export class VarintWriter {
  #bytes = new Uint8Array(4096)
  #length = 0

  add(value: number): void {
    if (this.#length + 8 > this.#bytes.length) {
      const longer = new Uint8Array(this.#bytes.length * 2)
      longer.set(this.#bytes)
      this.#bytes = longer
    }
    let rest = value
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#bytes[this.#length++] = rest
  }

  whole(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }
}

export class VarintReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get done(): boolean {
    return this.#at === this.#bytes.length
  }

  /** The next number; `undefined` behind the last one, or when it is cut off or too large. */
  next(): number | undefined {
    let value = 0
    let weight = 1
    for (let i = 0; i < 8; i++) {
      const byte = this.#bytes[this.#at++]
      if (byte === undefined) return undefined
      value += (byte & 0x7f) * weight
      if (byte < 0x80) return Number.isSafeInteger(value) ? value : undefined
      weight *= 0x80
    }
    return undefined
  }
}
