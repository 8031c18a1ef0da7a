/** The one place where a failure becomes an answer: OCI distribution spec, "Error Codes". */
import type { Random } from '../clock.ts'
import type { Failure } from '../failure.ts'
import type { Log } from '../telemetry/log.ts'
import type { RequestKind } from './request.ts'

/** What a client shows is passed on to the registry that it asks for, whatever that wants to see. */
export const challenge = 'Basic realm="shoal: the login for the registry of the image"'

/** What was asked for, as far as it makes a difference to the answer. */
export interface Asked {
  readonly method: string
  readonly kind: RequestKind
}

/**
 * What went wrong as OCI error JSON; no body for HEAD. An error nobody expected is told by an id that finds it in the
 * log: its message may say more than a stranger should read.
 */
export function renderFailure(failure: Failure, asked: Asked, log: Log, random: Random): Response {
  const message = failure.code === 'internal' ? recordUnexpected(failure, log, random) : failure.message
  const detail = failure.code === 'internal' ? {} : failure.detail
  const status = statusFor(failure, asked)
  const codes = codesOf(failure.oci, status, asked)
  const body = JSON.stringify({ errors: codes.map((code) => ({ code, message, detail })) })
  const headers = new Headers({
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    'docker-distribution-api-version': 'registry/2.0',
  })
  if (status === 401) headers.set('www-authenticate', challenge)
  if (status === 405) headers.set('allow', 'GET, HEAD')
  // Of an upload: where it is, and what there is of it.
  for (const name of ['location', 'range']) {
    if (typeof failure.detail[name] === 'string') headers.set(name, failure.detail[name])
  }
  if (failure.code === 'too-many' && typeof failure.detail.waitMs === 'number') {
    headers.set('retry-after', String(Math.ceil(failure.detail.waitMs / 1000)))
  }
  if (typeof failure.detail.contentRange === 'string') headers.set('content-range', failure.detail.contentRange)
  return new Response(asked.method === 'HEAD' ? null : body, { status, headers })
}

/** Where a 404 would say that there is no registry here, or no such upload. */
const onlyHere: ReadonlySet<RequestKind> = new Set(['base', 'token', 'upload'])

/**
 * An engine has another place to read from, and goes there after a 404. After a 429 podman and CRI-O come back here five
 * times first, each time after as long as they are asked to wait, up to a minute. Who pushes or logs in has nowhere else
 * to go.
 */
function statusFor({ code, status }: Failure, { method, kind }: Asked): number {
  const reads = (method === 'GET' || method === 'HEAD') && !onlyHere.has(kind)
  return code === 'too-many' && reads ? 404 : status
}

/**
 * The last one is the failure's own, for clients that want to know. Of a blob BLOB_UNKNOWN comes before it: podman and CRI-O
 * (container-libs, since blobs have a second source there) go by the first, and of those that come with 404 only that one
 * and TOOMANYREQUESTS send them on to the registry.
 */
function codesOf(own: string, status: number, { kind }: Asked): string[] {
  const missing = 'BLOB_UNKNOWN'
  return kind === 'blob' && status === 404 && own !== missing ? [missing, own] : [own]
}

function recordUnexpected(failure: Failure, log: Log, random: Random): string {
  const id = Math.floor(random() * 36 ** 6)
    .toString(36)
    .padStart(6, '0')
  log.error('a registry request failed unexpectedly', { id, error: failure.cause ?? failure })
  return `internal error ${id}: the node's log has the cause under this id`
}
