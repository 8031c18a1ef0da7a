/**
 * How much a disk has left. Others write to it too, so it is asked again and again, but not for every piece: between two
 * looks what this store wrote and freed is counted.
 */
import { statfsSync } from 'node:fs'
import type { Clock } from '../clock.ts'

/** Bytes, or a share of the whole disk. */
export type Share = { readonly bytes: number } | { readonly share: number }

export interface Disk {
  /** Bytes that an unprivileged writer could still write. */
  readonly free: number
  readonly total: number
}

/** A look counts for so long, in ms. */
const lookMs = 1000

export class FreeSpace {
  readonly #keep: Share
  readonly #clock: Clock
  readonly #look: () => Disk
  #disk: Disk | undefined
  #at = 0
  #since = 0

  /** @param keep what is to be left free */
  constructor(keep: Share, clock: Clock, look: () => Disk) {
    this.#keep = keep
    this.#clock = clock
    this.#look = look
  }

  /** Bytes that may still be written before less is free than is to be; negative when that is so already. */
  get room(): number {
    const now = this.#clock.now()
    if (!this.#disk || now - this.#at >= lookMs) {
      this.#at = now
      try {
        this.#disk = this.#look()
        this.#since = 0
      } catch (error) {
        // A disk that fails for a while ends no node: what was seen last is near enough.
        if (!this.#disk) throw error
      }
    }
    const { free, total } = this.#disk
    const keep = 'bytes' in this.#keep ? this.#keep.bytes : this.#keep.share * total
    return free + this.#since - keep
  }

  /** Bytes of this store went to the disk (negative), or were removed from it. */
  changed(bytes: number): void {
    this.#since += bytes
  }
}

export function diskAt(path: string): () => Disk {
  return () => {
    const { bavail, blocks, bsize } = statfsSync(path)
    return { free: bavail * bsize, total: blocks * bsize }
  }
}
