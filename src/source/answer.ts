/** What came back from a registry: a head that is here, and a body that is still on its way. */
import type { Clock } from '../clock.ts'
import { Failure } from '../failure.ts'
import { cancelled } from './retry.ts'
import { connectionFailure, unreachable } from './unreachable.ts'
import type { Upstream } from './upstreams.ts'

export interface Connection {
  readonly upstream: Upstream
  readonly url: URL
  /** Aborting it drops the connection. */
  readonly controller: AbortController
  readonly clock: Clock
  /** How long the body may be silent. */
  readonly idleMs: number
  /** The caller's; it aborts `controller` until `unlink` is called. */
  readonly signal: AbortSignal | undefined
  readonly unlink: () => void
}

/** Bun's reader, which its types keep from fetch's streams: all chunks that are there, at least one unless it is over. */
interface ManyReader {
  readMany(): Promise<{ done: boolean; value: Uint8Array[] }> | { done: boolean; value: Uint8Array[] }
}

/** An answer whose body has not been read. Its connection is busy until `chunks` ends or `close` is called. */
export class Answer {
  readonly status: number
  readonly headers: Headers
  readonly upstream: Upstream
  /** Where the answer came from, after redirects. */
  readonly url: URL
  readonly #response: Response
  readonly #connection: Connection
  #over: boolean

  constructor(response: Response, connection: Connection) {
    this.status = response.status
    this.headers = response.headers
    this.upstream = connection.upstream
    this.url = connection.url
    this.#response = response
    this.#connection = connection
    this.#over = response.body === null
  }

  /** The body as it is on the wire. @throws as {@link batches} */
  async *chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const batch of this.batches()) yield* batch
  }

  /**
   * The body as it is on the wire, all that has come at a time: chunks are small, and each wait for one costs more than
   * the chunk. @throws {Failure} `cancelled`; {@link Transient} when it breaks off or stalls
   */
  async *batches(): AsyncGenerator<Uint8Array[], void, undefined> {
    const { idleMs, signal } = this.#connection
    const reader = this.#response.body?.getReader() as ManyReader | undefined
    const silence = this.#silence()
    try {
      while (reader) {
        silence.begin()
        const { done, value } = await reader.readMany()
        silence.end()
        if (value.length > 0) yield value
        if (done) break
      }
      this.#over = true
    } catch (error) {
      if (signal?.aborted) throw cancelled()
      if (silence.tooLong()) throw unreachable(this.upstream, this.url, `it sent nothing for ${idleMs / 1000} s`)
      throw connectionFailure(this.upstream, this.url, error)
    } finally {
      silence.close()
      this.close()
    }
  }

  /** Drops the connection when it was waited for too long: one timer for all waits, most of which are short. */
  #silence() {
    const { clock, idleMs, controller } = this.#connection
    let since: number | undefined
    let stalled = false
    let cancel = () => {}
    const look = (ms: number) => {
      cancel = clock.after(ms, () => {
        const quiet = since === undefined ? 0 : clock.now() - since
        if (quiet < idleMs) return look(idleMs - quiet)
        stalled = true
        controller.abort()
      })
    }
    look(idleMs)
    return {
      begin: () => {
        since = clock.now()
      },
      end: () => {
        since = undefined
      },
      tooLong: () => stalled,
      close: () => cancel(),
    }
  }

  /** The whole body. @throws {Failure} `corrupt` when it is longer than `cap` bytes; as {@link chunks} */
  async bytes(cap: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = []
    let length = 0
    for await (const chunk of this.chunks()) {
      length += chunk.length
      if (length > cap) {
        throw new Failure('corrupt', `registry ${this.upstream.registry} answered with more than ${cap} bytes`)
      }
      parts.push(chunk)
    }
    return Buffer.concat(parts)
  }

  /** Reads a short body to its end, which keeps the connection usable for the next request; drops a longer one. */
  async discard(): Promise<void> {
    const length = Number(this.headers.get('content-length') ?? Number.NaN)
    if (length <= 16 * 1024) await this.bytes(16 * 1024).catch(() => undefined)
    this.close()
  }

  /** Drops the connection unless the body has been read to its end. */
  close(): void {
    this.#connection.unlink()
    if (this.#over) return
    this.#over = true
    this.#connection.controller.abort()
  }
}
