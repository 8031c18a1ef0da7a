/**
 * Where this node's own login is not enough, what a client showed and the registry took is used to read the repository
 * that the client asked for: for a while, from memory, and for that repository alone. Who gets what was read is for
 * others to decide, and what is read so proves nothing about anybody's rights.
 */

import type { Clock } from '../clock.ts'
import { Failure, type FailureCode } from '../failure.ts'
import { lru } from '../lru.ts'
import { formatRepository, type Repository } from '../oci/reference.ts'
import type { Answer } from './answer.ts'
import type { Ask } from './ask.ts'
import type { Credential } from './docker-config.ts'
import type { RegistryClient } from './registry-client.ts'

export type Asking = Pick<RegistryClient, 'request' | 'once'>

/** Since the client was last let in: a large layer is begun again after its connection broke. */
export const lentMs = 10 * 60_000
const mostLent = 256
/** How registries say that somebody may not read a repository; some do not say that it exists. */
export const refusals: ReadonlySet<FailureCode> = new Set(['denied', 'no-name', 'no-manifest', 'no-blob'])

interface Lent {
  readonly client: Asking
  readonly credential: Credential
  readonly until: number
  /** Which of all credentials that were lent it is. */
  readonly number: number
  /** The node's own login was refused what this one was given: it is not tried before each request. */
  needed: boolean
  /** Ends the timer that forgets it. */
  readonly cancel: () => void
}

export class LendingClient implements Asking {
  readonly #own: Asking
  readonly #clientOf: (credential: Credential, repository: Repository) => Asking
  readonly #clock: Clock
  #given = 0
  readonly #lent = lru<string, Lent>(mostLent, { dispose: ({ cancel }) => cancel() })

  constructor(own: Asking, clientOf: (credential: Credential, repository: Repository) => Asking, clock: Clock) {
    this.#own = own
    this.#clientOf = clientOf
    this.#clock = clock
  }

  lend(repository: Repository, credential: Credential): void {
    const key = formatRepository(repository)
    const known = this.#find(repository)
    const again = known && same(known.credential, credential) ? known : undefined
    const client = again?.client ?? this.#clientOf(credential, repository)
    const number = again?.number ?? ++this.#given
    const until = this.#clock.now() + lentMs
    const cancel = this.#clock.after(lentMs, () => this.#lent.delete(key))
    this.#lent.set(key, { client, credential, until, number, needed: known?.needed ?? false, cancel })
  }

  has(repository: Repository): boolean {
    return this.#find(repository) !== undefined
  }

  /** Tells apart who lends what the repository is read by; 0 while nobody does. */
  lender(repository: Repository): number {
    return this.#find(repository)?.number ?? 0
  }

  request(ask: Ask, signal: AbortSignal | undefined): Promise<Answer> {
    return this.#either(ask, (client) => client.request(ask, signal))
  }

  once(ask: Ask, signal: AbortSignal | undefined): Promise<Answer> {
    return this.#either(ask, (client) => client.once(ask, signal))
  }

  async #either(ask: Ask, send: (client: Asking) => Promise<Answer>): Promise<Answer> {
    const { repository } = ask.subject
    if (this.#find(repository)?.needed) return this.#borrow(repository, send)
    let own: Answer
    try {
      own = await send(this.#own)
      if (own.status !== 404 || !this.has(repository)) return own
    } catch (error) {
      if (!refusals.has(Failure.from(error).code) || !this.has(repository)) throw error
      return this.#borrow(repository, send)
    }
    await own.discard()
    return this.#borrow(repository, send)
  }

  async #borrow(repository: Repository, send: (client: Asking) => Promise<Answer>): Promise<Answer> {
    const lent = this.#find(repository)
    if (!lent) return send(this.#own)
    const key = formatRepository(repository)
    try {
      const answer = await send(lent.client)
      if (answer.status < 300) lent.needed = true
      return answer
    } catch (error) {
      // The rights were withdrawn, or the password was changed.
      if (Failure.from(error).code === 'denied' && this.#find(repository)?.client === lent.client)
        this.#lent.delete(key)
      throw error
    }
  }

  #find(repository: Repository): Lent | undefined {
    const lent = this.#lent.get(formatRepository(repository))
    return lent && lent.until > this.#clock.now() ? lent : undefined
  }
}

function same(a: Credential, b: Credential): boolean {
  if (a.kind === 'basic') return b.kind === 'basic' && a.username === b.username && a.password.equals(b.password)
  return b.kind === a.kind && a.token.equals(b.token)
}
