/** One thing at a time for each key: what is asked of a layer, a directory or a repository waits for what is under way there. */
export class Turns<K = string> {
  readonly #last = new Map<K, Promise<unknown>>()

  /** Does `work` when all that came before it for the same key is done. */
  alone<T>(key: K, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve()
    const result = before.then(work, work)
    const done = result.then(
      () => {},
      () => {},
    )
    this.#last.set(key, done)
    void done.then(() => {
      if (this.#last.get(key) === done) this.#last.delete(key)
    })
    return result
  }
}
