/** What an image consists of, as a node answers for it: its layers, and the process that it is for. */
import { z } from 'zod'
import { Failure } from '../../failure.ts'
import type { Mirror } from '../../get/mirror.ts'
import { choose, type Platform } from '../../get/platform.ts'
import { parseJson } from '../../json.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import { contentsOf, type Descriptor } from '../../oci/media.ts'
import type { Reference } from '../../oci/reference.ts'
import { digestSchema } from '../../oci/schemas.ts'
import type { MountFacts } from './api.ts'

export interface ImageLayer extends Descriptor {
  readonly diffId: Digest
}

export interface ImageFacts {
  readonly manifest: Digest
  readonly platform: string
  /** The lowest first. */
  readonly layers: readonly ImageLayer[]
  readonly process: MountFacts['process']
}

const largestConfig = 8 * 1024 * 1024
/** As many as overlayfs takes below a read-write one. */
const mostLayers = 499

/** @throws {Failure} */
export async function readImage(reference: Reference, platform: Platform, mirror: Mirror): Promise<ImageFacts> {
  let manifest = await mirror.manifest(reference, reference.digest ?? reference.tag ?? 'latest')
  for (let depth = 0; contentsOf(manifest.bytes).manifests.length > 0; depth++) {
    if (depth === 4) throw new Failure('corrupt', 'the image is an index of indexes, too many in each other')
    const chosen = choose(contentsOf(manifest.bytes).manifests, platform)
    manifest = await mirror.manifest(reference, chosen.digest)
  }
  const [config, ...layers] = contentsOf(manifest.bytes).blobs
  if (!config || config.size > largestConfig) throw new Failure('bad-manifest', 'the image has no configuration')
  const chunks: Uint8Array[] = []
  for await (const chunk of mirror.blob(reference, config.digest, config.size, 0)) chunks.push(chunk)
  const bytes = new Uint8Array(Buffer.concat(chunks))
  if (digestOf(bytes, config.digest.startsWith('sha512:') ? 'sha512' : 'sha256') !== config.digest) {
    throw new Failure('corrupt', 'the configuration of the image has another digest')
  }
  return { manifest: manifest.digest, ...imageFrom(bytes, layers, platform) }
}

const strings = z.array(z.string()).nullish()
const configSchema = z.object({
  os: z.string().default('linux'),
  architecture: z.string().optional(),
  variant: z.string().optional(),
  rootfs: z.object({ diff_ids: z.array(digestSchema) }),
  config: z
    .object({
      // biome-ignore-start lint/style/useNamingConvention: as image configurations have it
      Env: strings,
      Entrypoint: strings,
      Cmd: strings,
      WorkingDir: z.string().nullish(),
      User: z.string().nullish(),
      // biome-ignore-end lint/style/useNamingConvention: as image configurations have it
    })
    .nullish(),
})

/** Pure. @throws {Failure} */
export function imageFrom(
  config: Uint8Array,
  layers: readonly Descriptor[],
  platform: Platform,
): Omit<ImageFacts, 'manifest'> {
  const parsed = configSchema.safeParse(jsonOf(config))
  if (!parsed.success) {
    throw new Failure('bad-manifest', 'this is no image that has a root file system: its configuration lists no layers')
  }
  const { os, architecture, variant, rootfs, config: process } = parsed.data
  const ids = rootfs.diff_ids
  if (ids.length !== layers.length || layers.length > mostLayers) {
    throw new Failure('bad-manifest', `the image lists ${layers.length} layers, and its configuration ${ids.length}`)
  }
  return {
    platform: architecture ? [os, architecture, variant].filter(Boolean).join('/') : platform,
    layers: layers.map((layer, i) => ({ ...layer, diffId: ids[i]! })),
    process: {
      env: process?.Env ?? [],
      entrypoint: process?.Entrypoint ?? [],
      cmd: process?.Cmd ?? [],
      workingDir: process?.WorkingDir || '/',
      user: process?.User ?? '',
    },
  }
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return parseJson(new TextDecoder().decode(bytes))
  } catch {
    return undefined
  }
}
