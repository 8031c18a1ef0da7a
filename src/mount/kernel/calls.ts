/**
 * What is asked of the kernel about mounts, as data: it is carried out in a child process, for each of these calls may
 * wait for the file system that the asking process serves.
 */
import { z } from 'zod'

/** The hidden command of the binary that carries them out. */
export const callCommand = 'mount-calls'

export const mountFlags = { readOnly: 1, noSetuid: 2, noDevices: 4 } as const

export const callSchema = z.discriminatedUnion('do', [
  z.object({
    do: z.literal('mount'),
    type: z.enum(['fuse', 'erofs', 'overlay']),
    /** As fsconfig(2) takes them; a key alone is a flag. Keys may come more than once. */
    options: z.array(z.tuple([z.string()]).or(z.tuple([z.string(), z.string()]))),
    /** Of an EROFS mount: the file of its data; on a disk, it is read past the page cache where that can be. */
    device: z.string().optional(),
    onDisk: z.boolean().optional(),
    /** A sum of {@link mountFlags}. */
    flags: z.number().int().min(0),
    target: z.string(),
  }),
  z.object({
    do: z.literal('unmount'),
    target: z.string(),
    /** Out of sight at once, and gone when nobody uses it any more. */
    lazy: z.boolean(),
  }),
  z.object({ do: z.literal('look'), path: z.string() }),
  /**
   * Makes an overlay that writes to these folders, and drops it: one that is alive, in sight or not, keeps them for itself.
   * The errno is that of making it where `step` is {@link overlaidStep}, else of naming the folders.
   */
  z.object({ do: z.literal('overlaid'), upper: z.string(), work: z.string(), lower: z.string() }),
  /** Makes the folders that a mounted layer does not describe as they are in the layers below it. */
  z.object({
    do: z.literal('folders'),
    /** The file of the layer's tree, and where that is mounted. */
    tree: z.string(),
    layer: z.string(),
    /** Folders that the layer goes over, the nearest first. */
    below: z.array(z.string()),
    /** Is made, to be laid over the layer; not where nothing in it would differ from the layer. */
    into: z.string(),
  }),
  /** Has the folder, which is empty, look as another one does. */
  z.object({ do: z.literal('alike'), folder: z.string(), like: z.string() }),
])
export type Call = z.infer<typeof callSchema>

export const overlaidStep = 'make overlay'

/** What `look` finds. */
export const seenSchema = z.object({
  kind: z.enum(['nothing', 'directory', 'other', 'broken']),
  /** Without links. */
  real: z.string(),
  empty: z.boolean(),
  /** Permissions and owner of a directory. */
  mode: z.number().int(),
  uid: z.number().int(),
  gid: z.number().int(),
})
export type Seen = z.infer<typeof seenSchema>

export const outcomeSchema = z.object({
  /** 0: done. */
  errno: z.number().int(),
  /** Which step failed. */
  step: z.string().optional(),
  /** What the kernel said beside the number. */
  said: z.array(z.string()).default([]),
  seen: seenSchema.optional(),
  /** Of `folders`: whether there are some that had to be made. */
  made: z.boolean().optional(),
  /** What the kernel calls the new mount where it tells how far ahead it reads; unknown when others mounted meanwhile. */
  readAhead: z.string().optional(),
})
export type Outcome = z.infer<typeof outcomeSchema>

export const callsSchema = z.array(callSchema).max(1000)
export const outcomesSchema = z.array(outcomeSchema)
