/** Asks a running node through its admin port; what goes wrong is said with the remedy. */
import { z } from 'zod'
import { isWildcard } from '../cluster/advertise.ts'
import type { Secret } from '../config/secret.ts'
import { copied } from '../install/places.ts'
import { type Address, formatAddress, isLoopback } from '../listen.ts'
import { strangerAt, strangerSentence } from '../local/stranger.ts'
import { CommandError } from './exit.ts'

const errorSchema = z.object({ error: z.object({ message: z.string() }) })
type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

const answersWithinMs = 10_000
const serviceToken = copied['admin-token-file']

/** What it takes to reach a node. */
export interface AdminAccess {
  readonly address: Address
  readonly token?: { readonly secret: Secret; readonly file: string } | undefined
  /** The unit is installed on this host. */
  readonly service: boolean
}

export class AdminClient {
  readonly #access: AdminAccess
  /** Where it asks: `127.0.0.1:4883`. */
  readonly where: string
  readonly #headers: Record<string, string>
  readonly #deadlineMs: number
  /** The address is one of this host's alone. */
  readonly #here: boolean

  /** `deadlineMs`: how long an answer is waited for. */
  constructor(access: AdminAccess, deadlineMs = answersWithinMs) {
    const { address, token } = access
    this.#access = access
    this.where = formatAddress(address)
    this.#deadlineMs = deadlineMs
    this.#headers = token ? { authorization: `Bearer ${token.secret.reveal()}` } : {}
    this.#here = isLoopback(address.host) || isWildcard(address.host)
  }

  /** What the token was read from; undefined: it has none. */
  get tokenFile(): string | undefined {
    return this.#access.token?.file
  }

  /** For what anybody is told. */
  withoutToken(): AdminClient {
    return new AdminClient({ ...this.#access, token: undefined })
  }

  /** For work that takes as long as it takes. */
  patient(): AdminClient {
    return new AdminClient(this.#access, Number.POSITIVE_INFINITY)
  }

  /** @throws {CommandError} */
  get<T>(path: string, schema: z.ZodType<T>): Promise<T> {
    return this.#ask('GET', path, schema)
  }

  /** @throws {CommandError} */
  post<T>(path: string, schema: z.ZodType<T>, body?: object): Promise<T> {
    return this.#ask('POST', path, schema, body)
  }

  /** @throws {CommandError} */
  put<T>(path: string, schema: z.ZodType<T>): Promise<T> {
    return this.#ask('PUT', path, schema)
  }

  /** @throws {CommandError} */
  async delete(path: string): Promise<void> {
    await this.#told('DELETE', path)
  }

  async #ask<T>(method: Method, path: string, schema: z.ZodType<T>, sent?: object): Promise<T> {
    const parsed = schema.safeParse(await this.#told(method, path, sent))
    if (parsed.success) return parsed.data
    throw new CommandError(
      `what answers at ${this.where} is no shoal node of this version; name the node's admin address with --admin-addr`,
    )
  }

  /** The body of an answer that is no refusal. */
  async #told(method: Method, path: string, sent?: object): Promise<unknown> {
    const answer = await this.#fetch(method, path, sent)
    const body: unknown = await answer.json().catch(() => undefined)
    if (answer.status === 401) throw new CommandError(this.#notAdmitted())
    if (!answer.ok) {
      const said = errorSchema.safeParse(body).data?.error.message ?? `status ${answer.status}`
      throw new CommandError(`the node at ${this.where} could not answer ${path}: ${said}`)
    }
    return body
  }

  async #fetch(method: Method, path: string, sent: object | undefined): Promise<Response> {
    const stranger = this.#headers.authorization === undefined ? undefined : await strangerAt(this.#access.address)
    if (stranger !== undefined) {
      throw new CommandError(`the token is not sent: ${strangerSentence(this.#access.address, stranger)}`)
    }
    try {
      return await fetch(`http://${this.where}${path}`, {
        method,
        headers: { ...this.#headers, ...(sent ? { 'content-type': 'application/json' } : {}) },
        ...(sent ? { body: JSON.stringify(sent) } : {}),
        redirect: 'error',
        // HTTP_PROXY is meant for what lies outside; Bun would use it for 127.0.0.1 too.
        proxy: false,
        // Bun by itself gives up after five minutes.
        timeout: false,
        ...(this.#deadlineMs < Number.POSITIVE_INFINITY ? { signal: AbortSignal.timeout(this.#deadlineMs) } : {}),
      })
    } catch (error) {
      const late = error instanceof Error && error.name === 'TimeoutError'
      throw new CommandError(
        late
          ? `the node at ${this.where} did not answer within ${this.#deadlineMs / 1000} s; its log may say why`
          : `no node answers at ${this.where}; ${this.#howToStart()}, or name its admin address with --admin-addr or SHOAL_ADMIN_ADDR`,
      )
    }
  }

  #notAdmitted(): string {
    const { token, service } = this.#access
    if (token === undefined) {
      return `the node at ${this.where} wants its token; name the file it is in with --token-file`
    }
    const not = `the node at ${this.where} does not take the token in ${token.file}`
    if (!this.#here || !service) return `${not}; name the node's --admin-token-file`
    return token.file === serviceToken
      ? `${not}; systemctl reload shoal has the service read it again`
      : `${not}; the service's is in ${serviceToken}`
  }

  #howToStart(): string {
    if (!this.#here) return 'see that one runs there'
    // As root, `shoal up` would leave files in the service's folder which the service cannot open.
    return this.#access.service
      ? 'start the service: systemctl start shoal (journalctl -u shoal -n 50 says why it ended)'
      : 'start one with `shoal up`'
  }
}
