/** One thing at a time for each key: what is asked of a layer or a directory waits for what is under way there. */
export class Lines<K> {
  readonly #last = new Map<K, Promise<unknown>>()

  run<T>(key: K, task: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve()
    const result = before.then(task, task)
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
