/**
 * Standard output of the process: what is printed goes out in its order, and what could not is known at the end. Without
 * that a full disk would get an empty key or manifest, and a script would go on with it.
 */
import type { Writable } from 'node:stream'

/** As far as it is needed of a stream. */
type Stream = Pick<Writable, 'write'> & { on(event: 'error', listener: (error: Error) => void): unknown }

export class StandardOutput {
  readonly #stream: Stream
  readonly #listeners = new Set<() => void>()
  readonly #under = new Set<Promise<void>>()
  #lost: Error | undefined

  constructor(stream: Stream) {
    this.#stream = stream
    // Whoever wrote is told by itself; without a listener it would end the process, which may be a node.
    stream.on('error', () => {
      for (const listener of this.#listeners) listener()
    })
  }

  /** Resolves when more may come. @throws what the system says */
  pour(bytes: Uint8Array | string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#stream.write(bytes, (error) => (error ? reject(error) : resolve()))
    })
  }

  /** Does not wait; see {@link lost}. */
  print(text: string): void {
    const writing = this.pour(text)
      .catch((error: unknown) => {
        this.#lost ??= error instanceof Error ? error : new Error(String(error))
      })
      .finally(() => this.#under.delete(writing))
    this.#under.add(writing)
  }

  /** Calls `listener` when it takes nothing more, until the result is called. */
  onGone(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /**
   * Resolves when all that was printed is out, a pipe being slow to take it; to why some is not. What `shoal ... | head`
   * leaves behind is no failure.
   */
  async lost(): Promise<string | undefined> {
    while (this.#under.size > 0) await Promise.all(this.#under)
    if (this.#lost === undefined || ('code' in this.#lost && this.#lost.code === 'EPIPE')) return undefined
    return `not all could be written to standard output: ${this.#lost.message}`
  }
}
