/**
 * Something that changes, and takes long to read; reading it must not fail. Whoever asks gets one whose reading began after that; all who ask while one is
 * being read share the next. The kernel lists seven thousand connections in 50 ms, and on a host with much memory takes 6 ms
 * for none: with a reading for each, a flood of them kept every other client waiting for many seconds.
 */
export class SharedReading<T = string> {
  readonly #read: () => Promise<T>
  #current: Promise<T> | undefined
  #next: Promise<T> | undefined

  constructor(read: () => Promise<T>) {
    this.#read = read
  }

  get(): Promise<T> {
    if (!this.#current) return this.#begin()
    this.#next ??= this.#current.then(() => {
      this.#next = undefined
      return this.#begin()
    })
    return this.#next
  }

  #begin(): Promise<T> {
    const current = this.#read().then((text) => {
      if (this.#current === current) this.#current = undefined
      return text
    })
    this.#current = current
    return current
  }
}
