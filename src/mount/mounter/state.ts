/** What the mounter must know again after it was replaced: a small file, written whole before what it says is used. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { z } from 'zod'
import { digestSchema as digest } from '../../oci/schemas.ts'
import { mountSchema, nodeSchema } from './api.ts'

export const layerStateSchema = z.object({
  id: z.string(),
  /** The number of the file as the kernel knows it; never given to another. */
  inode: z.number().int().min(2),
  /** From FUSE, or from the complete file itself. */
  served: z.enum(['fuse', 'file']),
  size: z.number().int().min(0),
  holders: z.array(z.string()),
  /** It is mounted no more and still in use, by what was made of it when it was. */
  unplaced: z.boolean().optional(),
  /** How many file systems there are of it; one where it is not said. */
  opened: z.number().int().min(0).optional(),
  /** How the kernel names the one that is made of its own file. */
  superblock: z.string().optional(),
  readAhead: z.string().optional(),
  /** The file of its tree, where that has folders that it does not describe. */
  tree: z.string().optional(),
  spec: z.object({
    node: nodeSchema,
    repository: z.object({ registry: z.string(), name: z.string() }),
    digest,
    mediaType: z.string(),
    compressedSize: z.number().int().min(0),
    diffId: digest,
    prefetch: z.boolean(),
  }),
})
export type LayerState = z.infer<typeof layerStateSchema>

export const mountStateSchema = mountSchema.omit({ layers: true }).extend({
  layers: z.array(z.string()),
  /** The directory of what is written to it, if anything may be, and of folders that lie over its layers. */
  writable: z.string().optional(),
})
export type MountState = z.infer<typeof mountStateSchema>

const stateSchema = z.object({
  version: z.literal(1),
  nextInode: z.number().int().min(2),
  layers: z.array(layerStateSchema),
  mounts: z.array(mountStateSchema),
})
export type State = z.infer<typeof stateSchema>

export const emptyState: State = { version: 1, nextInode: 2, layers: [], mounts: [] }

/** Undefined where there is none. @throws with the reason, of one that cannot be read */
export function readState(file: string): State | undefined {
  if (!existsSync(file)) return undefined
  return stateSchema.parse(JSON.parse(readFileSync(file, 'utf8')))
}

export function writeState(file: string, state: State): void {
  writeFileSync(`${file}.new`, JSON.stringify(state), { mode: 0o600, flush: true })
  renameSync(`${file}.new`, file)
}
