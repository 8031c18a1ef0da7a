/** What the handlers share: a request with its connection, and what they report to. */
import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'
import type { Clock } from '../clock.ts'
import type { Content } from '../content/content.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { PullTracker } from './pulls.ts'

/** Empty when the app is called without a socket. */
export type Environment = { Bindings: Partial<HttpBindings> }

export interface Services {
  readonly content: Content
  readonly log: Log
  readonly metrics: Metrics
  readonly clock: Clock
  readonly pulls: PullTracker
  /** A client that takes no byte for this long is cut, in ms. */
  readonly idleMs: number
}

export interface Exchange {
  readonly method: 'GET' | 'HEAD'
  /** As it came: neither normalised nor decoded. */
  readonly target: string
  readonly client: string
  /** Aborts when the client leaves. */
  readonly signal: AbortSignal
  readonly outgoing: HttpBindings['outgoing'] | undefined
  header(name: string): string | undefined
}

export function targetOf(c: Context<Environment>): string {
  const raw = c.env.incoming?.url
  if (raw?.startsWith('/')) return raw
  const url = new URL(c.req.url)
  return url.pathname + url.search
}

export function exchangeOf(c: Context<Environment>, target: string): Exchange {
  return {
    method: c.req.method === 'HEAD' ? 'HEAD' : 'GET',
    target,
    client: c.env.incoming?.socket.remoteAddress ?? 'unknown',
    signal: c.req.raw.signal,
    outgoing: c.env.outgoing,
    header: (name) => c.req.header(name),
  }
}

/** Every answer with content carries these; the digest is a strong validator, for content never changes under it. */
export function contentHeaders(digest: string): Record<string, string> {
  return {
    'docker-distribution-api-version': 'registry/2.0',
    'docker-content-digest': digest,
    etag: `"${digest}"`,
  }
}

/** If-None-Match, RFC 9110 section 13.1.2: weak comparison. */
export function matchesEtag(header: string | undefined, digest: string): boolean {
  if (header === undefined) return false
  return header.split(',').some((item) => {
    const tag = item.trim()
    return tag === '*' || tag.replace(/^W\//, '') === `"${digest}"`
  })
}
