/** One after the other, for each key. */
import pLimit, { type LimitFunction } from 'p-limit'

export class Turns {
  readonly #lines = new Map<string, LimitFunction>()

  /** Does `work` when all that came before it for the same key is done. */
  async alone<T>(key: string, work: () => Promise<T>): Promise<T> {
    const line = this.#lines.get(key) ?? pLimit(1)
    this.#lines.set(key, line)
    try {
      return await line(work)
    } finally {
      if (line.activeCount + line.pendingCount === 0) this.#lines.delete(key)
    }
  }
}
