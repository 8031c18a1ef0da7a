/**
 * A request to the registry port, parsed once into what it means. Names contain slashes, so no router's pattern fits:
 * the path is read from its end, where the distribution spec puts the words that tell requests apart.
 */
import { Failure } from '../failure.ts'
import { type Digest, isDigest, parseDigest } from '../oci/digest.ts'
import { fileAt } from '../oci/file.ts'
import { parseTag, type Repository, repositoryOfRequest, type Tag } from '../oci/reference.ts'
import { type LazyRequest, parseLazy } from './lazy.ts'
import { mountsPath } from './mounts.ts'
import { sharesPath } from './shares.ts'
import { tokenPath } from './tokens.ts'

export type RegistryRequest =
  | { readonly kind: 'base' }
  | { readonly kind: 'token' }
  | { readonly kind: 'catalog'; readonly search: string }
  | { readonly kind: 'manifest'; readonly repository: Repository; readonly reference: Tag | Digest }
  | { readonly kind: 'blob'; readonly repository: Repository; readonly digest: Digest }
  | { readonly kind: 'file'; readonly repository: Repository }
  | { readonly kind: 'download'; readonly id: string }
  | (PassedRequest & { readonly kind: 'tags' })
  | (PassedRequest & { readonly kind: 'referrers' })
  | LazyRequest

/** What is sent to the source below the repository; `search` comes without `ns`, with its `?` unless empty. */
export interface PassedRequest {
  readonly repository: Repository
  readonly path: string
  readonly search: string
}

/** `?url=<URL>` says which digest a file has now, `&digest=<digest>` gives it: not of the specification. */
export const filePath = '/shoal/file'

export type RequestKind = RegistryRequest['kind'] | 'upload' | 'other'

/** 255 for a name, 255 for a registry before it, 135 for a digest, and the words between. */
export const longestPath = 1024
export const longestQuery = 2048
/** What the names, tags and digests of the specification are made of; percent-encoding is never needed. */
const pathPattern = /^\/[A-Za-z0-9._:/[\]-]*$/

/**
 * `target` is the request target as it came: path and query. `own`: the node keeps repositories itself.
 * @throws {Failure} `read-only`, `bad-request`, `bad-name`, `bad-digest`, `no-manifest`, `no-name`, `unsupported`
 */
export function parseRequest(method: string, target: string, own = false): RegistryRequest {
  if (method !== 'GET' && method !== 'HEAD') {
    throw new Failure('read-only', 'this is a pull-through mirror: push to the registry itself')
  }
  const [path, query] = split(target)
  if (path === '/v2' || path === '/v2/') return { kind: 'base' }
  if (path === tokenPath) return { kind: 'token' }
  if (path === sharesPath) return { kind: 'download', id: new URLSearchParams(query).get('id') ?? '' }
  if (path === filePath) return parseFileRequest(new URLSearchParams(query))
  if (!path.startsWith('/v2/')) throw new Failure('no-name', 'nothing is served here: the registry API is under /v2/')

  const segments = path.slice('/v2/'.length).split('/')
  if (segments.some((segment) => segment === '' || segment === '.' || segment === '..')) {
    throw new Failure('bad-name', 'the path has an empty or dot segment: expected /v2/<repository>/<what>')
  }
  if (segments.length === 1 && segments[0] === '_catalog') {
    if (own) return { kind: 'catalog', search: query }
    throw new Failure('unsupported', 'a mirror has no catalogue: ask the registry itself')
  }
  const last = segments.at(-1) ?? ''
  const parameters = new URLSearchParams(query)
  const lazy = parseLazy(segments, parameters.get('ns') ?? undefined)
  if (lazy) return lazy
  const repository = () => repositoryOfRequest(segments.slice(0, -2).join('/'), parameters.get('ns') ?? undefined)
  switch (segments.at(-2)) {
    case 'manifests':
      return { kind: 'manifest', repository: repository(), reference: nameOfManifest(last) }
    case 'blobs':
      return { kind: 'blob', repository: repository(), digest: parseDigest(last) }
    case 'referrers':
      return { kind: 'referrers', ...passed(repository(), `referrers/${parseDigest(last)}`, parameters) }
    case 'tags':
      if (last === 'list') return { kind: 'tags', ...passed(repository(), 'tags/list', parameters) }
  }
  throw new Failure('no-name', 'not an endpoint of the registry API: manifests, blobs, tags/list and referrers are')
}

/** By its digest it is a blob like any other. @throws {Failure} `bad-request`, `bad-digest` */
function parseFileRequest(parameters: URLSearchParams): RegistryRequest {
  const repository = fileAt(parameters.get('url') ?? '')
  const digest = parameters.get('digest')
  return digest === null ? { kind: 'file', repository } : { kind: 'blob', repository, digest: parseDigest(digest) }
}

/** What a target is about as far as its looks go, for metrics of requests that were refused. */
export function kindOfTarget(target: string): RequestKind {
  const path = target.slice(0, longestPath).replace(/\?.*$/s, '')
  if (path === '/v2' || path === '/v2/') return 'base'
  if (path === tokenPath) return 'token'
  if (path === filePath) return 'file'
  if (path === sharesPath) return 'download'
  if (path === '/v2/_catalog') return 'catalog'
  if (/^\/v2\/.+\/blobs\/uploads(?:\/[^/]*)?$/s.test(path)) return 'upload'
  if (path === mountsPath) return 'lazy'
  if (/^\/v2\/.+\/_shoal\/lazy\/[^/]*\/(?:index|reads)$/s.test(path)) return 'lazy'
  const word = /^\/v2\/.+\/(manifests|blobs|tags|referrers)\/[^/]*$/s.exec(path)?.[1]
  if (word === 'manifests') return 'manifest'
  if (word === 'blobs') return 'blob'
  return word === 'tags' || word === 'referrers' ? word : 'other'
}

export function split(target: string): [path: string, query: string] {
  const mark = target.indexOf('?')
  const path = mark < 0 ? target : target.slice(0, mark)
  const query = mark < 0 ? '' : target.slice(mark + 1)
  if (path.length > longestPath) {
    throw new Failure(
      'bad-request',
      `the path is too long: it has ${path.length} bytes, at most ${longestPath} are served`,
    )
  }
  if (query.length > longestQuery) {
    throw new Failure(
      'bad-request',
      `the query is too long: it has ${query.length} bytes, at most ${longestQuery} are served`,
    )
  }
  if (!pathPattern.test(path)) {
    throw new Failure('bad-name', 'the path has characters that no repository, tag or digest has')
  }
  return [path, query]
}

/** What cannot be the name of a manifest is not there: the distribution project's tests of conformance ask for it. */
function nameOfManifest(text: string): Tag | Digest {
  try {
    return parseManifestReference(text)
  } catch (error) {
    const failure = Failure.from(error)
    if (failure.code !== 'bad-reference') throw error
    throw new Failure('no-manifest', failure.message, { cause: error })
  }
}

export function parseManifestReference(text: string): Tag | Digest {
  if (isDigest(text)) return text
  // A colon is in no tag: whoever sends one means a digest, and is told what is wrong with it.
  return text.includes(':') ? parseDigest(text) : parseTag(text)
}

function passed(repository: Repository, path: string, parameters: URLSearchParams): PassedRequest {
  parameters.delete('ns')
  const search = parameters.toString()
  return { repository, path, search: search === '' ? '' : `?${search}` }
}
