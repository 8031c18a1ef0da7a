/**
 * What a registry redirects to instead of sending blobs itself: gives the blob whose digest is in the path to anybody,
 * and keeps the headers of every request, because whom nobody asked for credentials must not be sent any.
 */
import { type Digest, hexOf } from '../../src/oci/digest.ts'

export class BlobStorage {
  /** Of every request so far, as one text each. */
  readonly seen: string[] = []
  /** Instead of a blob: the value of a `WWW-Authenticate` header that goes with a 401. */
  challenge: string | undefined
  readonly #blobs = new Map<string, Uint8Array<ArrayBuffer>>()
  readonly #server: Bun.Server<undefined>

  constructor() {
    this.#server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: (request) => this.#answer(request) })
  }

  get url(): string {
    return this.#server.url.origin
  }

  add(digest: Digest, bytes: Uint8Array): void {
    this.#blobs.set(hexOf(digest), new Uint8Array(bytes))
  }

  async stop(): Promise<void> {
    await this.#server.stop(true)
  }

  #answer(request: Request): Response {
    const headers = [...request.headers].map(([name, value]) => `${name}: ${value}`)
    this.seen.push([`${request.method} ${request.url}`, ...headers].join('\n'))
    if (this.challenge !== undefined) {
      return new Response(null, { status: 401, headers: { 'www-authenticate': this.challenge } })
    }
    const blob = this.#blobs.get(/[0-9a-f]{64}(?=\/data|$)/.exec(new URL(request.url).pathname)?.[0] ?? '')
    return blob ? new Response(blob) : new Response('no such blob', { status: 404 })
  }
}
