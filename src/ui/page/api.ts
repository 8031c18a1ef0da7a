/** The node's API, asked from its own page. */

/** The port wants a token, or another one. */
export class Unauthorized extends Error {}

/** The node said no, in its own words. */
export class Refused extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** Where a token outlives a reload of the page, and not the browser's tab. */
export type Keep = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>
export type Fetch = (path: string, init: RequestInit) => Promise<Response>

const key = 'shoal-token'
const patienceMs = 8000

export class Api {
  readonly #fetch: Fetch
  readonly #keep: Keep

  constructor(fetch: Fetch, keep: Keep) {
    this.#fetch = fetch
    this.#keep = keep
  }

  set token(token: string) {
    this.#keep.setItem(key, token)
  }

  forget(): void {
    this.#keep.removeItem(key)
  }

  /** The shape is promised by the node that this page came with. @throws {Unauthorized | Refused | Error} */
  async get<T>(path: string): Promise<T> {
    return (await this.#ask('GET', path)).json() as Promise<T>
  }

  /** @throws {Unauthorized | Refused | Error} */
  async remove(path: string): Promise<void> {
    await this.#ask('DELETE', path)
  }

  async #ask(method: string, path: string): Promise<Response> {
    const token = this.#keep.getItem(key)
    const headers: Record<string, string> = token === null ? {} : { authorization: `Bearer ${token}` }
    const answer = await this.#fetch(path, { method, headers, signal: AbortSignal.timeout(patienceMs) })
    if (answer.ok) return answer
    const message = await messageOf(answer)
    // 400 is for a token that could not be one.
    if (answer.status === 401 || (answer.status === 400 && token !== null && message.includes('Bearer'))) {
      this.forget()
      throw new Unauthorized(token === null ? '' : 'that was not the token of this node')
    }
    throw new Refused(answer.status, message)
  }
}

async function messageOf(answer: Response): Promise<string> {
  try {
    const { error } = (await answer.json()) as { error: { message: string } }
    return error.message
  } catch {
    return `the node answered ${answer.status}`
  }
}
