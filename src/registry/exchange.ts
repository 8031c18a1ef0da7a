/** What the handlers share: a request with its connection, and what they report to. */
import type { Socket } from 'node:net'
import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'
import type { Clock } from '../clock.ts'
import type { Content } from '../content/content.ts'
import type { Passed } from '../source/source.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Sending } from './file-bytes.ts'
import type { Lazy } from './lazy.ts'
import type { Pulls } from './pulls.ts'
import type { Shares } from './shares.ts'
import type { Tokens } from './tokens.ts'
import type { Pushing } from './writes.ts'

/** Empty when the app is called without a socket. */
export type Environment = { Bindings: Partial<HttpBindings> }

/** Repositories of the cluster's own, on a seed that keeps them. */
export interface Own {
  /** `search` is the query of the request. */
  catalog(search: string): Promise<Passed>
  /** Absent: nothing is pushed here. */
  readonly pushing?: Pushing | undefined
}

export interface Services {
  readonly own?: Own | undefined
  /** Absent where nothing is mounted before it is here. */
  readonly lazy?: Lazy | undefined
  readonly content: Content
  readonly log: Log
  readonly metrics: Metrics
  readonly clock: Clock
  readonly pulls: Pulls
  readonly tokens: Tokens
  readonly sending: Sending
  readonly shares: Shares
}

export interface Exchange {
  readonly method: 'GET' | 'HEAD'
  /** As it came: neither normalised nor decoded. */
  readonly target: string
  readonly client: string
  /** Aborts when the client leaves. */
  readonly signal: AbortSignal
  readonly outgoing: HttpBindings['outgoing'] | undefined
  /** The connection, where there is one. */
  readonly socket: Socket | undefined
  header(name: string): string | undefined
}

/** What the client sends, as it comes; nothing where it sends none. */
export function bodyOf(c: Context<Environment>): AsyncIterable<Uint8Array> {
  const { incoming }: Partial<HttpBindings> = c.env ?? {}
  return incoming ?? c.req.raw.body ?? nothing()
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

export function exchangeOf(c: Context<Environment>): Exchange {
  // Without a socket hono leaves it undefined, whatever its type says.
  const { incoming, outgoing }: Partial<HttpBindings> = c.env ?? {}
  // An absolute-form target, as proxies get it, is the only one without a slash.
  const target = incoming?.url?.startsWith('/') ? incoming.url : relative(new URL(c.req.url))
  return {
    method: c.req.method === 'HEAD' ? 'HEAD' : 'GET',
    target,
    client: incoming?.socket.remoteAddress ?? 'unknown',
    get signal() {
      // To make it is to begin with the body, which whoever reads that does by itself.
      return c.req.raw.signal
    },
    outgoing,
    socket: incoming?.socket,
    header: (name) => c.req.header(name),
  }
}

function relative(url: URL): string {
  return url.pathname + url.search
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
