/** Media types of manifests, and what can be read out of a manifest without trusting it. */
import { parseJson } from '../json.ts'
import { type Digest, isDigest } from './digest.ts'

export const manifestTypes = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
} as const

/** What a node asks a source for: everything an engine of today can use. Docker schema 1 is not among it. */
export const acceptManifests = Object.values(manifestTypes).join(', ')

/** OCI distribution spec: "A registry SHOULD enforce some limit on the maximum manifest size"; clients use 4 MiB. */
export const maxManifestBytes = 4 * 1024 * 1024

export interface Descriptor {
  readonly digest: Digest
  readonly size: number
  readonly mediaType: string
  /** `linux/amd64`, `linux/arm64/v8`; only in an index. */
  readonly platform?: string
  /** It names places other than the registry to have it from. */
  readonly urls?: true
}

export interface Contents {
  /** Manifests an index points to. */
  readonly manifests: readonly Descriptor[]
  /** Config first, then layers, of an image manifest; what an index lists beside manifests. */
  readonly blobs: readonly Descriptor[]
}

/** Layers that are fetched from elsewhere than the registry, which does not check that it has what a manifest says. */
export function isElsewhere(mediaType: string): boolean {
  return /foreign|nondistributable/.test(mediaType)
}

/** Whether a registry looks if it has it when it takes a manifest: distribution does not for what has `urls`, of any type. */
export function isLookedFor({ mediaType, urls }: Descriptor): boolean {
  return !urls && !isElsewhere(mediaType)
}

/** Nobody asks for these any more, but an old index may list some. */
const oldManifests: readonly string[] = [
  'application/vnd.oci.artifact.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
]

/** Whether what an index lists is a manifest, as most of it is: BuildKit's registry cache is an index of layers. */
export function isManifest(mediaType: string): boolean {
  return Object.values<string>(manifestTypes).includes(mediaType) || oldManifests.includes(mediaType)
}

/** Reads the descriptors of a manifest or index; what is malformed is left out. Never throws. */
export function contentsOf(bytes: Uint8Array): Contents {
  const manifest = asRecord(jsonOf(bytes))
  const list = (value: unknown) => (Array.isArray(value) ? value : []).map(descriptorOf).filter((d) => d !== undefined)
  const listed = Array.isArray(manifest?.manifests) ? manifest.manifests : []
  const isBlob = (value: unknown) => {
    const type = asRecord(value)?.mediaType
    return typeof type === 'string' && !isManifest(type)
  }
  return {
    manifests: list(listed.filter((each) => !isBlob(each))),
    blobs: [...list([manifest?.config]), ...list(manifest?.layers), ...list(listed.filter(isBlob))],
  }
}

/**
 * The media type of a manifest whose transport did not say: its own `mediaType` field, else what its shape tells
 * (OCI image spec: `mediaType` is optional there).
 */
export function mediaTypeOf(bytes: Uint8Array): string {
  const manifest = asRecord(jsonOf(bytes))
  if (typeof manifest?.mediaType === 'string' && manifest.mediaType.length < 256) return manifest.mediaType
  return Array.isArray(manifest?.manifests) ? manifestTypes.ociIndex : manifestTypes.ociManifest
}

/** Whether these bytes may be a manifest of some kind: a page that wants a login, which some proxies send, is none. */
export function looksLikeManifest(bytes: Uint8Array): boolean {
  const manifest = asRecord(jsonOf(bytes))
  if (!manifest) return false
  return 'manifests' in manifest || 'schemaVersion' in manifest || ('config' in manifest && 'layers' in manifest)
}

function descriptorOf(value: unknown): Descriptor | undefined {
  const record = asRecord(value)
  if (!record || typeof record.digest !== 'string' || !isDigest(record.digest)) return undefined
  const size = record.size
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return undefined
  const mediaType = typeof record.mediaType === 'string' ? record.mediaType.slice(0, 255) : 'application/octet-stream'
  const platform = platformOf(asRecord(record.platform))
  return {
    digest: record.digest,
    size,
    mediaType,
    ...(platform ? { platform } : {}),
    ...(hasUrls(record) ? { urls: true } : {}),
  }
}

/** In whatever case: so Go reads them, in which registries are written. */
function hasUrls(record: Record<string, unknown>): boolean {
  return Object.entries(record).some(([name, urls]) => {
    return /^urls$/iu.test(name) && urls !== null && !(Array.isArray(urls) && urls.length === 0)
  })
}

function platformOf(record: Record<string, unknown> | undefined): string | undefined {
  if (typeof record?.os !== 'string' || typeof record.architecture !== 'string') return undefined
  const variant = typeof record.variant === 'string' ? `/${record.variant}` : ''
  return `${record.os}/${record.architecture}${variant}`
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return parseJson(new TextDecoder().decode(bytes))
  } catch {
    return undefined
  }
}

function asRecord(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined
}
