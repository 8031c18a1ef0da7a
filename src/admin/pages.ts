/**
 * A web page that is open on this host, whoever wrote it, can have the browser send requests to the admin port. It cannot
 * read the answers, unless its own name has come to mean this host's address meanwhile; but `DELETE` and `POST` do what
 * they do. Browsers say who sends what, so those are told from commands and from this port's own pages. Pure.
 */
import { hostIn, isLoopback } from '../listen.ts'

export interface Sent {
  readonly method: string
  readonly host: string | undefined
  readonly origin: string | undefined
  /** `sec-fetch-site` (W3C Fetch Metadata). */
  readonly site: string | undefined
}

/** Why the request is not taken; undefined: it is. `guarded`: a token is asked for, which no page has. */
export function foreign({ method, host, origin, site }: Sent, guarded: boolean): string | undefined {
  if (guarded) return undefined
  const name = host === undefined ? undefined : hostIn(host)
  if (name !== undefined && !isLoopback(name)) {
    return `without a token this port is asked as localhost or 127.0.0.1, not as "${name.slice(0, 100)}"`
  }
  if (method === 'GET' || method === 'HEAD') return undefined
  const elsewhere = site !== undefined && site !== 'same-origin' && site !== 'none'
  const other = origin !== undefined && origin !== `http://${host}`
  return elsewhere || other ? 'this was sent by a page of another site' : undefined
}
