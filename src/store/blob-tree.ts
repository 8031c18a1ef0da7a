/** Where files of blobs lie: `<root>/<algorithm>/<first 2 hex digits>/<hex>`, and a trash beside them. */
import { mkdirSync, readdirSync, renameSync, statSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { algorithmOf, type Digest, hexOf, isDigest } from '../oci/digest.ts'
import { onDisk } from './beside.ts'
import { codeOf } from './data-dir.ts'
import type { FileFacts } from './recovery.ts'
import { damageIn, diskAnswers } from './unreadable.ts'

export interface FoundFile extends FileFacts {
  /** Bytes of the disk that it takes: fewer than its size while it has holes. */
  readonly disk: number
}

export class BlobTree {
  readonly #root: string
  readonly #trash: string
  /** Where bytes lie that are no blob yet. */
  readonly spools: string
  #discarded = 0

  constructor(root: string, trash: string, spools: string) {
    this.#root = root
    this.#trash = trash
    this.spools = spools
  }

  pathOf(digest: Digest): string {
    const hex = hexOf(digest)
    return join(this.#root, algorithmOf(digest), hex.slice(0, 2), hex)
  }

  /**
   * Every file whose name is a digest, but for those that the disk cannot find any more. What else lies there is not ours
   * and left alone. @throws {Failure} `no-disk` where the disk as a whole does not answer
   */
  async scan(answers: () => Promise<boolean>): Promise<Map<Digest, FoundFile>> {
    const found = new Map<Digest, FoundFile>()
    for (const algorithm of ['sha256', 'sha512']) {
      for (const prefix of list(join(this.#root, algorithm))) {
        for (const hex of list(join(this.#root, algorithm, prefix))) {
          const digest = `${algorithm}:${hex}`
          if (!isDigest(digest) || !hex.startsWith(prefix)) continue
          try {
            const stat = statSync(this.pathOf(digest), { throwIfNoEntry: false })
            if (!stat?.isFile()) continue
            found.set(digest, { size: stat.size, mtime: Math.floor(stat.mtimeMs), disk: onDisk(stat.blocks) })
          } catch (error) {
            await damageIn(error, answers)
          }
        }
      }
    }
    return found
  }

  /** Whether the disk that they lie on takes anything. */
  answers(): Promise<boolean> {
    return diskAnswers(this.#root)
  }

  /** A path where a file may be made that is to be moved into its place; what is left there goes at the next start. */
  aside(): string {
    return join(this.#trash, `${process.pid}-${this.#discarded++}`)
  }

  /** Puts what was made {@link aside} into the place of the blob. */
  place(aside: string, digest: Digest): void {
    const path = this.pathOf(digest)
    mkdirSync(dirname(path), { recursive: true })
    renameSync(aside, path)
  }

  /**
   * The path is free on return; resolves when the blocks are. Deleting a big file takes long, so it is moved away
   * first: whoever makes the blob anew cannot have its file deleted by a straggler.
   */
  async discard(digest: Digest): Promise<void> {
    const grave = this.aside()
    try {
      renameSync(this.pathOf(digest), grave)
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return
      throw error
    }
    await rm(grave, { force: true })
  }

  async emptyTrash(): Promise<void> {
    for (const name of list(this.#trash)) {
      if (/^\d+-\d+$/.test(name)) await rm(join(this.#trash, name), { force: true })
    }
  }
}

function list(dir: string): string[] {
  try {
    return readdirSync(dir)
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return []
    throw error
  }
}
