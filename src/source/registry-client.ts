/** Asks registries, with the login they want, again where that helps; what is no answer becomes a failure. */
import type { Repository } from '../oci/reference.ts'
import type { Answer } from './answer.ts'
import { type Ask, urlOf } from './ask.ts'
import type { Authenticator, Authorization } from './authenticator.ts'
import type { Endpoints } from './endpoints.ts'
import type { Exchange } from './exchange.ts'
import { isGenuine } from './genuine.ts'
import { failureOf } from './refusals.ts'
import { type RetryTools, retrying } from './retry.ts'
import type { Upstream, Upstreams } from './upstreams.ts'

export interface RegistryClientParts {
  readonly upstreams: Upstreams
  /** Absent: the registry is where it is preferred to be, for whoever writes goes on where it began. */
  readonly endpoints?: Endpoints
  readonly exchange: Exchange
  readonly authenticator: Authenticator
  readonly retry: RetryTools
  /** Told of every answer that has a manifest or a blob of the repository, and can be told to be the registry's. */
  readonly admitted?: (repository: Repository, asker: 'anyone' | 'node') => void
}

export class RegistryClient {
  readonly #parts: RegistryClientParts

  constructor(parts: RegistryClientParts) {
    this.#parts = parts
  }

  /** {@link once}, tried again as the policy says. */
  request(ask: Ask, signal: AbortSignal | undefined): Promise<Answer> {
    return retrying(this.#parts.retry, signal, () => this.once(ask, signal))
  }

  /**
   * An answer with a status of 2xx or among `ask.also`, for the caller to read or close, of the first of the registry's
   * endpoints that has one. A 401 is met with a better login, once.
   * @throws {Failure} `not-listed`, `corrupt` for what is not the registry's, and all that {@link failureOf} makes of
   * other statuses
   */
  async once(ask: Ask, signal: AbortSignal | undefined): Promise<Answer> {
    const { upstreams, endpoints } = this.#parts
    const all = upstreams.all(ask.subject.repository.registry)
    if (!endpoints) return this.#at(all[0]!, ask, false, signal)
    return endpoints.first(all, ask, (upstream, more) => this.#at(upstream, ask, more, signal))
  }

  /** `more`: there is another to be asked, so that this one is not waited for as long. */
  async #at(upstream: Upstream, ask: Ask, more: boolean, signal: AbortSignal | undefined): Promise<Answer> {
    const { exchange, authenticator, retry } = this.#parts
    const { method, headers = {}, content, subject } = ask
    const { repository } = subject
    const url = urlOf(upstream, repository, ask.path)
    const send = (authorization: Authorization | undefined) =>
      exchange.send(
        upstream,
        {
          ...{ method, url, headers, impatient: more },
          ...(content ? { content } : {}),
          // An upload may go on at another host, whose business this registry's credentials are not.
          ...(authorization && url.origin === upstream.origin ? { authorization: authorization.header } : {}),
        },
        signal,
      )
    let authorization = await authenticator.present(upstream, repository)
    let answer = await send(authorization)
    // A 401 of another host, reached by a redirect, is no question that this registry's credentials answer.
    if (answer.status === 401 && answer.url.origin === upstream.origin) {
      const challenge = answer.headers.get('www-authenticate')
      const better = await authenticator.answer(upstream, repository, challenge, authorization).catch((error) => {
        answer.close()
        throw error
      })
      if (better) {
        await answer.discard()
        authorization = better
        answer = await send(authorization)
      }
    }
    if (answer.status >= 200 && answer.status < 300) {
      if (this.#isGenuine(ask, answer)) {
        this.#parts.admitted?.(repository, authorization?.withCredentials ? 'node' : 'anyone')
      }
      return answer
    }
    if (ask.also?.includes(answer.status)) return answer
    throw await failureOf(answer, subject, authenticator.presented(upstream, authorization), retry.clock.wall())
  }

  #isGenuine(ask: Ask, answer: Answer): boolean {
    try {
      return isGenuine(ask, answer.headers)
    } catch (error) {
      answer.close()
      throw error
    }
  }
}
