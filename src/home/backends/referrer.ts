/** What a manifest refers to, and how it is described to who lists referrers. OCI image spec, "subject". Pure. */
import { z } from 'zod'
import { parseJson } from '../../json.ts'
import { type Digest, digestOf, isDigest } from '../../oci/digest.ts'
import { manifestTypes } from '../../oci/media.ts'

export interface ReferrerDescriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
  readonly artifactType?: string | undefined
  readonly annotations?: Readonly<Record<string, string>> | undefined
}

const digest = z.string().refine(isDigest)
const text = z.string().max(255)
const annotations = z.record(z.string(), z.string()).optional()
const manifest = z.object({
  subject: z.object({ digest }).optional(),
  artifactType: text.optional(),
  config: z.object({ mediaType: text }).optional(),
  annotations,
})
const descriptor = z.object({
  mediaType: text,
  digest,
  size: z.int().min(0),
  artifactType: text.optional(),
  annotations,
})

/** Undefined for a manifest that has no subject. Never throws. */
export function referrerOf(
  bytes: Uint8Array,
  mediaType: string,
): { readonly subject: Digest; readonly descriptor: ReferrerDescriptor } | undefined {
  const parsed = manifest.safeParse(jsonOf(bytes)).data
  if (!parsed?.subject) return undefined
  // Distribution spec, "Pushing Manifests with Subject": without an artifactType the config's media type counts.
  const type = parsed.artifactType || parsed.config?.mediaType
  return {
    subject: parsed.subject.digest,
    descriptor: {
      mediaType,
      digest: digestOf(bytes),
      size: bytes.length,
      ...(type === undefined ? {} : { artifactType: type }),
      ...(parsed.annotations === undefined ? {} : { annotations: parsed.annotations }),
    },
  }
}

/** Undefined for what is no descriptor. */
export function parseReferrer(bytes: Uint8Array): ReferrerDescriptor | undefined {
  return descriptor.safeParse(jsonOf(bytes)).data
}

/** Those of an answer to `GET referrers/<digest>`; what is malformed is left out. */
export function parseReferrers(index: unknown): ReferrerDescriptor[] {
  const manifests = z.object({ manifests: z.array(z.unknown()) }).safeParse(index).data?.manifests ?? []
  return manifests.map((each) => descriptor.safeParse(each).data).filter((one) => one !== undefined)
}

/** The answer to `GET referrers/<digest>`. */
export function referrersIndex(manifests: readonly ReferrerDescriptor[]): Uint8Array {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: manifestTypes.ociIndex, manifests }))
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return parseJson(new TextDecoder().decode(bytes))
  } catch {
    return undefined
  }
}
