/**
 * What a name consists of. First its root, which is what the name means now, once and for all of the job; then all that
 * belongs to the root. Manifests are read through the swarm, as any pull reads them.
 */
import { Failure } from '../failure.ts'
import { choose } from '../get/platform.ts'
import { parseTarget } from '../get/target.ts'
import type { Digest } from '../oci/digest.ts'
import { contentsOf, type Descriptor, isElsewhere } from '../oci/media.ts'
import { formatReference, formatRepository, type Repository, type Tag } from '../oci/reference.ts'
import type { Location } from '../source/source.ts'
import { mostParts } from './errand.ts'

export interface Part {
  readonly location: Location
  readonly size: number
}

/** What a name stands for in this job. */
export interface Root {
  /** As it was asked for. */
  readonly name: string
  readonly repository: Repository
  readonly kind: Location['kind']
  readonly digest: Digest
  readonly size: number
}

/** What is asked of a node's content. @throws {Failure} */
export interface Reading {
  manifest(
    repository: Repository,
    reference: Tag | Digest,
    signal?: AbortSignal,
  ): Promise<{ readonly digest: Digest; readonly bytes: Uint8Array }>
  latest(repository: Repository, signal?: AbortSignal): Promise<{ readonly digest: Digest; readonly size: number }>
}

/** Indexes may hold indexes. */
const mostNested = 4

/** @throws {Failure} `bad-request` and the like for what is no name */
export function repositoryOfName(name: string): Repository {
  const target = parseTarget(name)
  const { registry, name: path } = target.kind === 'file' ? target.file : target.reference
  return { registry, name: path }
}

/** As two people write the same: `debian` and `docker.io/library/debian:latest`. @throws {Failure} */
export function canonical(name: string): string {
  const target = parseTarget(name)
  return target.kind === 'file' ? formatRepository(target.file) : formatReference(target.reference)
}

/** @throws {Failure} `reading` while a file is being read for its digest; what the source says */
export async function rootOf(name: string, content: Reading, signal: AbortSignal): Promise<Root> {
  const target = parseTarget(name)
  const repository = repositoryOfName(name)
  if (target.kind === 'file') {
    const { digest, size } = await content.latest(repository, signal)
    return { name, repository, kind: 'blob', digest, size }
  }
  const { digest: wanted, tag } = target.reference
  const { digest, bytes } = await content.manifest(repository, (wanted ?? tag)!, signal)
  return { name, repository, kind: 'manifest', digest, size: bytes.length }
}

/**
 * Each once, manifests before what they name: an engine asks for them first.
 * @throws {Failure} `no-manifest` where an index has nothing for a platform; `bad-request` for more than one errand takes
 */
export async function partsOf(
  roots: readonly Root[],
  platforms: 'all' | readonly string[],
  content: Reading,
  signal: AbortSignal,
): Promise<Part[]> {
  const parts = new Map<string, Part>()
  const add = (location: Location, size: number) => {
    parts.set(`${formatRepository(location.repository)} ${location.digest}`, { location, size })
    if (parts.size > mostParts) {
      throw new Failure('bad-request', `that is more than ${mostParts} manifests and layers; ask for less at a time`)
    }
  }
  const walk = async (repository: Repository, digest: Digest, size: number, depth: number): Promise<void> => {
    if (depth > mostNested) throw new Failure('corrupt', `${digest} is an index of indexes, too many in each other`)
    add({ repository, kind: 'manifest', digest }, size)
    const { bytes } = await content.manifest(repository, digest, signal)
    const { manifests, blobs } = contentsOf(bytes)
    for (const child of chosenOf(manifests, platforms)) await walk(repository, child.digest, child.size, depth + 1)
    for (const blob of blobs) {
      // Where a layer is elsewhere, the registry need not have it.
      if (!isElsewhere(blob.mediaType)) add({ repository, kind: 'blob', digest: blob.digest }, blob.size)
    }
  }
  for (const { repository, kind, digest, size } of roots) {
    if (kind === 'blob') add({ repository, kind, digest }, size)
    else await walk(repository, digest, size, 0)
  }
  return [...parts.values()]
}

/** Of an index. An index within an index says nothing of platforms: it is gone through. */
function chosenOf(manifests: readonly Descriptor[], platforms: 'all' | readonly string[]): Descriptor[] {
  if (platforms === 'all' || manifests.length === 0) return [...manifests]
  if (manifests.every(({ platform }) => platform === undefined)) return [...manifests]
  return [...new Set(platforms.map((platform) => choose(manifests, platform)))]
}
