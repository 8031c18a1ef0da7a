/**
 * Answers a registry's challenges: anonymous, Basic, or Bearer by the distribution project's "Token Authentication
 * Specification". The last challenge of a repository is remembered, so that only its first request is refused; a token
 * is shared by all requests of its scope, concurrent ones wait for the same, and it is renewed before it expires.
 */

import { z } from 'zod'
import type { Clock } from '../clock.ts'
import { Secret } from '../config/secret.ts'
import { Failure } from '../failure.ts'
import { parseJson } from '../json.ts'
import { type Lru, lru } from '../lru.ts'
import type { Repository } from '../oci/reference.ts'
import { type Challenge, parseChallenges } from './challenge.ts'
import type { Credentials } from './credentials.ts'
import type { Credential } from './docker-config.ts'
import type { Exchange, Request } from './exchange.ts'
import { failureOf, type Presented, type Subject } from './refusals.ts'
import { Transient } from './retry.ts'
import type { Upstream } from './upstreams.ts'

/** The value of an Authorization header, and whether anybody's credentials went into it. */
export interface Authorization {
  readonly header: Secret
  readonly withCredentials: boolean
}

interface Token extends Authorization {
  /** Clock time in ms after which it is renewed. */
  readonly until: number
}

const tokenSchema = z.object({
  token: z.string().optional(),
  access_token: z.string().optional(),
  expires_in: z.number().optional(),
})

/** Token specification: a token that does not say lives for 60 seconds. */
const defaultTokenSeconds = 60
export const maxTokenBytes = 256 * 1024

/** By repository: what it asked for last. */
export type Challenges = Lru<string, Challenge>

export function newChallenges(): Challenges {
  return lru(4096)
}

export class Authenticator {
  readonly #exchange: Exchange
  readonly #credentials: Credentials
  readonly #clock: Clock
  readonly #challenges: Challenges
  readonly #tokens = lru<string, Token>(4096)
  readonly #pending = new Map<string, Promise<Token>>()

  /** `challenges` may be shared: what a repository asks for does not depend on who asks. */
  constructor(exchange: Exchange, credentials: Credentials, clock: Clock, challenges: Challenges = newChallenges()) {
    this.#challenges = challenges
    this.#exchange = exchange
    this.#credentials = credentials
    this.#clock = clock
  }

  /** What to send with a first try; undefined while the repository has not asked for anything. */
  async present(upstream: Upstream, repository: Repository): Promise<Authorization | undefined> {
    const key = keyOf(upstream, repository)
    const challenge = this.#challenges.get(key)
    if (!challenge) return undefined
    try {
      return await this.#meet(upstream, repository, challenge)
    } catch (error) {
      if (error instanceof Transient) throw error
      // What the registry wanted then may not be what it wants now: it is to say so again.
      this.#challenges.delete(key)
      return undefined
    }
  }

  /**
   * What to send after a 401; undefined when there is nothing better than what was `refused`.
   * @throws {Failure} `denied` when the token server refuses, `unavailable` when it cannot be reached
   */
  async answer(
    upstream: Upstream,
    repository: Repository,
    header: string | null,
    refused: Authorization | undefined,
  ): Promise<Authorization | undefined> {
    const challenges = parseChallenges(header ?? '')
    const challenge =
      challenges.find((c) => c.scheme === 'bearer' && c.params.has('realm')) ??
      challenges.find((c) => c.scheme === 'basic')
    if (!challenge) return undefined
    const key = scopeKey(upstream, repository, challenge)
    const token = this.#tokens.get(key)
    if (refused && token?.header.equals(refused.header)) this.#tokens.delete(key)
    if (refused?.withCredentials) this.#credentials.refused(upstream.account)
    this.#challenges.set(keyOf(upstream, repository), challenge)
    const better = await this.#meet(upstream, repository, challenge)
    return better && refused && better.header.equals(refused.header) ? undefined : better
  }

  /** For messages. */
  presented(upstream: Upstream, authorization: Authorization | undefined): Presented {
    return {
      account: upstream.account,
      file: this.#credentials.file,
      withCredentials: authorization?.withCredentials ?? false,
    }
  }

  async #meet(upstream: Upstream, repository: Repository, challenge: Challenge): Promise<Authorization | undefined> {
    if (challenge.scheme === 'bearer') return this.#token(upstream, repository, challenge)
    const credential = await this.#credentials.find(upstream.account)
    return credential?.kind === 'basic' ? { header: basicHeader(credential), withCredentials: true } : undefined
  }

  #token(upstream: Upstream, repository: Repository, challenge: Challenge): Promise<Token> {
    const key = scopeKey(upstream, repository, challenge)
    const known = this.#tokens.get(key)
    if (known && known.until > this.#clock.now()) return Promise.resolve(known)
    const pending = this.#pending.get(key)
    if (pending) return pending
    const asked = this.#askForToken(upstream, repository, challenge)
      .then((token) => {
        this.#tokens.set(key, token)
        return token
      })
      .finally(() => this.#pending.delete(key))
    this.#pending.set(key, asked)
    return asked
  }

  async #askForToken(upstream: Upstream, repository: Repository, challenge: Challenge): Promise<Token> {
    const credential = await this.#credentials.find(upstream.account)
    const withCredentials = credential !== undefined
    if (credential?.kind === 'registry') {
      const until = this.#clock.now() + defaultTokenSeconds * 1000
      return { header: new Secret(`Bearer ${credential.token.reveal()}`), withCredentials, until }
    }
    const realm = realmOf(upstream, challenge)
    const service = challenge.params.get('service')
    const request = tokenRequest(realm, service, scopeOf(repository, challenge), credential)
    const answer = await this.#exchange.send(upstream, request)
    const presented = { account: upstream.account, file: this.#credentials.file, withCredentials }
    const subject: Subject = { repository, what: 'a token', missing: 'denied' }
    if (answer.status !== 200) {
      if (withCredentials) this.#credentials.refused(upstream.account)
      throw await failureOf(answer, subject, presented, this.#clock.wall())
    }
    const { value, seconds } = parseToken(upstream, await answer.bytes(maxTokenBytes))
    // A quarter of its life, at most a minute, is left for the request that carries it.
    const until = this.#clock.now() + Math.max(0, seconds - Math.min(60, seconds / 4)) * 1000
    return { header: new Secret(`Bearer ${value}`), withCredentials, until }
  }
}

function tokenRequest(
  realm: URL,
  service: string | undefined,
  scope: string,
  credential: Exclude<Credential, { kind: 'registry' }> | undefined,
): Request {
  if (credential?.kind === 'identity') {
    const form = new URLSearchParams({ grant_type: 'refresh_token', client_id: 'shoal', scope })
    if (service !== undefined) form.set('service', service)
    form.set('refresh_token', credential.token.reveal())
    return { method: 'POST', url: realm, form }
  }
  const url = new URL(realm)
  if (service !== undefined) url.searchParams.set('service', service)
  // A challenge may name several scopes; each is a parameter of its own.
  for (const part of scope.split(' ').filter((s) => s !== '')) url.searchParams.append('scope', part)
  return { method: 'GET', url, ...(credential ? { authorization: basicHeader(credential) } : {}) }
}

/** @throws {Failure} `unavailable` for a token server that is not to be told secrets */
function realmOf(upstream: Upstream, challenge: Challenge): URL {
  const text = challenge.params.get('realm') ?? ''
  const refuse = (why: string) =>
    new Failure('unavailable', `registry ${upstream.registry} names a token server that ${why}; nothing was sent to it`)
  const realm = URL.parse(text)
  if (!realm || (realm.protocol !== 'https:' && realm.protocol !== 'http:')) throw refuse('is not an http(s) URL')
  if (realm.protocol === 'http:' && upstream.origin.startsWith('https:')) throw refuse('is not encrypted')
  return realm
}

function parseToken(upstream: Upstream, body: Uint8Array): { value: string; seconds: number } {
  try {
    const { token, access_token, expires_in } = tokenSchema.parse(parseJson(new TextDecoder().decode(body)))
    const value = token || access_token
    // Anything else would not survive in a header.
    if (value && /^[\x21-\x7e]+$/.test(value)) return { value, seconds: expires_in ?? defaultTokenSeconds }
  } catch {
    // Told below, without the body: it may hold a token.
  }
  throw new Failure('corrupt', `the token server of registry ${upstream.registry} answered without a token`)
}

function basicHeader({ username, password }: Extract<Credential, { kind: 'basic' }>): Secret {
  return new Secret(`Basic ${Buffer.from(`${username}:${password.reveal()}`).toString('base64')}`)
}

function scopeOf(repository: Repository, challenge: Challenge): string {
  return challenge.params.get('scope') || `repository:${repository.name}:pull`
}

function keyOf(upstream: Upstream, repository: Repository): string {
  return `${upstream.origin} ${repository.name}`
}

function scopeKey(upstream: Upstream, repository: Repository, challenge: Challenge): string {
  const { params } = challenge
  return [upstream.origin, params.get('realm'), params.get('service'), scopeOf(repository, challenge)].join(' ')
}
