/**
 * What a store takes of the disk beside the files of its blobs: the catalog and its log, the spare, a catalog that was
 * damaged and moved aside. It counts for the limit of the store. A handful of files, looked at every few seconds at most.
 */
import { lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../clock.ts'

/** A look counts for so long, in ms. */
const lookMs = 5000

export class Beside {
  readonly #clock: Clock
  readonly #look: () => number
  #bytes = 0
  #at = Number.NEGATIVE_INFINITY

  constructor(clock: Clock, look: () => number) {
    this.#clock = clock
    this.#look = look
  }

  get bytes(): number {
    const now = this.#clock.now()
    if (now - this.#at >= lookMs) {
      this.#at = now
      try {
        this.#bytes = this.#look()
      } catch {
        // To look takes a descriptor, and a crowd may have them all: what was seen last is near enough.
      }
    }
    return this.#bytes
  }
}

/** Bytes of disk of the store's own files in `dir`; what others put there is not its own. */
export function besideBlobs(dir: string): number {
  let bytes = 0
  for (const name of readdirSync(dir)) {
    if (!name.startsWith('shoal.')) continue
    const stat = lstatSync(join(dir, name), { throwIfNoEntry: false })
    if (stat?.isFile()) bytes += onDisk(stat.blocks)
  }
  return bytes
}

/** `st_blocks` counts in units of 512 bytes, whatever the file system's blocks are. */
export function onDisk(blocks: number): number {
  return blocks * 512
}
