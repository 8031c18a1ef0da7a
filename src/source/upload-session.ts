/** An upload that a registry has begun: OCI distribution spec, "Pushing blobs". Pure. */
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import type { Answer } from './answer.ts'

export interface UploadSession {
  /** Where it goes on. */
  readonly url: URL
  /** Bytes that the registry says it has; undefined where it does not say. */
  readonly have: number | undefined
  /** The shortest run of bytes that it takes. */
  readonly leastRun: number
}

/**
 * From the answer to what began or continued it. One that does not say where it goes on goes on as `before`.
 * @throws {Failure} `corrupt`
 */
export function sessionOf(answer: Pick<Answer, 'headers' | 'url' | 'upstream'>, before?: UploadSession): UploadSession {
  const { headers, url, upstream } = answer
  const least = /^\d{1,10}$/.exec(headers.get('oci-chunk-min-length') ?? '')
  const place = headers.get('location')
  const next = place === null ? before?.url : placeOf(place, url, upstream.origin)
  if (next)
    return { url: next, have: lengthOf(headers.get('range')), leastRun: Number(least?.[0] ?? before?.leastRun ?? 0) }
  throw new Failure('corrupt', `registry ${upstream.registry} began an upload, and named no place where it may go on`)
}

/** Where the upload ends, once all of it is there or comes along. */
export function endOf({ url }: UploadSession, digest: Digest): URL {
  const end = new URL(url)
  end.searchParams.set('digest', digest)
  return end
}

/** Undefined where nothing may be sent. */
function placeOf(location: string, from: URL, origin: string): URL | undefined {
  if (!URL.canParse(location, from.href)) return undefined
  const url = new URL(location, from)
  if (url.protocol === 'https:' || (url.protocol === 'http:' && origin.startsWith('http:'))) return url
  // A registry behind something that does TLS for it, and that does not know: it means itself.
  const own = new URL(origin)
  const same = url.protocol === 'http:' && url.hostname === own.hostname
  return same ? new URL(url.pathname + url.search, own) : undefined
}

/** `0-1023`, inclusive. Many say `0-0` of nothing; a single byte is sent again then. */
function lengthOf(range: string | null): number | undefined {
  const last = Number(/^(?:bytes=)?0-(\d{1,15})$/.exec(range ?? '')?.[1] ?? Number.NaN)
  return Number.isNaN(last) ? undefined : last === 0 ? 0 : last + 1
}
