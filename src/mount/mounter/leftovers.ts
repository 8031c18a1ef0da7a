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
  readonly clock: Clock
  readonly log: Log
}

/** Between two questions about who uses a folder, ms; each is a line in the kernel's log while somebody does. */
const firstWaitMs = 1000
const longestWaitMs = 5 * 60_000

interface Leftover {
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

  /** Those that a mounter before this one made and that are not `known`. */
  find(known: ReadonlySet<string | undefined>): void {
    const { writable } = this.#o.places
    const found = existsSync(writable) ? readdirSync(writable).map((name) => join(writable, name)) : []
    for (const folder of found) if (!known.has(folder)) this.#put(folder)
  }

  /** Its file system is unmounted: it goes as soon as nobody uses that. Never throws. */
  leave(folder: string): Promise<void> {
    this.#put(folder)
    return this.#clear(folder)
  }

  /** Something was unmounted of which it is not known what was made for it. */
  lookAgain(): void {
    for (const folder of this.#byFolder.keys()) this.#put(folder)
  }

  /** Nobody says when a use ends. Never throws. */
  async sweep(): Promise<void> {
    if (this.#sweeping) return
    this.#sweeping = true
    const now = this.#o.clock.now()
    for (const [folder, { at }] of [...this.#byFolder]) if (at <= now) await this.#clear(folder)
    this.#sweeping = false
  }

  #put(folder: string, waitMs = 0): void {
    this.#byFolder.set(folder, { at: this.#o.clock.now() + waitMs, waitMs })
  }

  async #clear(folder: string): Promise<void> {
    const leftover = this.#byFolder.get(folder)
    if (!leftover) return
    const { waitMs } = leftover
    this.#byFolder.delete(folder)
    try {
      // A large tree takes a while, and reads of other mounts do not wait for it.
      if (!(await this.#used(folder))) return await rm(folder, { recursive: true, force: true })
    } catch (error) {
      const reason = (error as Error).message
      this.#o.log.warn('what was made for a root file system stays; it is tried again', { folder, error: reason })
    }
    this.#put(folder, Math.min(longestWaitMs, Math.max(firstWaitMs, 2 * waitMs)))
  }

  async #used(folder: string): Promise<boolean> {
    const { kernel, places, table } = this.#o
    if (table().some(({ options }) => options.includes(`/${basename(folder)}/`))) return true
    const { upper, work } = writtenIn(folder)
    return kernel.overlaid(upper, work, places.empty)
  }
}

/** What a root file system keeps for itself, so that the kernel says who uses it; where it is written to, if it is. Pure. */
export function writtenIn(folder: string) {
  return { upper: join(folder, 'upper'), work: join(folder, 'work') }
}
