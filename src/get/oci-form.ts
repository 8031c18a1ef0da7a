/**
 * Images that Docker pushed in its own form, as a layout has them: what reads layouts looks for OCI's media types. What an
 * image consists of stays as it is; its manifest gets other words, and so another digest. Pure.
 */
import { parseJson } from '../json.ts'
import { manifestTypes } from '../oci/media.ts'

/** Image spec, "Compatibility Matrix". */
const types: Readonly<Record<string, string>> = {
  [manifestTypes.dockerList]: manifestTypes.ociIndex,
  [manifestTypes.dockerManifest]: manifestTypes.ociManifest,
  'application/vnd.docker.container.image.v1+json': 'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.image.rootfs.diff.tar': 'application/vnd.oci.image.layer.v1.tar',
  'application/vnd.docker.image.rootfs.diff.tar.gzip': 'application/vnd.oci.image.layer.v1.tar+gzip',
  'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip':
    'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
}

export interface Described {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

export function ociType(mediaType: string): string {
  return types[mediaType] ?? mediaType
}

/**
 * The same manifest in OCI's words, with those that it lists replaced as `replaced` says, by digest. Byte for byte what it
 * was where there is nothing to say otherwise.
 */
export function inOciForm(bytes: Uint8Array, mediaType: string, replaced: ReadonlyMap<string, Described>): Uint8Array {
  if (ociType(mediaType) === mediaType && replaced.size === 0) return bytes
  const text = new TextDecoder().decode(bytes)
  const inside = (key: string, value: unknown): unknown => {
    if (key === 'mediaType' && typeof value === 'string') return ociType(value)
    const digest = typeof value === 'object' && value !== null && 'digest' in value ? value.digest : undefined
    const other = typeof digest === 'string' ? replaced.get(digest) : undefined
    return other ? { ...(value as object), ...other } : value
  }
  return new TextEncoder().encode(JSON.stringify(parseJson(text), inside))
}
