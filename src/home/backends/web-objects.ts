/** Objects behind a web server that serves files: they can be read, and neither listed nor written. */
import type { Objects, OpenObject } from './objects.ts'
import type { WebClient } from './web-client.ts'

export class WebObjects implements Objects {
  readonly name: string
  readonly #client: WebClient

  /** The client's name is the URL below which the layout begins, with a slash at its end. */
  constructor(client: WebClient) {
    this.#client = client
    this.name = client.name
  }

  size(path: string, signal?: AbortSignal): Promise<number | undefined> {
    const url = this.name + path
    return this.#client.size(new URL(url), url, signal)
  }

  open(path: string, start: number, signal?: AbortSignal, end?: number): Promise<OpenObject | undefined> {
    const url = this.name + path
    return this.#client.open(new URL(url), start, url, signal, end)
  }
}
