/**
 * Whether whoever calls knows the token of the admin port. Harbor's instances can be given four kinds of credential: none,
 * a user with a password, a bearer token, or a header of one's own; registries send whatever header they are configured
 * with. The token is the password of any user, the bearer token, or the value of {@link tokenHeader}. Pure.
 */
import { timingSafeEqual } from 'node:crypto'
import type { Secret } from '../config/secret.ts'

export const tokenHeader = 'x-shoal-token'

/** `token`: absent where nobody is asked for one. */
export function mayCall(headers: Headers, token: Secret | undefined): boolean {
  if (token === undefined) return true
  const shown = [headers.get(tokenHeader), ...shownBy(headers.get('authorization') ?? '')]
  return shown.some((text) => typeof text === 'string' && same(text, token.reveal()))
}

function shownBy(authorization: string): string[] {
  const [, scheme = '', value = ''] = /^(\S+) +(\S+)$/.exec(authorization.trim()) ?? []
  if (scheme.toLowerCase() === 'bearer') return [value]
  if (scheme.toLowerCase() !== 'basic') return []
  // RFC 7617: a user's name has no colon, a password may.
  const [, password] = /^[^:]*:(.*)$/s.exec(Buffer.from(value, 'base64').toString('utf8')) ?? []
  return password === undefined ? [] : [password]
}

/** By digests, which are of one length: how long it takes says nothing of how much was right. */
function same(a: string, b: string): boolean {
  const digest = (text: string) => new Bun.CryptoHasher('sha256').update(text).digest()
  return timingSafeEqual(digest(a), digest(b))
}
