/**
 * Which version of a file an answer is of: RFC 9110 section 8.8, of which only what promises the same bytes counts. Pure.
 */
import { type Digest, isDigest } from '../oci/digest.ts'

export interface FileVersion {
  /** Two answers with the same one have the same bytes; undefined where the server does not promise that. */
  readonly validator?: string
  /** What the server says the digest is. */
  readonly digest?: Digest
}

/** A file may be written twice within the second that Last-Modified counts; section 8.8.2.2 asks for this distance. */
const surelyMs = 60_000

export function versionOf(headers: Headers): FileVersion {
  const validator = validatorOf(headers)
  const digest = statedDigest(headers)
  return { ...(validator ? { validator } : {}), ...(digest ? { digest } : {}) }
}

/**
 * Of two answers in a row for the same URL: the best that both say of their version is the same, or neither says anything.
 * It takes less than a validator, which a file that was written a moment ago does not have yet: Last-Modified counts as it
 * is, and an entity tag whether it is weak or not, as servers have it weak for such a file and strong a moment later.
 */
export function sameVersion(a: Headers, b: Headers): boolean {
  const said = [statedDigest, tagOf, modifiedOf].map((of) => [of(a), of(b)] as const)
  const both = said.find(([one, other]) => one !== undefined && other !== undefined)
  return both ? both[0] === both[1] : said.flat().every((one) => one === undefined)
}

function tagOf(headers: Headers): string | undefined {
  return headers.get('etag')?.trim().replace(/^W\//, '')
}

function modifiedOf(headers: Headers): string | undefined {
  return headers.get('last-modified')?.trim()
}

function validatorOf(headers: Headers): string | undefined {
  const etag = headers.get('etag')?.trim()
  // A weak one says that it means the same, not that it is the same.
  if (etag && /^"[\x21\x23-\x7e\x80-\xff]{1,256}"$/.test(etag)) return `etag ${etag}`
  const [modified, date] = ['last-modified', 'date'].map((name) => Date.parse(headers.get(name) ?? ''))
  if (modified === undefined || date === undefined || !(date - modified >= surelyMs)) return undefined
  return `modified ${new Date(modified).toISOString()}`
}

/** RFC 9530 `Repr-Digest: sha-256=:...:`, the older `Digest: sha-256=...`, and what stores of files say by themselves. */
function statedDigest(headers: Headers): Digest | undefined {
  if ((headers.get('content-encoding') ?? 'identity') !== 'identity') return undefined
  const listed = headers.get('repr-digest') ?? headers.get('digest') ?? ''
  const base64 = /(?:^|[,\s])sha-256=:?([A-Za-z0-9+/]{43}=)/i.exec(listed)?.[1]
  const hex = base64 ? Buffer.from(base64, 'base64').toString('hex') : headers.get('x-checksum-sha256')?.trim()
  const digest = `sha256:${hex?.toLowerCase() ?? ''}`
  return isDigest(digest) ? digest : undefined
}
