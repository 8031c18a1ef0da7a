/** The one place where a failure becomes an answer: OCI distribution spec, "Error Codes". */
import type { Random } from '../clock.ts'
import type { Failure } from '../failure.ts'
import type { Log } from '../telemetry/log.ts'

/** What a client shows is passed on to the registry that it asks for, whatever that wants to see. */
export const challenge = 'Basic realm="shoal: the login for the registry of the image"'

/**
 * What went wrong as OCI error JSON; no body for HEAD. An error nobody expected is told by an id that finds it in the
 * log: its message may say more than a stranger should read.
 */
export function renderFailure(failure: Failure, method: string, log: Log, random: Random): Response {
  const message = failure.code === 'internal' ? recordUnexpected(failure, log, random) : failure.message
  const detail = failure.code === 'internal' ? {} : failure.detail
  const body = JSON.stringify({ errors: [{ code: failure.oci, message, detail }] })
  const headers = new Headers({
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    'docker-distribution-api-version': 'registry/2.0',
  })
  if (failure.status === 401) headers.set('www-authenticate', challenge)
  if (failure.status === 405) headers.set('allow', 'GET, HEAD')
  // Of an upload: where it is, and what there is of it.
  for (const name of ['location', 'range']) {
    if (typeof failure.detail[name] === 'string') headers.set(name, failure.detail[name])
  }
  if (failure.status === 429 && typeof failure.detail.waitMs === 'number') {
    headers.set('retry-after', String(Math.ceil(failure.detail.waitMs / 1000)))
  }
  if (typeof failure.detail.contentRange === 'string') headers.set('content-range', failure.detail.contentRange)
  return new Response(method === 'HEAD' ? null : body, { status: failure.status, headers })
}

function recordUnexpected(failure: Failure, log: Log, random: Random): string {
  const id = Math.floor(random() * 36 ** 6)
    .toString(36)
    .padStart(6, '0')
  log.error('a registry request failed unexpectedly', { id, error: failure.cause ?? failure })
  return `internal error ${id}: the node's log has the cause under this id`
}
