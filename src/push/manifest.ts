/** What a manifest that is pushed says of itself. Pure. Looser than any one format: what is stored has to be true, not known. */
import { z } from 'zod'
import { Failure } from '../failure.ts'
import { parseJson } from '../json.ts'
import type { Digest } from '../oci/digest.ts'
import { isElsewhere, isManifest, manifestTypes } from '../oci/media.ts'
import { digestSchema as digest } from '../oci/schemas.ts'
import type { BlobKind } from '../store/blob-store.ts'

export interface Part {
  readonly digest: Digest
  readonly size: number
  readonly kind: BlobKind
}

export interface ManifestFacts {
  readonly mediaType: string
  /** What the repository has to have before. */
  readonly parts: readonly Part[]
  readonly subject?: Digest
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
}

const mediaType = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/)
const descriptor = z.object({ mediaType, digest, size: z.number().int().min(0) })
const mostParts = 10_000
/** Go writes an empty list as null: BuildKit's manifest of an image without layers has one. Absent is another thing. */
const parts = z
  .array(descriptor)
  .max(mostParts)
  .nullable()
  .transform((listed) => listed ?? [])
  .optional()
const manifestSchema = z.object({
  schemaVersion: z.literal(2).optional(),
  mediaType: mediaType.optional(),
  artifactType: mediaType.or(z.literal('')).optional(),
  config: descriptor.optional(),
  layers: parts,
  blobs: parts,
  manifests: parts,
  subject: descriptor.nullish(),
  annotations: z.record(z.string(), z.string()).nullish(),
})
const indexTypes: readonly string[] = [manifestTypes.ociIndex, manifestTypes.dockerList]
const imageTypes: readonly string[] = [manifestTypes.ociManifest, manifestTypes.dockerManifest]

/** `said` is the Content-Type that it came with. @throws {Failure} `bad-manifest` that says what is wrong */
export function manifestFacts(bytes: Uint8Array, said: string | undefined): ManifestFacts {
  const manifest = parsed(bytes)
  const type = mediaType.safeParse(said?.split(';', 1)[0]?.trim()).data ?? manifest.mediaType
  if (type === undefined) throw wrong('it has neither a Content-Type nor a mediaType')
  if (manifest.mediaType !== undefined && manifest.mediaType !== type) {
    throw wrong(`its Content-Type is ${type}, and its mediaType ${manifest.mediaType}`)
  }
  if (indexTypes.includes(type) && !manifest.manifests) throw wrong('an index has manifests')
  if (imageTypes.includes(type) && !(manifest.config && manifest.layers)) throw wrong('it has config and layers')
  const { config, layers = [], blobs = [], manifests: listed = [], subject, annotations } = manifest
  const manifests = listed.filter((each) => isManifest(each.mediaType))
  const others = listed.filter((each) => !isManifest(each.mediaType))
  const of =
    (kind: BlobKind) =>
    (each: z.infer<typeof descriptor>): Part => ({ digest: each.digest, size: each.size, kind })
  const artifactType = manifest.artifactType || config?.mediaType
  return {
    mediaType: type,
    parts: [
      ...[...(config ? [config] : []), ...layers, ...blobs, ...others]
        .filter((each) => !isElsewhere(each.mediaType))
        .map(of('blob')),
      ...manifests.map(of('manifest')),
    ],
    ...(subject ? { subject: subject.digest } : {}),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations ? { annotations } : {}),
  }
}

function parsed(bytes: Uint8Array): z.infer<typeof manifestSchema> {
  let value: unknown
  try {
    value = parseJson(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw wrong('it is not JSON')
  }
  const result = manifestSchema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  throw wrong(`${issue?.path.join('.') || 'it'}: ${issue?.message ?? 'malformed'}`)
}

function wrong(why: string): Failure {
  return new Failure('bad-manifest', `the manifest is not right: ${why}`)
}
