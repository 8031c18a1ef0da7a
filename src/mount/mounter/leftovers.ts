/**
 * Folders that were made for root file systems: what is written to them, and what lies over their layers. They go with the
 * file system, and that lives longer than its mount where somebody has it in another namespace or below another overlay,
 * as containers do.
 */
import { existsSync, readdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Clock } from '../../clock.ts'
import type { Log } from '../../telemetry/log.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { MountEntry } from '../kernel/table.ts'
import type { Places } from './places.ts'

export interface LeftoversInit {
  readonly places: Places
  readonly kernel: Kernel
  /** What is mounted now. */
  readonly table: () => readonly MountEntry[]
  /** The layer is mounted, or in use. */
  readonly layerThere: (id: string) => boolean
  readonly clock: Clock
  readonly log: Log
}

/** Between two questions about who uses a folder, ms; each is a line in the kernel's log while somebody does. */
const firstWaitMs = 1000
const longestWaitMs = 5 * 60_000

interface Leftover {
  /** Of which the file system was made. */
  readonly layers: readonly string[]
  /** When it is looked at next. */
  readonly at: number
  readonly waitMs: number
}

export class Leftovers {
  readonly #o: LeftoversInit
  readonly #byFolder = new Map<string, Leftover>()
  #sweeping = false

  constructor(init: LeftoversInit) {
    this.#o = init
  }

  /** Those that a mounter before this one made and that are not `known`; of whichever of its layers. */
  find(known: ReadonlySet<string | undefined>, layers: readonly string[]): void {
    const { writable } = this.#o.places
    const found = existsSync(writable) ? readdirSync(writable).map((name) => join(writable, name)) : []
    for (const folder of found) if (!known.has(folder)) this.#put(folder, layers)
  }

  /** Its file system is unmounted: it goes as soon as nobody uses that. Never throws. */
  leave(folder: string, layers: readonly string[]): Promise<void> {
    this.#put(folder, layers)
    return this.#clear(folder)
  }

  /** Something was unmounted of which it is not known what was made for it. */
  lookAgain(): void {
    for (const [folder, { layers }] of this.#byFolder) this.#put(folder, layers)
  }

  /** Nobody says when a use ends. Never throws. */
  async sweep(): Promise<void> {
    if (this.#sweeping) return
    this.#sweeping = true
    const now = this.#o.clock.now()
    for (const [folder, { at }] of [...this.#byFolder]) if (at <= now) await this.#clear(folder)
    this.#sweeping = false
  }

  #put(folder: string, layers: readonly string[], waitMs = 0): void {
    this.#byFolder.set(folder, { layers, at: this.#o.clock.now() + waitMs, waitMs })
  }

  async #clear(folder: string): Promise<void> {
    const leftover = this.#byFolder.get(folder)
    if (!leftover) return
    const { layers, waitMs } = leftover
    this.#byFolder.delete(folder)
    try {
      // A large tree takes a while, and reads of other mounts do not wait for it.
      if (!(await this.#used(folder, layers))) return await rm(folder, { recursive: true, force: true })
    } catch (error) {
      const reason = (error as Error).message
      this.#o.log.warn('what was made for a root file system stays; it is tried again', { folder, error: reason })
    }
    this.#put(folder, layers, Math.min(longestWaitMs, Math.max(firstWaitMs, 2 * waitMs)))
  }

  async #used(folder: string, layers: readonly string[]): Promise<boolean> {
    const { kernel, places, table, layerThere } = this.#o
    if (table().some(({ options }) => options.includes(`/${basename(folder)}/`))) return true
    const { upper, work } = writtenIn(folder)
    if (existsSync(upper)) return kernel.overlaid(upper, work, places.empty)
    // Of folders that are only read nobody can say it. Whoever has the file system has all of its layers.
    return layers.some(layerThere)
  }
}

/** Where a root file system is written to. Pure. */
export function writtenIn(folder: string) {
  return { upper: join(folder, 'upper'), work: join(folder, 'work') }
}
