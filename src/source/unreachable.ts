/** Why no answer came, in words that say where to look. */
import { Failure } from '../failure.ts'
import { Transient } from './retry.ts'
import type { Upstream } from './upstreams.ts'

export function unreachable(upstream: Upstream, url: URL, why: string): Transient {
  const at = upstream.registry === url.host ? '' : ` at ${url.host}`
  return new Transient('unavailable', `registry ${upstream.registry}${at} cannot be used now: ${why}`)
}

/** The error itself is not kept as a cause: it holds the URL, and a redirected one carries a signature. */
export function connectionFailure(upstream: Upstream, url: URL, error: unknown): Failure {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
  if (!/CERT|ALTNAME|SELF_SIGNED|ISSUER|VERIFY|TLS|SSL/.test(code)) {
    return unreachable(upstream, url, `${describe(code)} (${code})`)
  }
  return new Failure(
    'unavailable',
    `registry ${upstream.registry} at ${url.host} has a certificate that is not trusted (${code}); ` +
      'if it is yours, add its authority to --ca-file and restart the node; and check the clock of this host',
  )
}

function describe(code: string): string {
  switch (code) {
    case 'ECONNREFUSED':
      return 'nothing listens there'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'its name cannot be resolved; check DNS'
    case 'ECONNRESET':
      return 'the connection broke'
    default:
      return 'the connection failed'
  }
}
