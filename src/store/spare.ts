/**
 * A few MiB kept back on the disk. On a full one the catalog cannot even note that a blob was removed to make room,
 * and a node could not start; giving this file up lets it.
 */
import { existsSync, rmSync, statSync, writeFileSync } from 'node:fs'

const spareBytes = 4 * 1024 * 1024

export class Spare {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  /** Puts the file there unless it is, or there is no room for it. */
  keep(): void {
    // A shorter one is of a process that was killed while it wrote it.
    if (statSync(this.#path, { throwIfNoEntry: false })?.size === spareBytes) return
    try {
      writeFileSync(this.#path, new Uint8Array(spareBytes))
    } catch {
      rmSync(this.#path, { force: true })
    }
  }

  /** True if that made some room. */
  giveUp(): boolean {
    if (!existsSync(this.#path)) return false
    rmSync(this.#path, { force: true })
    return true
  }
}
