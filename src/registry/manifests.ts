/** `GET|HEAD /v2/<name>/manifests/<tag or digest>`: the exact bytes, for their digest is the image's name. */
import { type Digest, isDigest } from '../oci/digest.ts'
import { formatRepository, type Repository, type Tag } from '../oci/reference.ts'
import { safeType } from './body.ts'
import { contentHeaders, type Exchange, matchesEtag, type Services } from './exchange.ts'

export interface ManifestRequest {
  readonly repository: Repository
  readonly reference: Tag | Digest
}

export async function answerManifest(
  exchange: Exchange,
  { repository, reference }: ManifestRequest,
  { content, log, clock, pulls }: Services,
): Promise<Response> {
  const startedAt = clock.now()
  const { digest, mediaType, bytes } = await content.manifest(repository, reference, exchange.signal)
  const name = formatRepository(repository)
  const tagged = isDigest(reference) ? {} : { tagged: `${name}:${reference}` }
  const told = { client: exchange.client, repository: name, digest, bytes, ...tagged }
  const unchanged = matchesEtag(exchange.header('if-none-match'), digest)
  const status = unchanged ? 304 : 200
  const { method, client } = exchange
  const seconds = (clock.now() - startedAt) / 1000
  log.debug('manifest sent', { method, repository: name, reference, digest, client, status, seconds })

  const headers = new Headers(contentHeaders(digest))
  if (unchanged || method === 'HEAD') pulls.resolved(told)
  else pulls.manifest(told)
  if (unchanged) return new Response(null, { status, headers })
  headers.set('content-type', safeType(mediaType))
  headers.set('content-length', String(bytes.length))
  return new Response(method === 'HEAD' ? null : new Uint8Array(bytes), { headers })
}
