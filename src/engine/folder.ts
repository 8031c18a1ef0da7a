/**
 * A folder of an engine's content store in which each file is a whole blob, named by its digest in hex: the engine writes
 * elsewhere, and moves here what it has verified. The kernel tells what changes; looking again now and then finds what it
 * did not tell.
 */
import { type FSWatcher, lstatSync, type Stats, statSync, watch } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, hexOf, isDigest } from '../oci/digest.ts'
import type { Found } from './judge.ts'

/** A content store has some thousands; this is against one that something else filled. */
const mostNames = 200_000

export class ContentFolder {
  readonly path: string
  readonly #changed: (digest: Digest) => void
  #watcher: FSWatcher | undefined
  #watched: string | undefined

  /** `changed` is told of each file that came, went or became another. */
  constructor(path: string, changed: (digest: Digest) => void) {
    this.path = path
    this.#changed = changed
  }

  pathOf(digest: Digest): string {
    return join(this.path, hexOf(digest))
  }

  /** What is there; a folder that is gone or made anew is watched again. @throws what the kernel says */
  async list(): Promise<Digest[]> {
    this.#watch()
    const names = await readdir(this.path)
    return names
      .slice(0, mostNames)
      .map((name) => `sha256:${name}`)
      .filter(isDigest)
  }

  /** Undefined where it is not, or is no file. */
  find(digest: Digest): (Found & { readonly path: string }) | undefined {
    const path = this.pathOf(digest)
    const stat = factsOf(path)
    return stat?.isFile() ? { path, size: stat.size, changedAt: stat.ctimeMs } : undefined
  }

  /** Whether the kernel tells what changes. */
  get watched(): boolean {
    return this.#watcher !== undefined
  }

  close(): void {
    this.#watcher?.close()
    this.#watcher = undefined
    this.#watched = undefined
  }

  /** @throws what the kernel says */
  #watch(): void {
    const { dev, ino } = statSync(this.path)
    const now = `${dev} ${ino}`
    if (now === this.#watched) return
    this.close()
    const watcher = watch(this.path, { persistent: false }, (_, name) => {
      const digest = `sha256:${name}`
      if (isDigest(digest)) this.#changed(digest)
    })
    // What it does not tell any more is found by looking.
    watcher.on('error', () => this.close())
    this.#watcher = watcher
    this.#watched = now
  }
}

function factsOf(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false })
  } catch {
    // It lies where this user may not look any more.
    return undefined
  }
}
