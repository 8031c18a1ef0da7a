/**
 * dockerd shows the login that it has only where the first answer of a registry asks for one, and where a Basic login is
 * asked for it gives up when it has none. So it is sent to a token server (Token Authentication Specification of the
 * distribution project), which is this node: who has no login gets a token that stands for nobody, and who has one a
 * token that stands for it, in memory and for a while. Other clients show what they have when a request is refused.
 */
import { randomBytes } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { Secret } from '../config/secret.ts'
import { Failure } from '../failure.ts'
import { lru } from '../lru.ts'
import { basicLogin } from '../push/pushers.ts'
import type { Exchange, Services } from './exchange.ts'

export const tokenPath = '/shoal/token'

/** What is said to live so long is kept twice as long, for requests that are on their way. */
const lifeSeconds = 300
const keptMs = 2 * lifeSeconds * 1000
export const mostKept = 1024
/** A longer one is no login that anybody has; its token stands for nobody known. */
const longestHeader = 4096
const nobody = 'shoal.nobody'

interface Shown {
  readonly header: Secret
  readonly until: number
  /** Ends the timer that forgets it. */
  readonly cancel: () => void
}

export class Tokens {
  readonly #clock: Clock
  readonly #draw: () => string
  /** Anybody may ask for tokens: what gives way to newer ones takes its timer along. */
  readonly #shown = lru<string, Shown>(mostKept, { dispose: ({ cancel }) => cancel() })

  constructor(clock: Clock, draw = () => randomBytes(24).toString('base64url')) {
    this.#clock = clock
    this.#draw = draw
  }

  /** A token that stands for what an Authorization header shows. */
  issue(header: string | undefined): string {
    if (header === undefined || header.trim() === '') return nobody
    const token = `shoal.${this.#draw()}`
    if (header.length > longestHeader) return token
    const cancel = this.#clock.after(keptMs, () => this.#shown.delete(token))
    this.#shown.set(token, { header: new Secret(header), until: this.#clock.now() + keptMs, cancel })
    return token
  }

  /** The Authorization header that a client means with the one that it sent. */
  meant(header: string | undefined): string | undefined {
    const token = /^bearer\s+(shoal\.\S+)\s*$/i.exec(header ?? '')?.[1]
    if (token === undefined) return header
    if (token === nobody) return undefined
    const kept = this.#shown.get(token)
    // Whoever it stood for: not for nobody, who may have more than that one.
    return kept && kept.until > this.#clock.now() ? kept.header.reveal() : 'Bearer'
  }
}

/**
 * Sends dockerd on this host for a token; undefined for other clients. Over a network a login would be readable on its
 * way; where users push, they have chosen so, or have put TLS in front of this port.
 */
export function sendForToken({ header, socket, method }: Exchange, pushed = false): Response | undefined {
  const host = header('host') ?? ''
  const local = /^(?:::ffff:)?127\.|^::1$/.test(socket?.remoteAddress ?? '')
  if ((!local && !pushed) || header('authorization') !== undefined || !/^docker\//.test(header('user-agent') ?? ''))
    return undefined
  if (!/^[a-z0-9.:[\]-]+$/i.test(host)) return undefined
  const scheme = header('x-forwarded-proto') === 'https' ? 'https' : 'http'
  const body = '{"errors":[{"code":"UNAUTHORIZED","message":"a token is needed, with or without a login"}]}'
  const headers = {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    'docker-distribution-api-version': 'registry/2.0',
    'www-authenticate': `Bearer realm="${scheme}://${host}${tokenPath}",service="shoal"`,
  }
  return new Response(method === 'HEAD' ? null : body, { status: 401, headers })
}

/**
 * Who shows the wrong password of somebody who may push is told so: docker login believes whatever gives it a token, and
 * podman, skopeo and buildah a base that answers 200. Of other logins nothing is known here.
 * @throws {Failure} `unauthorized`, `too-many`
 */
export async function refuseWrongPassword({ header }: Exchange, { own }: Pick<Services, 'own'>): Promise<void> {
  const users = own?.pushing?.users
  const login = basicLogin(header('authorization'))
  if (users && login && (await users.knows(login.name)) && !(await users.verify(login.name, login.password))) {
    throw new Failure('unauthorized', 'this is not the password of a user who may push here')
  }
}

/** @throws {Failure} `unauthorized`, `too-many` */
export async function answerToken(
  exchange: Exchange,
  { tokens, own }: Pick<Services, 'tokens' | 'own'>,
): Promise<Response> {
  const { header, method } = exchange
  await refuseWrongPassword(exchange, { own })
  const body = JSON.stringify({ token: tokens.issue(header('authorization')), expires_in: lifeSeconds })
  const headers = {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    'cache-control': 'no-store',
  }
  return new Response(method === 'HEAD' ? null : body, { headers })
}
