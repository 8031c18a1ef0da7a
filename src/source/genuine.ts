/**
 * Whether what answered is the registry. A proxy that wants a login, or that blocks a site, says 200 to everything and
 * sends a page; so does many a guest network. That says nothing about what the registry has, nor about who may have it. Pure.
 */
import { Failure } from '../failure.ts'
import { algorithmOf, isDigest } from '../oci/digest.ts'
import { isManifest } from '../oci/media.ts'
import { type Ask, aboutOf } from './ask.ts'

const pages: ReadonlySet<string> = new Set(['text/html', 'application/xhtml+xml'])
const content = /^(manifest|blob)s\/([^/]+)$/

/**
 * @param headers of an answer with a status of 2xx
 * @returns whether it has what was asked for of the registry; false where that cannot be told, of a manifest before its
 * bytes are read
 * @throws {Failure} `corrupt` when it has not
 */
export function isGenuine(
  { method, path, subject }: Pick<Ask, 'method' | 'path' | 'subject'>,
  headers: Headers,
): boolean {
  const [, kind, reference = ''] = (typeof path === 'string' && content.exec(path)) || []
  if (kind === undefined || (method !== 'GET' && method !== 'HEAD')) return false
  const stated = headers.get('docker-content-digest') ?? ''
  if (isDigest(stated)) {
    const same = !isDigest(reference) || algorithmOf(stated) !== algorithmOf(reference) || stated === reference
    if (same) return true
    throw new Failure('corrupt', `what was sent for ${aboutOf(subject)} is ${stated}, as its own header says`)
  }
  const type = headers.get('content-type')?.split(';')[0]?.trim().toLowerCase() ?? ''
  if (pages.has(type)) {
    throw new Failure('corrupt', `${aboutOf(subject)} is no ${kind} but ${type}: something before the registry answers`)
  }
  // Blobs come from other hosts too, which know neither digests nor types.
  return kind === 'blob' || isManifest(type)
}
