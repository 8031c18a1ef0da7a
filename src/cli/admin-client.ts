/** Asks a running node through its admin port; what goes wrong is said with the remedy. */
import { z } from 'zod'
import type { Secret } from '../config/secret.ts'
import { type Address, formatAddress } from '../listen.ts'
import { strangerAt, strangerSentence } from '../local/stranger.ts'
import { CommandError } from './exit.ts'

const errorSchema = z.object({ error: z.object({ message: z.string() }) })
type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

const answersWithinMs = 10_000

export class AdminClient {
  readonly #address: Address
  readonly #where: string
  readonly #token: Secret | undefined
  readonly #headers: Record<string, string>
  readonly #deadlineMs: number

  /** `deadlineMs`: how long an answer is waited for. */
  constructor(address: Address, token: Secret | undefined, deadlineMs = answersWithinMs) {
    this.#address = address
    this.#where = formatAddress(address)
    this.#token = token
    this.#deadlineMs = deadlineMs
    this.#headers = token ? { authorization: `Bearer ${token.reveal()}` } : {}
  }

  /** For what anybody is told. */
  withoutToken(): AdminClient {
    return new AdminClient(this.#address, undefined)
  }

  /** For work that takes as long as it takes. */
  patient(): AdminClient {
    return new AdminClient(this.#address, this.#token, Number.POSITIVE_INFINITY)
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
      `what answers at ${this.#where} is no shoal node of this version; name the node's admin address with --admin-addr`,
    )
  }

  /** The body of an answer that is no refusal. */
  async #told(method: Method, path: string, sent?: object): Promise<unknown> {
    const answer = await this.#fetch(method, path, sent)
    const body: unknown = await answer.json().catch(() => undefined)
    if (answer.status === 401) {
      throw new CommandError(`the node at ${this.#where} wants its token; name the file it is in with --token-file`)
    }
    if (!answer.ok) {
      const said = errorSchema.safeParse(body).data?.error.message ?? `status ${answer.status}`
      throw new CommandError(`the node at ${this.#where} could not answer ${path}: ${said}`)
    }
    return body
  }

  async #fetch(method: Method, path: string, sent: object | undefined): Promise<Response> {
    const stranger = this.#headers.authorization === undefined ? undefined : await strangerAt(this.#address)
    if (stranger !== undefined) {
      throw new CommandError(`the token is not sent: ${strangerSentence(this.#address, stranger)}`)
    }
    try {
      return await fetch(`http://${this.#where}${path}`, {
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
          ? `the node at ${this.#where} did not answer within ${this.#deadlineMs / 1000} s; its log may say why`
          : `no node answers at ${this.#where}; start one with \`shoal up\`, or name its admin address with --admin-addr or SHOAL_ADMIN_ADDR`,
      )
    }
  }
}
