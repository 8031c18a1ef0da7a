/**
 * What was decided, and cannot be found out anew from the files of blobs: what people pinned and whom this node banned. Read
 * from a catalog that is damaged, as far as that goes; nothing is written to it.
 */
import { Database } from 'bun:sqlite'
import { isDigest } from '../oci/digest.ts'
import type { Ban } from './blob-store.ts'
import type { Pin } from './pins.ts'

export interface Salvaged {
  readonly pins: readonly Pin[]
  readonly bans: readonly Ban[]
  /** Why there may have been more; undefined when all of it was read. */
  readonly trouble?: string
}

/** Never throws. */
export function salvage(path: string): Salvaged {
  const pins: Pin[] = []
  const bans: Ban[] = []
  try {
    using db = new Database(path, { readonly: true, strict: true })
    // Row by row, so that what comes before a page that cannot be read is kept. What is no pin was one before it was spoilt.
    for (const row of db.query<Record<string, unknown>, []>('SELECT digest, reason, until FROM pins').iterate()) {
      const { digest, reason, until } = row
      if (typeof digest !== 'string' || !isDigest(digest) || typeof reason !== 'string') continue
      if (until === null) pins.push({ digest, reason })
      else if (typeof until === 'number') pins.push({ digest, reason, until })
    }
    for (const row of db.query<Record<string, unknown>, []>('SELECT node, reason, until FROM bans').iterate()) {
      const { node, reason, until } = row
      if (typeof node === 'string' && typeof reason === 'string' && typeof until === 'number') {
        bans.push({ node, reason, until })
      }
    }
    return { pins, bans }
  } catch (error) {
    return { pins, bans, trouble: error instanceof Error ? error.message : String(error) }
  }
}
