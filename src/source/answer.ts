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

  /** The body as it is on the wire. @throws {Failure} `cancelled`; {@link Transient} when it breaks off or stalls */
  async *chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    const { clock, idleMs, controller, signal } = this.#connection
    const reader = this.#response.body?.getReader()
    let stalled = false
    try {
      while (reader) {
        const cancel = clock.after(idleMs, () => {
          stalled = true
          controller.abort()
        })
        const { done, value } = await reader.read().finally(cancel)
        if (done) break
        yield value
      }
      this.#over = true
    } catch (error) {
      if (signal?.aborted) throw cancelled()
      if (stalled) throw unreachable(this.upstream, this.url, `it sent nothing for ${idleMs / 1000} s`)
      throw connectionFailure(this.upstream, this.url, error)
    } finally {
      this.close()
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
