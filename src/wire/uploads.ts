/**
 * When is a piece sent? The runtime hands a file to sendfile and tells nobody when it is done; it only counts the
 * requests that are not over (`pendingRequests`), and signals the ones whose connection broke. So an upload is over
 *
 * - when its request is aborted,
 * - when the same connection brings the next request (a client asks again after it has read the answer), or
 * - when the runtime counts fewer requests than there are uploads: the oldest is then taken for the finished one.
 *
 * The number is exact whenever it is asked for; which of two concurrent uploads ended may be told wrongly for as long
 * as neither connection is used again. And "over" means that the kernel has taken all bytes: on a slow link a piece
 * may then still lie in the send buffer, so the number of uploads is not a measure of how busy the link is.
 */
import type { Clock } from '../clock.ts'

/** How often (ms) to look while anything is being sent. Who counts slots does not wait for this, but calls `settle`. */
const lookEvery = 100

interface Upload {
  readonly connection: string
  readonly over: (sent: boolean) => void
}

export class Uploads {
  readonly #pending: () => number
  readonly #clock: Clock
  readonly #running = new Set<Upload>()
  readonly #byConnection = new Map<string, Upload>()
  /** Requests that are not being sent from a file: in a handler, or waiting. */
  #others = 0
  #cancelLook: (() => void) | undefined

  /** @param pending the server's count of requests that are not over */
  constructor(pending: () => number, clock: Clock) {
    this.#pending = pending
    this.#clock = clock
  }

  get running(): number {
    return this.#running.size
  }

  /** A request came in; the result is called when its handler is done with it. `begin` does so by itself. */
  enter(connection: string): () => void {
    const previous = this.#byConnection.get(connection)
    if (previous) this.#end(previous, true)
    this.#others++
    let inside = true
    return () => {
      if (inside) this.#others--
      inside = false
    }
  }

  /** The handler is about to answer with a file. `over` is called once, with false if the connection broke. */
  begin(connection: string, signal: AbortSignal, leave: () => void, over: (sent: boolean) => void): void {
    leave()
    const upload = { connection, over }
    this.#running.add(upload)
    this.#byConnection.set(connection, upload)
    if (signal.aborted) this.#end(upload, false)
    else signal.addEventListener('abort', () => this.#end(upload, false), { once: true })
    this.#look()
  }

  /** Ends the uploads that are over. To be called before a slot is counted. */
  settle(): void {
    const sending = Math.max(0, this.#pending() - this.#others)
    let surplus = this.#running.size - sending
    for (const upload of this.#running) {
      if (surplus-- <= 0) break
      this.#end(upload, true)
    }
  }

  close(): void {
    this.#cancelLook?.()
    for (const upload of [...this.#running]) this.#end(upload, false)
  }

  #end(upload: Upload, sent: boolean): void {
    if (!this.#running.delete(upload)) return
    if (this.#byConnection.get(upload.connection) === upload) this.#byConnection.delete(upload.connection)
    upload.over(sent)
  }

  #look(): void {
    this.#cancelLook ??= this.#clock.after(lookEvery, () => {
      this.#cancelLook = undefined
      this.settle()
      if (this.#running.size > 0) this.#look()
    })
  }
}
