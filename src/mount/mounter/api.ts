/** The mounter's API on its unix socket: what goes over it, for its server and all clients. */
import { z } from 'zod'
import { digestSchema as digest } from '../../oci/schemas.ts'

/**
 * Grows when a request or an answer changes in a way that the other side must know. Every answer carries it as header
 * {@link versionHeader}; fields that a side does not know are ignored.
 */
export const apiVersion = 1
export const versionHeader = 'shoal-mounter-version'

export const usualSocket = '/run/shoal-mounter/mounter.sock'
export const usualDataDir = '/var/lib/shoal-mounter'

const bytes = z.number().int().min(0)
const origin = z.url({ protocol: /^https?$/ }).max(300)
const path = z.string().min(1).max(4096).startsWith('/', 'expected an absolute path')

export const nodeSchema = z.object({ registry: origin, admin: origin.optional() })

/** `POST /v1/layers`. The same layer for another holder is the same mount. */
export const layerRequestSchema = z.object({
  node: nodeSchema,
  /** `docker.io/library/debian` */
  repository: z.string().min(1).max(512),
  digest,
  mediaType: z.string().min(1).max(255),
  /** Of the compressed blob. */
  size: bytes,
  diffId: digest,
  /** Whoever needs the layer, by any name; it goes when none of its holders is left. */
  holder: z.string().min(1).max(512),
  prefetch: z.boolean().default(true),
})
export type LayerRequest = z.input<typeof layerRequestSchema>

export const progressSchema = z.object({
  size: bytes,
  here: bytes,
  fetched: bytes,
  deduped: bytes,
  disk: bytes.default(0),
  complete: z.boolean(),
  indexed: z.boolean(),
  reason: z.string().optional(),
  errors: z.array(z.string()),
})

/** Answer of `POST /v1/layers` and `GET /v1/layers/<id>`. */
export const layerSchema = progressSchema.extend({
  id: z.string(),
  digest,
  /** Of the mounted EROFS file system: the layer's tree, with whiteouts as overlayfs has them. */
  path: z.string(),
  holders: z.array(z.string()),
  /** It has folders that it does not describe: over other layers it needs what `POST /v1/layers/<id>/folders` makes. */
  implied: z.boolean().optional(),
})
export type LayerFacts = z.infer<typeof layerSchema>

/** `POST /v1/layers/<id>/folders`: makes folders that the layer does not describe, as they are in those below it. */
export const foldersRequestSchema = z.object({
  /** What it goes over, the nearest first. */
  below: z.array(path).max(1000),
  /** Is made, unless the layer has them all as they are below; to be laid over the layer. */
  into: path,
})
export type FoldersRequest = z.infer<typeof foldersRequestSchema>

export const foldersSchema = z.object({ made: z.boolean() })

/** Answer of `GET /v1/layers`. */
export const layersSchema = z.object({ layers: z.array(layerSchema) })
export type LayersFacts = z.infer<typeof layersSchema>

/** `POST /v1/mounts` */
export const mountRequestSchema = z.object({
  node: nodeSchema,
  image: z.string().min(1).max(1024),
  dir: path,
  rw: z.boolean().default(false),
  /** Its setuid programs get their rights, and its device nodes open devices, for whoever reaches them. */
  suid: z.boolean().default(false),
  dev: z.boolean().default(false),
  prefetch: z.boolean().default(true),
  platform: z.string().max(128).optional(),
})
export type MountRequest = z.input<typeof mountRequestSchema>

/** What the image says of the process that it is for. */
export const processSchema = z.object({
  env: z.array(z.string()),
  entrypoint: z.array(z.string()),
  cmd: z.array(z.string()),
  workingDir: z.string(),
  user: z.string(),
})

export const mountSchema = z.object({
  dir: z.string(),
  image: z.string(),
  manifest: digest,
  platform: z.string(),
  rw: z.boolean(),
  /** Of mounts from before it could be chosen nothing is said: they have both. */
  suid: z.boolean().default(true),
  dev: z.boolean().default(true),
  prefetch: z.boolean(),
  since: z.string(),
  layers: z.array(layerSchema),
  process: processSchema,
})
export type MountFacts = z.infer<typeof mountSchema>

/** Answer of `GET /v1/mounts`. */
export const mountsSchema = z.object({ mounts: z.array(mountSchema) })
export type MountsFacts = z.infer<typeof mountsSchema>

/** Answer of `GET /v1`: the mounter itself. */
export const mounterSchema = z.object({
  version: z.string(),
  pid: z.number().int(),
  since: z.string(),
  mounts: bytes,
  layers: bytes,
  reads: z.object({ slow: bytes, failed: bytes, waiting: bytes }),
})
export type MounterFacts = z.infer<typeof mounterSchema>

/** Of every refusal: a sentence with the remedy. */
export const refusalSchema = z.object({ error: z.string() })
