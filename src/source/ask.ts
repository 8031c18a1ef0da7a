/** Questions to a registry: OCI distribution spec, "Pull" and "Push". Pure. */
import { Failure } from '../failure.ts'
import { shortDigest } from '../oci/digest.ts'
import { acceptManifests } from '../oci/media.ts'
import { formatRepository, type Repository } from '../oci/reference.ts'
import type { Request } from './exchange.ts'
import type { Subject } from './refusals.ts'
import type { Location } from './source.ts'
import type { Upstream } from './upstreams.ts'

export interface Ask {
  readonly method: Request['method']
  /** Below the repository: `blobs/sha256:...`; or where the registry said to go on with an upload. */
  readonly path: string | URL
  readonly content?: Request['content']
  readonly headers?: Readonly<Record<string, string>>
  readonly subject: Subject
  /** Statuses that are answers beside 2xx. */
  readonly also?: readonly number[]
  /** It is the same wherever it is: an endpoint that does not have it does not say that there is none. */
  readonly anywhere?: boolean
  /** Bases of endpoints to be asked after the others. */
  readonly avoid?: ReadonlySet<string>
}

export function askFor({ repository, kind, digest }: Location): Ask {
  return kind === 'manifest'
    ? {
        method: 'GET',
        path: `manifests/${digest}`,
        headers: { accept: acceptManifests },
        subject: { repository, what: `manifest ${shortDigest(digest)}`, missing: 'no-manifest' },
        anywhere: true,
      }
    : {
        method: 'GET',
        path: `blobs/${digest}`,
        subject: { repository, what: `blob ${shortDigest(digest)}`, missing: 'no-blob' },
        anywhere: true,
      }
}

export function rangedFrom(ask: Ask, start: number, end?: number): Ask {
  const range = rangeHeader(start, end)
  return range === undefined ? ask : { ...ask, headers: { ...ask.headers, range } }
}

/** RFC 9110 section 14.2; undefined where all of it is asked for. `end` is exclusive. */
export function rangeHeader(start: number, end?: number): string | undefined {
  if (end !== undefined) return `bytes=${start}-${end - 1}`
  return start === 0 ? undefined : `bytes=${start}-`
}

/** For messages. */
export function aboutOf(subject: Subject): string {
  return `${subject.what} of ${formatRepository(subject.repository)}`
}

/** @throws {Failure} `bad-request` for a path that leads out of the repository */
export function urlOf(upstream: Upstream, repository: Repository, path: string | URL): URL {
  if (path instanceof URL) return path
  const root = `${upstream.base}/${repository.name}/`
  const url = new URL(root + path)
  if (url.href.startsWith(root)) return url
  throw new Failure('bad-request', `"${path.slice(0, 160)}" is not a path below ${formatRepository(repository)}`)
}
