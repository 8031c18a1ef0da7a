/**
 * Names of content: `registry/repository:tag` or `registry/repository@digest`, parsed once at the edge.
 * Grammar: OCI distribution spec, "Pulling manifests"; host detection and `docker.io/library/` as Docker's
 * distribution/reference does it.
 */
import { Failure } from '../failure.ts'
import { type Digest, isDigest } from './digest.ts'

declare const brand: unique symbol
/** A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`. */
export type Tag = string & { readonly [brand]: 'Tag' }

/** A repository at the registry that owns it. Both parts are validated; never built by hand. */
export interface Repository {
  /** Host and perhaps port, lower case: `docker.io`, `ghcr.io`, `registry.corp:5000`. */
  readonly registry: string
  /** `library/debian` */
  readonly name: string
}

export interface Reference extends Repository {
  readonly tag?: Tag
  readonly digest?: Digest
}

const namePattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/
const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const hostPattern =
  /^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$/

export const dockerHub = 'docker.io'

export function isTag(text: string): text is Tag {
  return tagPattern.test(text)
}

/** @throws {Failure} `bad-reference` */
export function parseTag(text: string): Tag {
  if (isTag(text)) return text
  throw new Failure('bad-reference', `"${text.slice(0, 160)}" is neither a tag nor a digest`)
}

/** True for what can stand before the first slash as a registry: it has a dot or a port, or is `localhost`. */
export function looksLikeRegistry(component: string): boolean {
  return component === 'localhost' || component.includes('.') || component.includes(':')
}

/** @throws {Failure} `bad-name` */
export function parseRegistry(text: string): string {
  const host = text.toLowerCase()
  if (host.length <= 255 && hostPattern.test(host)) {
    return host === 'index.docker.io' || host === 'registry-1.docker.io' ? dockerHub : host
  }
  throw new Failure('bad-name', `"${text.slice(0, 160)}" is not a registry: expected a host name and perhaps a port`)
}

/** @throws {Failure} `bad-name` */
export function repositoryOf(registry: string, name: string): Repository {
  const host = parseRegistry(registry)
  if (name.length > 255 || !namePattern.test(name)) {
    throw new Failure(
      'bad-name',
      `"${name.slice(0, 160)}" is not a repository name: lower-case path components expected`,
    )
  }
  // Docker Hub's official images live below library/; engines send the long form, people the short one.
  return { registry: host, name: host === dockerHub && !name.includes('/') ? `library/${name}` : name }
}

/**
 * Which repository a request to the mirror means: the `ns` query parameter (containerd); else a first path component
 * that is a registry host; else Docker Hub (dockerd sends neither).
 * @throws {Failure} `bad-name`
 */
export function repositoryOfRequest(path: string, ns: string | undefined): Repository {
  if (ns !== undefined && ns !== '') return repositoryOf(ns, path)
  const slash = path.indexOf('/')
  const first = path.slice(0, Math.max(slash, 0))
  if (slash > 0 && looksLikeRegistry(first)) return repositoryOf(first, path.slice(slash + 1))
  return repositoryOf(dockerHub, path)
}

/** Parses what a person types: `debian`, `ghcr.io/org/app:v1`, `app@sha256:...`. The tag defaults to `latest`. */
export function parseReference(text: string): Reference {
  if (text.includes('://')) {
    throw new Failure('bad-name', `"${text.slice(0, 160)}" is a URL: expected an image such as ghcr.io/org/app:v1`)
  }
  const at = text.indexOf('@')
  const digest = at < 0 ? undefined : text.slice(at + 1)
  if (digest !== undefined && !isDigest(digest)) {
    throw new Failure('bad-digest', `"${digest.slice(0, 160)}" is not a digest: expected sha256:<64 hex digits>`)
  }
  const rest = at < 0 ? text : text.slice(0, at)
  const colon = rest.lastIndexOf(':')
  const hasTag = colon > rest.lastIndexOf('/')
  const repository = repositoryOfRequest(hasTag ? rest.slice(0, colon) : rest, undefined)
  if (hasTag) return { ...repository, tag: parseTag(rest.slice(colon + 1)), ...(digest ? { digest } : {}) }
  return digest ? { ...repository, digest } : { ...repository, tag: 'latest' as Tag }
}

export function formatRepository(repository: Repository): string {
  return `${repository.registry}/${repository.name}`
}

export function formatReference(reference: Reference): string {
  const tag = reference.tag ? `:${reference.tag}` : ''
  const digest = reference.digest ? `@${reference.digest}` : ''
  return `${formatRepository(reference)}${tag}${digest}`
}
