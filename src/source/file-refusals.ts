/** What the refusals of a web server mean, in words that say what to do. */
import { Failure } from '../failure.ts'
import type { Answer } from './answer.ts'
import { parseRetryAfter, Transient } from './retry.ts'

const transient = new Set([408, 500, 502, 503, 504])

export function fileFailure({ status, headers, url: from }: Answer, url: URL, wallNow: number): Failure {
  const elsewhere = from.origin === url.origin ? '' : ` from ${from.host}`
  const about = `${url.href} cannot be had: HTTP ${status}${elsewhere}`
  const detail = { status }
  const wait = parseRetryAfter(headers.get('retry-after'), wallNow)
  if (status === 401 || status === 403 || status === 407) {
    return new Failure('denied', `${about}; nodes read files without a login`, { detail })
  }
  if (status === 404 || status === 410) return new Failure('no-blob', `${about}; it is not there`, { detail })
  if (status === 429)
    return new Transient('too-many', `${about}; the server limits how often it may be asked`, detail, wait)
  if (transient.has(status)) return new Transient('unavailable', `${about}; the server has a problem`, detail, wait)
  return new Failure(status >= 500 ? 'unavailable' : 'corrupt', about, { detail })
}
