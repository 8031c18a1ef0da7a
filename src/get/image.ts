/** An image, or several, as the files of an OCI image layout (image spec, "Image Layout"). */
import { Failure } from '../failure.ts'
import { algorithmOf, type Digest, digestOf, hexOf } from '../oci/digest.ts'
import { contentsOf, type Descriptor, isElsewhere } from '../oci/media.ts'
import { formatReference, type Reference, type Repository } from '../oci/reference.ts'
import { inOciForm, ociType } from './oci-form.ts'
import { choose, type Platform } from './platform.ts'

/** Content that the layout has at {@link pathOf}; `bytes` of what is here already, being small. */
export interface Part {
  readonly repository: Repository
  readonly digest: Digest
  readonly size: number
  readonly bytes?: Uint8Array
}

export interface Manifest {
  readonly bytes: Uint8Array
  readonly digest: Digest
  readonly mediaType: string
}

/** Where manifests come from. @throws {Failure} */
export type ReadManifest = (repository: Repository, reference: string) => Promise<Manifest>

/** A descriptor as `index.json` has it. */
export interface Entry {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
  readonly platform?: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

export interface Image {
  readonly entry: Entry
  /** Manifests first, then configurations and layers, each once. */
  readonly parts: readonly Part[]
}

type Stored = Pick<Entry, 'mediaType' | 'digest' | 'size'>

/** Indexes may hold indexes. */
const mostNested = 4
export const refName = 'org.opencontainers.image.ref.name'
/** Which image it was, for containerd's import. */
export const fullName = 'io.containerd.image.name'

/**
 * Finds out what the image consists of.
 * @throws {Failure} `no-manifest` when there is none for the platform; `corrupt` for a manifest with another digest
 */
export async function imageOf(reference: Reference, platform: Platform, read: ReadManifest): Promise<Image> {
  const { digest, tag } = reference
  const asked = await read(reference, digest ?? tag ?? 'latest')
  const contents = contentsOf(asked.bytes)
  const index = contents.manifests.length > 0
  const chosen = index && platform !== 'all' ? choose(contents.manifests, platform) : undefined
  const top = chosen ? await child(reference, chosen, read) : asked
  const parts = new Map<Digest, Part>()
  const stored = await gather(reference, top, parts, read, 0)
  const [manifests, rest] = [[...parts.values()].filter(({ bytes }) => bytes), [...parts.values()]]
  return {
    entry: {
      ...stored,
      ...(chosen?.platform ? { platform: platformFields(chosen.platform) } : {}),
      annotations: { ...(tag ? { [refName]: tag } : {}), [fullName]: formatReference(reference) },
    },
    parts: [...manifests, ...rest.filter(({ bytes }) => !bytes)],
  }
}

/** Puts a manifest and all that it leads to into `parts`. @returns what the manifest is known by there */
async function gather(
  repository: Repository,
  { bytes: asked, digest: known, mediaType }: Manifest,
  parts: Map<Digest, Part>,
  read: ReadManifest,
  depth: number,
): Promise<Stored> {
  if (depth > mostNested) throw new Failure('corrupt', 'the image is an index of indexes, too many in each other')
  const { manifests, blobs } = contentsOf(asked)
  const replaced = new Map<string, Stored>()
  for (const descriptor of manifests) {
    const stored = await gather(repository, await child(repository, descriptor, read), parts, read, depth + 1)
    if (stored.digest !== descriptor.digest) replaced.set(descriptor.digest, stored)
  }
  const bytes = inOciForm(asked, mediaType, replaced)
  const digest = bytes === asked ? known : digestOf(bytes)
  parts.set(digest, { repository, digest, size: bytes.length, bytes })
  for (const { digest, size, mediaType } of blobs) {
    // Where a layer is elsewhere, the registry need not have it, and the manifest says where it is.
    if (!parts.has(digest) && !isElsewhere(mediaType)) parts.set(digest, { repository, digest, size })
  }
  return { mediaType: ociType(mediaType), digest, size: bytes.length }
}

async function child(repository: Repository, descriptor: Descriptor, read: ReadManifest): Promise<Manifest> {
  const { bytes } = await read(repository, descriptor.digest)
  return { bytes, digest: descriptor.digest, mediaType: descriptor.mediaType }
}

function platformFields(platform: string): Record<string, string> {
  const [os = '', architecture = '', variant] = platform.split('/')
  return { architecture, os, ...(variant ? { variant } : {}) }
}

/** `blobs/sha256/<hex>`, below the layout. */
export function pathOf(digest: Digest): string {
  return `blobs/${algorithmOf(digest)}/${hexOf(digest)}`
}

export const layoutFile = '{"imageLayoutVersion":"1.0.0"}'

/**
 * `index.json` with these images added to those that it has, instead of what had the same name. Where two tags would be
 * the same, the later one is known by its full name.
 */
export function indexWith(before: readonly Entry[], added: readonly Entry[]): string {
  const kept = before.filter(({ annotations }) => !added.some((entry) => sameImage(entry.annotations, annotations)))
  const manifests = [...kept]
  for (const entry of added) {
    const tag = entry.annotations[refName]
    const taken = tag !== undefined && manifests.some(({ annotations }) => annotations[refName] === tag)
    const annotations = taken ? { ...entry.annotations, [refName]: entry.annotations[fullName]! } : entry.annotations
    if (!manifests.some((other) => other.digest === entry.digest && sameImage(other.annotations, annotations))) {
      manifests.push({ ...entry, annotations })
    }
  }
  const mediaType = 'application/vnd.oci.image.index.v1+json'
  return JSON.stringify({ schemaVersion: 2, mediaType, manifests }, null, 2)
}

function sameImage(a: Entry['annotations'], b: Entry['annotations']): boolean {
  return a[fullName] !== undefined && a[fullName] === b[fullName]
}
