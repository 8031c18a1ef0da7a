/** Requests to the part of the API that writes, parsed once: OCI distribution spec, "Push" and "Content Management". */
import { Failure } from '../failure.ts'
import { type Digest, isDigest, parseDigest } from '../oci/digest.ts'
import { parseTag, type Repository, repositoryOfRequest, type Tag } from '../oci/reference.ts'
import { parseManifestReference, split } from './request.ts'

export type WriteRequest =
  | { readonly kind: 'begin'; readonly repository: Repository; readonly digest?: Digest; readonly mount?: Mount }
  | ({ readonly kind: 'append' } & AnUpload)
  | ({ readonly kind: 'status' } & AnUpload)
  | ({ readonly kind: 'cancel' } & AnUpload)
  | ({ readonly kind: 'finish'; readonly digest: Digest } & AnUpload)
  | {
      readonly kind: 'put-manifest'
      readonly repository: Repository
      readonly reference: Tag | Digest
      /** Beside the one that it is put under. */
      readonly tags: readonly Tag[]
    }
  | { readonly kind: 'delete-manifest'; readonly repository: Repository; readonly reference: Tag | Digest }
  | { readonly kind: 'delete-blob'; readonly repository: Repository; readonly digest: Digest }

interface AnUpload {
  readonly repository: Repository
  readonly id: string
}

export interface Mount {
  readonly digest: Digest
  readonly from?: Repository
}

const uploadPattern = /^\/v2\/(.+)\/blobs\/uploads\/([^/]*)$/
const contentPattern = /^\/v2\/(.+)\/(blobs|manifests)\/([^/]+)$/

/**
 * Undefined for a request that reads.
 * @throws {Failure} `read-only` where there is nothing to write, `no-upload`, and as `parseRequest`
 */
export function parseWrite(method: string, target: string): WriteRequest | undefined {
  const [path, query] = split(target)
  const parameters = new URLSearchParams(query)
  const ns = parameters.get('ns') ?? undefined
  const upload = uploadPattern.exec(path)
  if (upload) return parseUpload(method, repositoryOfRequest(upload[1]!, ns), upload[2]!, parameters)
  if (method === 'GET' || method === 'HEAD') return undefined
  // Without the slash at its end, as some clients have it.
  const begun = method === 'POST' ? /^\/v2\/(.+)\/blobs\/uploads$/.exec(path) : null
  if (begun) return parseUpload(method, repositoryOfRequest(begun[1]!, ns), '', parameters)
  const [, name = '', what, last = ''] = contentPattern.exec(path) ?? []
  if (method === 'PUT' && what === 'manifests') {
    const reference = parseManifestReference(last)
    return { kind: 'put-manifest', repository: repositoryOfRequest(name, ns), reference, tags: tagsIn(parameters) }
  }
  if (method === 'DELETE' && what === 'manifests') {
    return {
      kind: 'delete-manifest',
      repository: repositoryOfRequest(name, ns),
      reference: parseManifestReference(last),
    }
  }
  if (method === 'DELETE' && what === 'blobs') {
    return { kind: 'delete-blob', repository: repositoryOfRequest(name, ns), digest: parseDigest(last) }
  }
  throw new Failure('read-only', 'there is nothing here that could be written')
}

/** The specification has registries take ten at least. */
const mostTags = 64

/** `?tag=1.2.3&tag=1.2` */
function tagsIn(parameters: URLSearchParams): Tag[] {
  const tags = [...new Set(parameters.getAll('tag'))]
  if (tags.length > mostTags) throw new Failure('bad-request', `a manifest is put under ${mostTags} tags at most`)
  return tags.map(parseTag)
}

function parseUpload(method: string, repository: Repository, id: string, parameters: URLSearchParams): WriteRequest {
  const digest = parameters.get('digest')
  if (method === 'POST' && id === '') {
    const mount = parameters.get('mount')
    const from = parameters.get('from')
    return {
      kind: 'begin',
      repository,
      ...(digest === null ? {} : { digest: parseDigest(digest) }),
      ...(mount === null || !isDigest(mount)
        ? {}
        : { mount: { digest: mount, ...(from ? { from: repositoryOfRequest(from, undefined) } : {}) } }),
    }
  }
  if (!/^[0-9a-f-]{36}$/.test(id)) throw new Failure('no-upload', 'that is not the id of an upload')
  if (method === 'PATCH') return { kind: 'append', repository, id }
  if (method === 'PUT') {
    if (digest === null) throw new Failure('bad-digest', 'an upload ends with ?digest=<digest of the blob>')
    return { kind: 'finish', repository, id, digest: parseDigest(digest) }
  }
  if (method === 'GET' || method === 'HEAD') return { kind: 'status', repository, id }
  if (method === 'DELETE') return { kind: 'cancel', repository, id }
  throw new Failure('read-only', 'an upload is written with PATCH and PUT')
}
