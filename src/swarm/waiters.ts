/** Who waits for which piece. Resolved as pieces come, rejected when the download ends without them. */
import { Failure } from '../failure.ts'

interface Waiter {
  resolve(): void
  reject(error: Error): void
}

export class PieceWaiters {
  readonly #waiting = new Map<number, Set<Waiter>>()
  #failure: Failure | undefined

  wait(piece: number, signal: AbortSignal): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure)
    if (signal.aborted) return Promise.reject(new Failure('cancelled', 'the reader went away'))
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        signal.removeEventListener('abort', abort)
        this.#waiting.get(piece)?.delete(waiter)
        act()
      }
      const waiter: Waiter = { resolve: () => settle(resolve), reject: (error) => settle(() => reject(error)) }
      const abort = () => waiter.reject(new Failure('cancelled', 'the reader went away'))
      signal.addEventListener('abort', abort, { once: true })
      const waiters = this.#waiting.get(piece)
      if (waiters) waiters.add(waiter)
      else this.#waiting.set(piece, new Set([waiter]))
    })
  }

  stored(piece: number): void {
    for (const waiter of [...(this.#waiting.get(piece) ?? [])]) waiter.resolve()
    this.#waiting.delete(piece)
  }

  fail(failure: Failure): void {
    this.#failure = failure
    for (const waiters of [...this.#waiting.values()]) for (const waiter of [...waiters]) waiter.reject(failure)
    this.#waiting.clear()
  }
}
