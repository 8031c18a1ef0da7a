/**
 * How repositories lie in an object store, a directory or behind a web server. Bytes are kept once, by their digest;
 * which repository has them, and under which names, is told by small JSON documents:
 *
 *     blobs/sha256/<first 2>/<hex>                              the bytes of a layer, config or manifest
 *     repositories/<registry>/<name>/_blobs/sha256/<hex>        {"mediaType", "size"}: the repository has that blob
 *     repositories/<registry>/<name>/_manifests/sha256/<hex>    the same for a manifest
 *     repositories/<registry>/<name>/_tags/<tag>                {"digest", "mediaType", "size", "at"}
 *     repositories/<registry>/<name>/_referrers/sha256/<hex>/sha256-<hex>
 *                                                               the descriptor of a manifest whose subject is the former
 *
 * No component of a repository's name begins with an underscore, so that none can be taken for these folders. A
 * document is written after the bytes it speaks of: what it speaks of is there. Pure.
 */
import { z } from 'zod'
import { Failure } from '../../failure.ts'
import { parseJson } from '../../json.ts'
import { algorithmOf, type Digest, hexOf, isDigest } from '../../oci/digest.ts'
import { formatRepository, type Repository, type Tag } from '../../oci/reference.ts'
import type { Location, Resolved, Stat } from '../../source/source.ts'

/** Far more than any of the documents has, but for descriptors with long annotations, which go without them then. */
export const mostDocumentBytes = 64 * 1024

export function bytesPath(digest: Digest): string {
  return `blobs/${algorithmOf(digest)}/${hexOf(digest).slice(0, 2)}/${hexOf(digest)}`
}

export function linkPath({ repository, kind, digest }: Location): string {
  return `${folderOf(repository)}_${kind}s/${algorithmOf(digest)}/${hexOf(digest)}`
}

export function manifestsFolder(repository: Repository): string {
  return `${folderOf(repository)}_manifests/sha256/`
}

export function tagsFolder(repository: Repository): string {
  return `${folderOf(repository)}_tags/`
}

export function tagPath(repository: Repository, tag: Tag): string {
  return `${tagsFolder(repository)}${tag}`
}

export function referrersFolder(repository: Repository, subject: Digest): string {
  return `${folderOf(repository)}_referrers/${algorithmOf(subject)}/${hexOf(subject)}/`
}

export function referrerPath(repository: Repository, subject: Digest, digest: Digest): string {
  return `${referrersFolder(repository, subject)}${algorithmOf(digest)}-${hexOf(digest)}`
}

function folderOf(repository: Repository): string {
  return `repositories/${formatRepository(repository)}/`
}

export interface TagDocument extends Resolved {
  /** Wall ms at which it came to point there. */
  readonly at: number
}

const size = z.int().min(0)
const mediaType = z.string().max(255)
const link = z.object({ mediaType, size })
const tag = z.object({ digest: z.string().refine(isDigest), mediaType, size, at: z.number() })

export function linkText({ mediaType, size }: Stat): string {
  return JSON.stringify({ mediaType, size })
}

/** @throws {Failure} `corrupt` */
export function parseLink(bytes: Uint8Array, about: string): Stat {
  return parseDocument(link, bytes, about)
}

export function tagText({ digest, mediaType, size, at }: TagDocument): string {
  return JSON.stringify({ digest, mediaType, size, at })
}

/** @throws {Failure} `corrupt` */
export function parseTagDocument(bytes: Uint8Array, about: string): TagDocument {
  return parseDocument(tag, bytes, about)
}

function parseDocument<T>(schema: z.ZodType<T>, bytes: Uint8Array, about: string): T {
  try {
    return schema.parse(parseJson(new TextDecoder().decode(bytes)))
  } catch {
    throw new Failure('corrupt', `${about} is not what it should be; what is kept there was damaged, or is not shoal's`)
  }
}
