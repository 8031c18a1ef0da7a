/** Where an unpacked layer lies: a folder of its own, named for the layer. */
import { existsSync, lstatSync, mkdirSync, readdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, hexOf, isDigest } from '../../oci/digest.ts'

export interface LayerFolder {
  readonly id: string
  readonly dir: string
  /** The index as it came. */
  readonly index: string
  /** The EROFS image of the file tree. */
  readonly metadata: string
  /** The unpacked layer, sparse while it is not complete. */
  readonly data: string
  /** What of it is no file's. */
  readonly gaps: string
  readonly state: string
}

/** @param digest of the compressed layer */
export function layerFolder(root: string, digest: Digest): LayerFolder {
  const id = hexOf(digest)
  const dir = join(root, id)
  return {
    id,
    dir,
    index: join(dir, 'index'),
    metadata: join(dir, 'metadata.erofs'),
    data: join(dir, 'data'),
    gaps: join(dir, 'gaps'),
    state: join(dir, 'state'),
  }
}

export function makeFolder({ dir }: LayerFolder): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
}

/** Layers that something lies here of. */
export function foldersIn(root: string): Digest[] {
  if (!existsSync(root)) return []
  // Of either algorithm: each has digests of its own length.
  return readdirSync(root).flatMap((name) => [`sha256:${name}`, `sha512:${name}`].filter(isDigest))
}

/** Bytes of the disk that it takes. */
export function diskOf({ dir }: LayerFolder): number {
  if (!existsSync(dir)) return 0
  return readdirSync(dir).reduce((sum, name) => {
    const stats = lstatSync(join(dir, name), { throwIfNoEntry: false })
    return sum + (stats ? stats.blocks * 512 : 0)
  }, 0)
}

export async function removeFolder({ dir }: LayerFolder): Promise<void> {
  await rm(dir, { recursive: true, force: true })
}
